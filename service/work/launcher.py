"""What the dispatcher needs of a launcher: to start, watch and end worker processes.

A launcher owns processes and no state; what a job is doing is recorded in its database row.
"""

import signal
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from service.work.process_handle import ProcessHandle


@dataclass(frozen=True)
class Exit:
    """How a worker process ended."""

    code: int | None
    """Negative for a signal; None if the exit code is unknown."""
    oom_killed: bool = False
    """It was killed while the kernel was killing processes for lack of memory."""

    def __str__(self) -> str:
        if self.code is None:
            return "The worker process is gone; its exit code is unknown."
        if self.oom_killed:
            return "The worker was killed because the machine or its container ran out of memory."
        if self.code < 0:
            return f"The worker was ended by {_signal_name(-self.code)}."
        return f"The worker ended with exit code {self.code}."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have none
        return f"signal {number}"


class LockWatchdog(Protocol):
    """Finds workers that froze inside a transaction and so block the database for everybody."""

    seconds_between_checks: float

    def check(self) -> list[ProcessHandle]:
        """Return the workers that have held the lock for several checks without running."""
        ...


class Launcher(Protocol):
    """Starts workers on one kind of machine, in the shape of `subprocess.Popen`."""

    def start(self, job: str, attempt: int) -> ProcessHandle:
        """Start a worker for the attempt without waiting for it to get ready.

        Raises:
            OSError: the process can't be started.
            StoreBroken: its log can't be written.

        """
        ...

    def poll(self, handles: Iterable[ProcessHandle]) -> dict[ProcessHandle, Exit]:
        """Return those of the workers that have ended, again in each call that names them.

        Workers of other machines are never among them.
        """
        ...

    def terminate(self, handle: ProcessHandle) -> None:
        """Ask the worker to save its work and exit; no error if it is gone."""
        ...

    def kill(self, handle: ProcessHandle) -> None:
        """End the worker immediately; no error if it is gone."""
        ...

    def capacity(self) -> int:
        """Return how many workers may run concurrently."""
        ...

    def log_tail(self, job: str) -> str:
        """Return the last lines that the job's workers wrote to their log."""
        ...
