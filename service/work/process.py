"""A worker process, named so that another process can find it again and never mistake it."""

import contextlib
import functools
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

STORE_EXIT = 74
"""EX_IOERR: a worker could not go on because the store fails, which is not the job's fault."""


@dataclass(frozen=True)
class ProcessHandle:
    """A process: a pid alone may be reused, so its start time and its machine belong to it."""

    boot_id: str
    pid_namespace: str
    pid: int
    start_ticks: int

    @classmethod
    def of(cls, pid: int) -> "ProcessHandle":
        """Return the handle of a process of this machine.

        Raises:
            ProcessLookupError: there is none with this pid.

        """
        found = _state_and_start(pid)
        if found is None:
            raise ProcessLookupError(f"no process {pid}")
        return cls(*here(), pid, found[1])

    @classmethod
    def read(cls, stored: dict[str, Any] | None) -> "ProcessHandle | None":
        return cls(**stored) if stored else None

    def stored(self) -> dict[str, Any]:
        return asdict(self)

    def is_here(self) -> bool:
        """Tell whether this machine and container could see the process."""
        return (self.boot_id, self.pid_namespace) == here()

    def is_alive(self) -> bool:
        """Tell whether the process still runs; a zombie does not. Only for handles of here."""
        found = _state_and_start(self.pid)
        return found is not None and found[0] not in "ZX" and found[1] == self.start_ticks

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, which leads a group of its own; no error if it is gone."""
        if self.is_here() and self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)


@functools.cache
def here() -> tuple[str, str]:
    """Return (boot id, pid namespace): within both, a pid and its start time name one process."""
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return boot_id, str(Path("/proc/self/ns/pid").readlink())


def _state_and_start(pid: int) -> tuple[str, int] | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name stands in brackets and may hold anything; fields after it start at 3.
    fields = stat[stat.rindex(")") + 2 :].split()
    return fields[0], int(fields[19])


def usable_cores() -> int:
    """Return how many cores this process may keep busy: affinity and cgroup quota, at least 1."""
    affinity = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return affinity
    if quota == "max":
        return affinity
    return max(1, min(affinity, int(quota) // int(period)))


def a_core_is_idle() -> bool:
    """Return whether one more thread would find a core, as far as this moment tells.

    What runs is known of the whole machine only; with a part of its cores, say no.
    """
    try:
        runnable = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):
        return False
    cores = usable_cores()
    return cores == os.cpu_count() and runnable < cores
