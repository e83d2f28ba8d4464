"""Finds workers that froze inside a SQLite transaction and so block the database.

SQLite locks bytes of its file, and the kernel lists which process holds them. The database file is
never opened here: closing it again would release this process's own locks.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.work.process_handle import ProcessHandle

SQLITE_LOCK_BYTES = range(2**30, 2**30 + 512)
"""The offsets of SQLite's pending, reserved and shared locks."""
CHECKS_IF_STOPPED = 2
"""Checks in a row after which a lock holder that a signal has stopped counts as frozen."""
CHECKS_IF_WAITING = 40
"""The same for one that no signal has stopped: it may only be waiting for a slow disk."""
SECONDS_BETWEEN_CHECKS = 0.4
WORKER_MODULE = b"service.work.worker"


@dataclass(frozen=True)
class Observation:
    """The result of one check of a worker that holds the lock."""

    is_stopped: bool
    """Whether a signal has stopped the process."""
    context_switches: int
    """How often the process had left a processor core."""
    idle_checks: int
    """Checks in a row, this one included, between which the process did not run."""

    @property
    def is_frozen(self) -> bool:
        return self.idle_checks >= (CHECKS_IF_STOPPED if self.is_stopped else CHECKS_IF_WAITING)


class SqliteLockWatchdog:
    """Finds out in repeated checks which workers hold the lock of a database without ever running.

    Checks are counted, not seconds: while the machine sleeps nothing is checked.
    """

    seconds_between_checks = SECONDS_BETWEEN_CHECKS

    def __init__(self, database: Path | None) -> None:
        """Watch the given database file; None, for a database server, has nothing to watch."""
        self._database = database
        self._observations: dict[ProcessHandle, Observation] = {}

    def check(self) -> list[ProcessHandle]:
        """Observe all lock holders once more; return those that have been frozen long enough."""
        observations = {}
        for handle in self._lock_holders():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                observations[handle] = self._observe(handle)
        self._observations = observations
        return [handle for handle, seen in observations.items() if seen.is_frozen]

    @property
    def any_stopped(self) -> bool:
        """Whether a signal had stopped one of the lock holders at the last check."""
        return any(seen.is_stopped for seen in self._observations.values())

    def _observe(self, handle: ProcessHandle) -> Observation:
        is_stopped, switches = _activity(handle.pid)
        before = self._observations.get(handle)
        idle_checks = before.idle_checks if before and before.context_switches == switches else 0
        return Observation(is_stopped, switches, idle_checks + 1)

    def _lock_holders(self) -> Iterator[ProcessHandle]:
        if self._database is None:
            return
        for pid in _pids_with_sqlite_locks():
            with contextlib.suppress(OSError):  # it has ended, or belongs to another user
                if _is_worker(pid) and _has_open(pid, self._database):
                    yield ProcessHandle.of(pid)


def kill_frozen_lock_holders(database: Path | None) -> None:
    """Kill workers that froze while no server was running: they would keep this one from starting.

    Waits between two checks only if a signal has stopped a lock holder.
    """
    watchdog = SqliteLockWatchdog(database)
    watchdog.check()
    if not watchdog.any_stopped:
        return
    time.sleep(SECONDS_BETWEEN_CHECKS)
    for handle in watchdog.check():
        handle.send_signal(signal.SIGKILL)


def _pids_with_sqlite_locks() -> set[int]:
    """Return the processes that hold a lock on SQLite's lock bytes, in whatever file."""
    found = set[int]()
    # 1: POSIX  ADVISORY  WRITE 712 fe:00:2148295 1073741825 1073741825
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:  # a sandbox without this file
        return found
    for line in lines:
        _, kind, *_, pid, _, first, _ = line.split()
        if kind == "POSIX" and int(first) in SQLITE_LOCK_BYTES:
            found.add(int(pid))
    return found


def _is_worker(pid: int) -> bool:
    return WORKER_MODULE in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def _has_open(pid: int, file: Path) -> bool:
    wanted = file.stat()
    descriptors = Path(f"/proc/{pid}/fd").iterdir()
    return any(os.path.samestat(descriptor.stat(), wanted) for descriptor in descriptors)


def _activity(pid: int) -> tuple[bool, int]:
    """Return whether a signal has stopped the process, and its number of context switches."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines)
    switches = status["voluntary_ctxt_switches"], status["nonvoluntary_ctxt_switches"]
    return status["State"][0] in "Tt", sum(map(int, switches))
