"""What a dispatcher needs of the rows that it dispatches, and of the files that belong to them."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from service.store.queue import Active, Claim, Elsewhere, Lost


class WorkQueue(Protocol):
    """Rows that wait for workers, with ids and attempts; `store.queue.Queue` has the jobs."""

    def claim(self, waiting: Collection[str] = ()) -> Claim | None:
        """Take the queued row whose turn it is; none of those `waiting` to be tried again."""
        ...

    def active(self) -> Sequence[Active]:
        """Return the rows with a worker on this host, oldest first."""
        ...

    def elsewhere(self) -> Elsewhere:
        """Return what other hosts work on; nothing if there is only one host."""
        ...

    def explain_waiting(self) -> None:
        """Say in rows that no host can take why they wait."""
        ...

    def lose(
        self, job: str, attempt: int, why: str, *, code: str = ..., counts: bool = ...
    ) -> Lost | None:
        """Take a row away from a worker that has died or must not continue.

        None means that the worker had finished, or that another attempt is under way.
        """
        ...


class Leftovers(Protocol):
    """Deletes the files that no row names and none ever will."""

    def collect_all(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Delete what earlier dispatchers have left; a failure is logged.

        Before each row, `goes_on` is asked whether to continue.
        """
        ...

    def sweep(self) -> None:
        """Delete what has been left since the last sweep.

        Raises:
            StoreBroken: the database can't be read or written.

        """
        ...

    def collect(self, job: str) -> None:
        """Delete what an attempt has left whose worker has just ended.

        Raises:
            StoreBroken: the database or a file can't be read or written.

        """
        ...
