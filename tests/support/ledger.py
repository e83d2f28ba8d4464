"""What really happened to the jobs of a data directory, read past the server."""

import hashlib
import json
import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.server_process import eventually

FINAL = ("succeeded", "failed", "cancelled")


class Ledger:
    """The database and the files of a server, read from the disk."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def query(self, statement: str, *values: object) -> list[Any]:
        path = self._data_dir / "jobs.sqlite3"
        with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:
            return connection.execute(statement, values).fetchall()

    def row(self, job: str) -> dict[str, Any]:
        names = ("state", "attempt", "lost_workers", "handle", "weights_sha256")
        [found] = self.query(f"SELECT {', '.join(names)} FROM jobs WHERE id = ?", job)
        return dict(zip(names, found, strict=True))

    def states(self) -> dict[str, str]:
        return dict(self.query("SELECT id, state FROM jobs"))

    def events(self, job: str, type_: str) -> list[dict[str, Any]]:
        statement = (
            "SELECT CAST(data AS TEXT) FROM events WHERE type = ? AND job = "
            "(SELECT number FROM jobs WHERE id = ?) ORDER BY number"
        )
        return [json.loads(data) for (data,) in self.query(statement, type_, job)]

    def ends(self, job: str) -> list[str]:
        """Return the final states that the job has come into; there must be one."""
        states = [event["state"] for event in self.events(job, "state")]
        return [state for state in states if state in FINAL]

    def epochs(self, job: str) -> list[int]:
        """Return the numbers of the epochs, as rows and as events: these must be the same."""
        statement = "SELECT number FROM epochs WHERE job = (SELECT number FROM jobs WHERE id = ?)"
        rows = [number for (number,) in self.query(f"{statement} ORDER BY number", job)]
        announced = [event["epoch"] for event in self.events(job, "epoch")]
        return rows if rows == announced else [-1, *rows, -1, *announced]

    def checkpoints(self, job: str) -> list[tuple[str, int, int]]:
        """Return (key, epochs done, batches done) of the checkpoints that count, newest first."""
        return self.query(
            "SELECT key, epochs_done, batches_done FROM checkpoints WHERE job = "
            "(SELECT number FROM jobs WHERE id = ?) ORDER BY number DESC",
            job,
        )

    def strangers(self) -> set[str]:
        """Return the artifacts that no row names."""
        root = self._data_dir / "jobs"
        found = {str(path.relative_to(root)) for path in root.glob("job_*/*/*")}
        named = "SELECT key FROM checkpoints UNION SELECT key FROM snapshots"
        return found - {key for (key,) in self.query(named)}

    def is_whole(self) -> bool:
        return self.query("PRAGMA integrity_check") == [("ok",)]

    def check_checkpoints(self) -> None:
        """Check that the database is whole, and so is the file of every checkpoint in it."""
        assert self.is_whole()
        for key, size, sha256 in self.query("SELECT key, size, sha256 FROM checkpoints"):
            data = (self._data_dir / "jobs" / key).read_bytes()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (size, sha256), key


def zombies(parent: int) -> list[int]:
    """Return the children of a process that have ended and have not been reaped."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, ppid = (folder / "stat").read_text().rsplit(")", 1)[1].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state == "Z" and int(ppid) == parent:
            found.append(int(folder.name))
    return found


def sqlite_locks(pid: int) -> set[str]:
    """Return which of SQLite's locks a process holds: shared, reserved, pending, exclusive."""
    found = set()
    for line in Path("/proc/locks").read_text().splitlines():
        _, kind, _, access, holder, _, *ends = line.replace("-> ", "").split()
        if kind == "POSIX" and int(holder) == pid:
            first, last = (int(end) - 2**30 for end in ends)  # adjacent ranges are listed as one
            if access == "READ":
                found.add("shared")
            else:
                names = ("pending", "reserved", "exclusive")
                found |= {name for byte, name in enumerate(names) if first <= byte <= last}
    return found


def kill(pid: int, number: int) -> bool:
    """Send a signal; return whether the process still existed."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def freeze(pid: int) -> bool:
    """Stop a process outside of transactions, in which it would block all others.

    Returns whether it was still there.
    """
    while kill(pid, signal.SIGSTOP):
        eventually(lambda: stands_still(pid), f"{pid} to stop")
        if not sqlite_locks(pid):
            return True
        kill(pid, signal.SIGCONT)
        time.sleep(0.005)
    return False


def stands_still(pid: int) -> bool:
    """Return whether all threads of a process are stopped, or have ended."""
    try:
        threads = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return {text.rpartition(") ")[2][0] for text in threads} <= set("TZX")
