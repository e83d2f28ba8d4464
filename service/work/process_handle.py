"""Handles of worker processes, which identify a process even after its pid has been reused."""

import contextlib
import functools
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ProcessHandle:
    """Identifies a process by its machine, pid and start time; a pid alone may be reused."""

    boot_id: str
    pid_namespace: str
    pid: int
    start_ticks: int

    @classmethod
    def of(cls, pid: int) -> "ProcessHandle":
        """Return the handle of a process of this machine.

        Raises:
            ProcessLookupError: no process has this pid.

        """
        found = _state_and_start(pid)
        if found is None:
            raise ProcessLookupError(f"no process has the pid {pid}")
        return cls(*this_machine(), pid, found[1])

    @classmethod
    def from_record(cls, record: dict[str, Any] | None) -> "ProcessHandle | None":
        """Return the handle stored in a job's row; None if there is none yet."""
        return cls(**record) if record else None

    def as_record(self) -> dict[str, Any]:
        """Return the handle in the form in which a job's row stores it."""
        return asdict(self)

    def is_here(self) -> bool:
        """Return whether this machine and container could see the process."""
        return (self.boot_id, self.pid_namespace) == this_machine()

    def is_alive(self) -> bool:
        """Return whether the process still runs; a zombie does not.

        The answer means something only if the process belongs to this machine: see `is_here`.
        """
        found = _state_and_start(self.pid)
        return found is not None and found[0] not in "ZX" and found[1] == self.start_ticks

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process group that the process leads, unless it has ended."""
        if self.is_here() and self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)


@functools.cache
def this_machine() -> tuple[str, str]:
    """Return (boot id, pid namespace), in which a pid and a start time identify one process."""
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return boot_id, str(Path("/proc/self/ns/pid").readlink())


def _state_and_start(pid: int) -> tuple[str, int] | None:
    """Return the state letter and the start time (in clock ticks after boot) of a process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name is in parentheses and may contain anything; field 3 follows it.
    fields = stat[stat.rindex(")") + 2 :].split()
    return fields[0], int(fields[19])
