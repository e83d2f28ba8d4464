"""A queue of rows whose owners take turns."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import ClassVar

from service.domain.job_state import State
from service.store.queue import (
    ONLY_HERE,
    Active,
    Claim,
    Elsewhere,
    Lost,
    after_lost_worker,
    rows_elsewhere,
    rows_here,
)
from service.store.sql.connector import Connector
from service.store.sql.transaction import Transaction
from service.store.sql.values import Row, in_list


class TurnQueue(ABC):
    """Rows of one table that wait for workers or have one, as a dispatcher uses them.

    It implements `service.work.work_queue.WorkQueue`. The owners take turns, so that one with many
    or slow rows does not keep others waiting for longer than one of them; the rows of an owner are
    taken in their order. Whose turn it was is forgotten when the process ends.
    """

    kind: ClassVar[str]
    """The name by which transactions about these rows run alone, and dispatchers are notified."""
    oldest: ClassVar[str]
    """Selects `owner` and `number` of the oldest waiting row of each owner, oldest first; at
    `{waiting}`, rows are excluded that wait to be tried again."""
    taken: ClassVar[str]
    """Takes the row `:number` for the host `:host` and returns its `id` and `attempt`."""
    working: ClassVar[str]
    """Selects the columns of `Active` but the state; `{host}` is the place of its condition."""

    def __init__(self, connector: Connector, host: str | None = None) -> None:
        """Create it; `host` is where claimed rows are worked on, see `queue.Queue`."""
        self._connector, self._host = connector, host
        self._claims = 0
        self._last_claim: dict[str | None, int] = {}
        """The number of the last claim for each owner who waits."""

    @abstractmethod
    def _lock(self, transaction: Transaction, id_: str, attempt: int) -> Row | None:
        """Lock a row, if this attempt still has it."""

    @abstractmethod
    def _give_back(
        self, transaction: Transaction, row: Row, lost: Lost, reason: dict[str, str]
    ) -> None:
        """Change a locked row that has lost its worker."""

    def claim(self, waiting: Collection[str] = ()) -> Claim | None:
        """Take the row whose turn it is.

        Args:
            waiting: rows that wait to be tried again.

        """
        listed, parameters = in_list("waiting", waiting)
        excluded = f" AND id NOT IN ({listed})" if waiting else ""
        with self._connector.write(self.kind) as transaction:
            found = transaction.rows(self.oldest.replace("{waiting}", excluded), **parameters)
            if not found:
                return None
            turn = min(found, key=lambda row: self._last_claim.get(row["owner"], 0))
            [row] = transaction.rows(self.taken, number=turn["number"], host=self._host)
        self._note_claim(turn["owner"], found)
        return Claim(row["id"], row["attempt"])

    def active(self) -> list[Active]:
        """Return the rows with a worker on this host, oldest first."""
        with self._connector.read() as transaction:
            found = rows_here(transaction, self.working, self._host)
        return [Active(**row, state=State.RUNNING) for row in found]

    def elsewhere(self) -> Elsewhere:
        """Return the rows of other hosts; none if there is only one host."""
        if self._host is None:
            return ONLY_HERE
        with self._connector.read() as transaction:
            found = rows_elsewhere(transaction, self.working, self._host)
            waiting = transaction.rows(self.oldest.replace("{waiting}", ""))
        active = [Active(**row, state=State.RUNNING) for row in found]
        return Elsewhere(active, may_begin=bool(waiting))

    def explain_waiting(self) -> None:  # noqa: B027  it is the same for all kinds
        """Do nothing: every host can take every one of these rows."""

    def lose(
        self,
        job: str,
        attempt: int,
        why: str,
        *,
        code: str = "worker_lost",
        counts: bool = True,
    ) -> Lost | None:
        """Take a row away from a worker that has died or must not continue.

        None means that the worker had finished, that another attempt is under way, or that the row
        has been deleted. With `counts` the worker is one of the five in a row after which the row
        fails. `code` and `why` become the reason.
        """
        with self._connector.write(self.kind) as transaction:
            row = self._lock(transaction, job, attempt)
            if row is None:
                return None
            lost = after_lost_worker(row, counts=counts)
            self._give_back(transaction, row, lost, {"code": code, "message": why})
            if lost.state == State.QUEUED:  # another host may be free
                transaction.notify(self.kind)
        return lost

    def _note_claim(self, owner: str | None, found: Sequence[Row]) -> None:
        """Remember whose turn it was, among those who wait."""
        self._claims += 1
        waiting = {row["owner"] for row in found}
        known = {it: last for it, last in self._last_claim.items() if it in waiting}
        self._last_claim = {**known, owner: self._claims}
