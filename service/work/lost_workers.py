"""Decides when a worker is lost, and describes why for the job's `reason`."""

from dataclasses import dataclass

from service.work.launcher import Exit
from service.work.process_handle import ProcessHandle

LOST_AFTER_SWEEPS = 15
"""Sweeps in a row without a new heartbeat after which a worker is lost."""


@dataclass
class TrackedWorker:
    """The dispatcher's memory of one attempt's worker, which ends with the dispatcher."""

    handle: ProcessHandle | None
    """None until the worker has written its handle with its first heartbeat."""
    since: float = 0.0
    """Monotonic time at which it was started, or found by this dispatcher."""
    heartbeat: int = -1
    """The heartbeat counter that the last sweep found."""
    silent_sweeps: int = 0
    """Sweeps in a row that found the same heartbeat counter."""
    kill_at: float | None = None
    """Monotonic time at which the worker is killed unless it has ended."""
    has_begun: bool = False
    """Whether it has given a heartbeat."""
    was_frozen: bool = False
    """Whether it was killed because it froze inside a transaction and blocked the database."""

    @property
    def is_here(self) -> bool:
        """Whether the worker is known to run on this machine."""
        return self.handle is not None and self.handle.is_here()

    @property
    def is_lost(self) -> bool:
        return self.silent_sweeps >= LOST_AFTER_SWEEPS

    def note_sweep(self, heartbeat: int) -> None:
        """Compare the job's heartbeat counter with that of the sweep before."""
        self.silent_sweeps = self.silent_sweeps + 1 if heartbeat == self.heartbeat else 0
        self.heartbeat = heartbeat

    def describe_silence(self) -> str:
        return f"The worker gave no heartbeat for {self.silent_sweeps} seconds."

    def describe_exit(self, exit_: Exit, log_tail: str) -> str:
        """Return why the worker ended, with the last lines of its log if there are any."""
        what = str(exit_)
        if self.was_frozen:
            what = "The worker froze inside a database transaction and was killed."
        return f"{what} Its last log lines:\n{log_tail}" if log_tail else what
