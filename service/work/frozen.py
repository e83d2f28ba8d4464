"""Workers that froze inside a transaction: everybody waits for the database's lock, in vain.

SQLite locks bytes of its file, and the kernel tells which process holds them. The file itself is
never opened here: to close it again would drop this process's own locks.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from service.work.handle import Handle

LOCKED_BYTES = range(2**30, 2**30 + 512)
"""Where SQLite keeps its pending, reserved and shared locks."""
LOOKS_IF_STOPPED = 2
LOOKS = 40
"""For a worker that no signal has stopped: it may only wait for a slow disk."""
SECONDS_BETWEEN_LOOKS = 0.4


class FrozenHolders:
    """Tells which workers hold the lock of a database and never run.

    Looks are counted, not seconds: while the machine slept, nobody looked.
    """

    def __init__(self, database: Path | None) -> None:
        self._database = database
        self._seen: dict[Handle, tuple[int, int]] = {}

    def look(self) -> list[Handle]:
        """Return the workers to be ended: they held it in several looks and did not run between."""
        frozen, seen = [], {}
        for handle in self._holders():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                stopped, runs = _pulse(handle.pid)
                before, looks = self._seen.get(handle, (runs, 0))
                looks = looks + 1 if runs == before else 1
                seen[handle] = (runs, looks)
                if looks >= (LOOKS_IF_STOPPED if stopped else LOOKS):
                    frozen.append(handle)
        self._seen = seen
        return frozen

    def _holders(self) -> Iterator[Handle]:
        if self._database is None:
            return
        for pid in _pids_with_sqlite_locks():
            with contextlib.suppress(OSError):  # it has ended, or is another user's
                if _is_worker(pid) and _has_open(pid, self._database):
                    yield Handle.of(pid)


def end_frozen_holders(database: Path | None) -> None:
    """End workers that froze while no server looked after them: no server could start."""
    holders = FrozenHolders(database)
    holders.look()
    if not any(_pulse(handle.pid)[0] for handle in holders._seen):
        return
    time.sleep(SECONDS_BETWEEN_LOOKS)
    for handle in holders.look():
        handle.send(signal.SIGKILL)


def _pids_with_sqlite_locks() -> set[int]:
    """Return the processes that hold a lock where SQLite has its locks, in whatever file."""
    found = set()
    # 1: POSIX  ADVISORY  WRITE 712 fe:00:2148295 1073741825 1073741825
    for line in Path("/proc/locks").read_text().splitlines():
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
