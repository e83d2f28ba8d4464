"""The network that a prediction needs, looked up in 10 µs by whoever must not wait."""

import sqlite3
import threading
from contextlib import suppress
from pathlib import Path

NEWEST = """
SELECT key FROM checkpoints WHERE job = (SELECT number FROM jobs WHERE {which})
ORDER BY number DESC LIMIT 1"""
LATEST = "state = 'succeeded'{own} ORDER BY finish_number DESC LIMIT 1"
BY_ID = "id = :ref{own}"
# Four statements: SQLite finds no index for a condition that a parameter may switch off.
STATEMENTS = {
    (latest, bool(own)): NEWEST.format(which=(LATEST if latest else BY_ID).format(own=own))
    for latest in (True, False)
    for own in ("", " AND owner = :owner")
}

BUSY_SECONDS = 0.005
"""As long as most commits take. A thread that waits for one, and all the requests that come
meanwhile and need threads too, take more from others."""


class Glance:
    """A connection that reads one row of an SQLite database; may be asked in any thread."""

    def __init__(self, file: Path | None) -> None:
        self._address = file and f"{file.absolute().as_uri()}?mode=ro"
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def newest_key(self, ref: str, owner: str | None, *, everything: bool) -> str | None:
        """Return the key of the newest checkpoint of a job, by its id or `latest`.

        None if there is none, or that would mean to wait longer than for a commit, or can't be
        known. SQLite takes the lock of a reader, so a commit is seen either whole or not at all.

        Args:
            ref: what the client calls the network.
            owner: whose jobs are seen; nobody (None) has none.
            everything: whether those of others are seen too.

        """
        if not self._address or not self._lock.acquire(blocking=False):
            return None
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(
                    self._address,
                    timeout=BUSY_SECONDS,
                    isolation_level=None,
                    check_same_thread=False,
                    uri=True,
                )
            statement = STATEMENTS[ref == "latest", not everything]
            found = self._connection.execute(statement, {"ref": ref, "owner": owner}).fetchall()
        except sqlite3.Error as exc:
            if getattr(exc, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY:
                self._close()  # it may be of no use any more
            return None
        else:
            return found[0][0] if found else None
        finally:
            self._lock.release()

    def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._connection:
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None
