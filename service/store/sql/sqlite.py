"""A worker's way to the database: its driver alone, one connection, short write transactions."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import unquote

from service.domain.errors import StoreBroken, StoreFull

# DELETE, not WAL: WAL corrupts in SQLite before 3.51.3 when two connections write and checkpoint
# at once (sqlite.org/wal.html#walresetbug), and a commit costs only half a millisecond more.
# EXTRA: an acknowledged job survives a power cut. FULL does not sync the folder when a commit has
# unlinked its journal; if that is lost, the next one to open the database rolls the commit back.
PRAGMAS = ("journal_mode=DELETE", "synchronous=EXTRA", "foreign_keys=ON")
BUSY_SECONDS = 30


def prepare(connection: sqlite3.Connection, busy_seconds: float) -> None:
    """Make a new connection wait that long for others' transactions, and lose nothing."""
    # The driver must not begin transactions by itself.
    connection.isolation_level = None
    # The time-out comes first: the other pragmas may have to wait too.
    for pragma in (f"busy_timeout={int(1000 * busy_seconds)}", *PRAGMAS):
        connection.execute(f"PRAGMA {pragma}")


def failure(exc: BaseException | None) -> StoreBroken:
    """Return a driver's error as the store's."""
    full = sqlite_code(exc) == sqlite3.SQLITE_FULL
    return (StoreFull if full else StoreBroken)(f"the database failed: {exc}")


def sqlite_code(exc: BaseException | None) -> int | None:
    """Return SQLite's primary result code."""
    code = getattr(exc, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


class Link:
    """What a worker needs of `Database`: `write()`, and SQL as the driver takes it."""

    def __init__(self, url: str) -> None:
        """Connect to the SQLite file at an SQLAlchemy URL when needed.

        Raises:
            StoreBroken: the URL is of another kind; another driver would have its place here.

        """
        if not url.startswith("sqlite:///"):
            raise StoreBroken("workers reach SQLite only: see MLP_DATABASE_URL")
        self._path = unquote(url.removeprefix("sqlite:///").partition("?")[0])
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def write(self) -> Iterator["Link"]:
        """Open a write transaction: committed at the end, rolled back by any exception.

        Raises:
            StoreBroken: the database can't be reached or refuses.

        """
        try:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield self
                connection.execute("COMMIT")
            except BaseException:
                connection.rollback()
                raise
        except sqlite3.Error as exc:
            self.close()  # one opened while the disk was read-only stays read-only for ever
            raise failure(exc) from exc

    def exec_driver_sql(self, statement: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute a statement, for each of a list of parameters, as SQLAlchemy's method does."""
        connection = self._connected()
        many = isinstance(parameters, list)
        return (connection.executemany if many else connection.execute)(statement, parameters)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # One with cursors is closed only when they are collected; till then its transaction
            # would hold its locks.
            with suppress(sqlite3.Error):
                connection.rollback()
            connection.close()

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS)
            prepare(self._connection, BUSY_SECONDS)
        return self._connection
