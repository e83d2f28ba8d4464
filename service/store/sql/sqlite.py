"""SQLite as a database engine: addresses, pragmas, locks and errors, by its driver alone.

A worker imports this file, so it must not import SQLAlchemy.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, unquote

from service.domain.errors import StoreBroken, StoreFull
from service.store.sql.transaction import Statement, Transaction

# DELETE, not WAL: WAL corrupts in SQLite before 3.51.3 when two connections write and checkpoint
# concurrently (sqlite.org/wal.html#walresetbug), and a commit costs only half a millisecond more.
# EXTRA: an acknowledged job survives a power cut. FULL does not sync the folder when a commit has
# unlinked its journal; if that is lost, the next one to open the database rolls the commit back.
PRAGMAS = ("journal_mode=DELETE", "synchronous=EXTRA", "foreign_keys=ON")

OLDEST = (3, 38, 0)
"""The first version that knows all statements of the store: it introduced the operator `->>`."""

# After these errors a connection may be unusable: one opened while the disk was read-only stays
# read-only forever.
SPOILT = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
EXAMPLE = "sqlite:////var/lib/mlp/jobs.sqlite3"


def sqlite_url(path: Path) -> str:
    """Return the URL of an SQLite file, whatever characters its path has."""
    return f"sqlite:///{quote(str(path))}"


class SQLite:
    """The SQLite file at an SQLAlchemy URL; implements `engine.Engine`."""

    error: type[Exception] = sqlite3.Error
    dialect = "sqlite://"

    def __init__(self, url: str) -> None:
        """Take the URL apart; nothing is opened.

        Raises:
            StoreBroken: the URL names no SQLite file, or Python's SQLite is too old. The error does
                not show the URL, because it may contain a password.

        """
        _refuse_old_library()
        self._file = _file_of(url)

    @property
    def file(self) -> Path:
        return self._file

    def exists(self) -> bool:
        return self._file.exists()

    def connect(
        self, patience: float, *, read_only: bool = False, altering: bool = False
    ) -> sqlite3.Connection:
        # There is no isolation level, because the driver must not begin transactions by itself.
        if read_only:  # which also means that no file is created
            address = f"{self._file.absolute().as_uri()}?mode=ro"
            return sqlite3.connect(
                address, patience, isolation_level=None, check_same_thread=False, uri=True
            )
        connection = sqlite3.connect(
            self._file, patience, isolation_level=None, check_same_thread=False
        )
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        if altering:
            connection.execute("PRAGMA foreign_keys=OFF")
        return connection

    def has_ended(self, connection: sqlite3.Connection) -> bool:
        """Return False: a file stays."""
        return False

    def lookups(self) -> None:
        """Return nothing: a file answers at once."""

    def begin(self, *, write: bool) -> str:
        # A write takes the lock first: a read that turns into a write may fail as busy immediately.
        return "BEGIN IMMEDIATE" if write else "BEGIN"

    def translate(self, statement: str) -> str:
        # SQLite has one lock for the whole database, so rows are never locked one by one.
        return statement.replace("FOR UPDATE SKIP LOCKED", "").replace("FOR UPDATE", "")

    def take_any_time(self, cursor: sqlite3.Cursor) -> None:
        """Do nothing: nobody ends a transaction of a file from outside."""

    def serialize(self, cursor: sqlite3.Cursor, what: str) -> None:
        """Do nothing: there is one writer at a time, whatever it writes."""

    def commit(self, cursor: sqlite3.Cursor, last: Sequence[Statement]) -> None:
        for statement, values in last:
            cursor.execute(self.translate(statement), values)
        cursor.execute("COMMIT")  # the driver's own method compiles it anew each time

    def roll_back(self, connection: sqlite3.Connection) -> None:
        connection.rollback()

    def notify(self, kind: str) -> None:
        """Return nothing: the one server that may use the file wakes its own dispatchers."""

    def is_busy(self, exc: BaseException) -> bool:
        return _code(exc) == sqlite3.SQLITE_BUSY

    def is_spoilt(self, exc: BaseException) -> bool:
        return _code(exc) in SPOILT

    def failure(self, exc: BaseException | None) -> StoreBroken:
        full = _code(exc) == sqlite3.SQLITE_FULL
        return (StoreFull if full else StoreBroken)(f"the database failed: {exc}")

    def check(self, transaction: Transaction) -> None:
        found = transaction.row("PRAGMA quick_check(1)") or {}
        if found.get("quick_check") != "ok":
            what = " ".join(str(found.get("quick_check")).split())
            raise StoreBroken(f"the database is damaged; restore it from a backup: {what}")

    def check_references(self, transaction: Transaction) -> None:
        if rows := transaction.rows("PRAGMA foreign_key_check"):
            first = [tuple(row.values()) for row in rows[:3]]
            raise StoreBroken(
                "the database has rows that refer to missing rows, so it was not migrated; "
                f"restore it from a backup: {first}"
            )

    def last_number(self, transaction: Transaction, table: str, column: str) -> int:
        found = transaction.row("SELECT seq FROM sqlite_sequence WHERE name = :name", name=table)
        return int(found["seq"]) if found else 0

    def continue_after(
        self, transaction: Transaction, table: str, column: str, number: int
    ) -> None:
        transaction.execute("DELETE FROM sqlite_sequence WHERE name = :name", name=table)
        insert = "INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :number)"
        transaction.execute(insert, name=table, number=number)

    def copy_to(self, path: Path) -> None:
        try:
            with closing(sqlite3.connect(self._file, 30, isolation_level=None)) as connection:
                connection.execute("VACUUM INTO ?", [str(path)])
        except sqlite3.Error as exc:
            raise StoreBroken(f"the database can't be copied: {exc}") from exc


def _code(exc: BaseException | None) -> int | None:
    """Return SQLite's primary result code."""
    code = getattr(exc, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _refuse_old_library() -> None:
    if sqlite3.sqlite_version_info < OLDEST:
        oldest = ".".join(map(str, OLDEST[:2]))
        raise StoreBroken(
            f"this Python uses SQLite {sqlite3.sqlite_version}, and the service needs {oldest} or "
            "newer; install a newer SQLite, or run the service in its Docker image"
        )


def _file_of(url: str) -> Path:
    scheme, separator, rest = url.partition("://")
    if not separator:
        _refuse("is not a database URL")
    if scheme != "sqlite":
        _refuse(f"has the scheme {scheme}, but only sqlite and postgresql are supported")
    host, _, name = rest.partition("?")[0].partition("/")
    if host or not name or name == ":memory:":
        _refuse("does not name a file, which the server and its workers share")
    return Path(unquote(name))


def _refuse(why: str) -> NoReturn:
    raise StoreBroken(f"MLP_DATABASE_URL {why}; use a URL such as {EXAMPLE}")
