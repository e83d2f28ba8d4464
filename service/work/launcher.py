"""The interfaces through which the dispatcher starts, watches and ends worker processes.

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
    """The exit code; the negated number of the signal that ended the process; None if unknown."""
    oom_killed: bool = False
    """Whether it was killed while the kernel was killing processes for lack of memory."""

    def __str__(self) -> str:
        if self.code is None:
            return "The worker process has ended; its exit code is unknown."
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
    """Finds workers that froze inside a transaction and so block the database for all others."""

    seconds_between_checks: float

    def check(self) -> list[ProcessHandle]:
        """Return the workers that have held the lock for several checks without running."""
        ...


class Launcher(Protocol):
    """Starts workers on one kind of machine, in the shape of `subprocess.Popen`."""

    def start(self, job: str, attempt: int) -> ProcessHandle:
        """Start a worker for the attempt without waiting until it trains.

        Raises:
            OSError: the process can't be started.
            StoreBroken: its log can't be written.

        """
        ...

    def poll(self, handles: Iterable[ProcessHandle]) -> dict[ProcessHandle, Exit]:
        """Return the workers that have ended, in every call that names them.

        Workers of other machines are never among them.
        """
        ...

    def terminate(self, handle: ProcessHandle) -> None:
        """Ask the worker to save its work and exit, unless it has ended."""
        ...

    def kill(self, handle: ProcessHandle) -> None:
        """End the worker immediately, unless it has ended."""
        ...

    def capacity(self) -> int:
        """Return how many workers may run concurrently."""
        ...

    def log_tail(self, job: str) -> str:
        """Return the last lines that the job's workers wrote to their log."""
        ...
