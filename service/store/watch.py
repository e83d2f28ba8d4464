"""Whether anything has been committed to an SQLite database since the last look, in 15 µs."""

import sqlite3
import threading
from contextlib import suppress
from pathlib import Path

Version = tuple[int, int]
"""Equal to an earlier one only if nothing was committed between the two looks."""


class Watch:
    """A connection that reads nothing but `PRAGMA data_version`; may be asked in any thread."""

    def __init__(self, file: Path | None) -> None:
        self._address = file and f"{file.absolute().as_uri()}?mode=ro"
        self._connection: sqlite3.Connection | None = None
        self._opened = 0
        self._lock = threading.Lock()

    def look(self) -> Version | None:
        """Return the version; None if that would mean to wait, or can't be known.

        SQLite takes the lock of a reader for it, so a commit is seen either whole or not at all.
        """
        if not self._address or not self._lock.acquire(blocking=False):
            return None
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(
                    self._address,
                    timeout=0,
                    isolation_level=None,
                    check_same_thread=False,
                    uri=True,
                )
                self._opened += 1  # versions of two connections have nothing to do with each other
            [(version,)] = self._connection.execute("PRAGMA data_version").fetchall()
        except sqlite3.Error as exc:
            if getattr(exc, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY:
                self._close()  # it may be of no use any more
            return None
        else:
            return self._opened, version
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
