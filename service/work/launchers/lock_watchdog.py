"""Workers that froze inside a transaction: everybody waits for the database's lock, in vain.

SQLite locks bytes of its file, and the kernel tells which process holds them. The file itself is
never opened here: to close it again would drop this process's own locks.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.work.process import ProcessHandle

LOCKED_BYTES = range(2**30, 2**30 + 512)
"""Where SQLite keeps its pending, reserved and shared locks."""
LOOKS_IF_STOPPED = 2
LOOKS = 40
"""For a worker that no signal has stopped: it may only wait for a slow disk."""
SECONDS_BETWEEN_LOOKS = 0.4


@dataclass(frozen=True)
class Look:
    """What a worker that holds the lock was found to do."""

    stopped: bool
    runs: int
    """How often it had left a processor."""
    looks: int
    """How many times in a row it has not run since the look before."""

    @property
    def is_frozen(self) -> bool:
        return self.looks >= (LOOKS_IF_STOPPED if self.stopped else LOOKS)


class FrozenHolders:
    """Tells which workers hold the lock of a database and never run.

    Looks are counted, not seconds: while the machine slept, nobody looked.
    """

    def __init__(self, database: Path | None) -> None:
        self._database = database
        self._seen: dict[ProcessHandle, Look] = {}

    def look(self) -> list[ProcessHandle]:
        """Return the workers to be ended: they held it in several looks and did not run between."""
        seen = {}
        for handle in self._holders():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                stopped, runs = _pulse(handle.pid)
                before = self._seen.get(handle)
                looks = before.looks + 1 if before and before.runs == runs else 1
                seen[handle] = Look(stopped, runs, looks)
        self._seen = seen
        return [handle for handle, look in seen.items() if look.is_frozen]

    @property
    def any_stopped(self) -> bool:
        """Tell whether a signal had stopped one of those seen at the last look."""
        return any(look.stopped for look in self._seen.values())

    def _holders(self) -> Iterator[ProcessHandle]:
        if self._database is None:
            return
        for pid in _pids_with_sqlite_locks():
            with contextlib.suppress(OSError):  # it has ended, or is another user's
                if _is_worker(pid) and _has_open(pid, self._database):
                    yield ProcessHandle.of(pid)


def end_frozen_holders(database: Path | None) -> None:
    """End workers that froze while no server looked after them: no server could start."""
    holders = FrozenHolders(database)
    holders.look()
    if not holders.any_stopped:
        return
    time.sleep(SECONDS_BETWEEN_LOOKS)
    for handle in holders.look():
        handle.send(signal.SIGKILL)


def _pids_with_sqlite_locks() -> set[int]:
    """Return the processes that hold a lock where SQLite has its locks, in whatever file."""
    found = set[int]()
    # 1: POSIX  ADVISORY  WRITE 712 fe:00:2148295 1073741825 1073741825
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:  # a sandbox without this file
        return found
    for line in lines:
        _, kind, *_, pid, _, first, _ = line.split()
        if kind == "POSIX" and int(first) in LOCKED_BYTES:
            found.add(int(pid))
    return found


def _is_worker(pid: int) -> bool:
    return b"service.work.worker" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def _has_open(pid: int, file: Path) -> bool:
    ours = file.stat()
    descriptors = Path(f"/proc/{pid}/fd").iterdir()
    return any(os.path.samestat(descriptor.stat(), ours) for descriptor in descriptors)


def _pulse(pid: int) -> tuple[bool, int]:
    """Tell whether a signal has stopped the process, and how often it has left a processor."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines)
    switches = status["voluntary_ctxt_switches"], status["nonvoluntary_ctxt_switches"]
    return status["State"][0] in "Tt", sum(map(int, switches))
