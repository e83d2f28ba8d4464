"""One database, two ways in: `read()` and `write()`, each one short transaction."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, create_engine, event, inspect, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from service.domain.errors import StoreBroken
from service.store.files.local import make_directory
from service.store.sql.quick_lookup import Glance
from service.store.sql.sqlite import BUSY_SECONDS, failure, prepare, sqlite_code

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
REVISIONS = sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("*_*.py"))
"""Oldest first; asked for here, because Alembic takes a sixth of a second to import."""

# After these a connection may be of no use any more: one opened while the disk was read-only stays
# read-only for ever.
SPOILT = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)


class Database:
    """Connections to the SQLite database at an SQLAlchemy URL.

    Raises:
        StoreBroken: from `read()` and `write()`, when the database can't be reached or refuses.

    """

    def __init__(self, url: str, busy_seconds: int = BUSY_SECONDS) -> None:
        """Connect when needed, and wait up to `busy_seconds` for another's transaction."""
        self.url = url
        self._busy_seconds = busy_seconds
        self._altering = False
        file_of(url)  # or refuse it
        self._engine = create_engine(url, pool_size=8, max_overflow=32)
        event.listen(self._engine, "connect", self._prepare_sqlite)
        event.listen(self._engine, "begin", _begin_sqlite)
        event.listen(self._engine, "handle_error", _drop_spoilt)
        self.glance = Glance(self.file)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read transaction: everything in it sees one moment."""
        with self._transaction(write=False) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a write transaction: committed at the end, rolled back by any exception."""
        with self._transaction(write=True) as connection:
            yield connection

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                connection = connection.execution_options(write=write)
                with connection.begin():
                    yield connection
        except DBAPIError as exc:
            raise failure(exc.orig) from exc
        except PoolTimeout as exc:
            raise StoreBroken("the database failed: all connections are in use") from exc

    @property
    def file(self) -> Path | None:
        """Where the database lies; None if in memory."""
        name = self._engine.url.database
        return Path(name) if name else None

    def is_outdated(self) -> bool:
        """Tell whether `migrate` would change the schema of tables that are there."""
        return self.revision() in REVISIONS[:-1]

    def revision(self) -> str | None:
        """Return the revision of the schema; None if there are no tables yet."""
        with self.read() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()

    @contextmanager
    def alter(self) -> Iterator[Connection]:
        """Open a write transaction that may make tables anew, as migrations do.

        While foreign keys are enforced, dropping the old table deletes the rows that refer to it;
        and they can be switched off only outside of a transaction. So they are checked at the end.

        Raises:
            StoreBroken: rows refer to rows that are not there; nothing has changed.

        """
        self._engine.dispose()  # connections that are open enforce them
        self._altering = True
        try:
            with self.write() as connection:
                yield connection
                if rows := _rows_of_nothing(connection):
                    raise StoreBroken(f"the database has rows that refer to nothing: {rows[:3]}")
        finally:
            self._altering = False
            self._engine.dispose()  # and those that were opened meanwhile do not

    def close(self) -> None:
        self._engine.dispose()
        self.glance.close()

    def _prepare_sqlite(self, connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        prepare(connection, self._busy_seconds)
        if self._altering:
            connection.execute("PRAGMA foreign_keys=OFF")


def sqlite_url(path: Path) -> str:
    """Return the URL of an SQLite file, whatever signs its path has."""
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def file_of(url: str) -> Path:
    """Return where the database lies that an operator named.

    Raises:
        StoreBroken: none can be reached there. The URL is not shown: it may hold a password.

    """
    mend = "see MLP_DATABASE_URL, such as sqlite:////var/lib/mlp/jobs.sqlite3"
    try:
        place = make_url(url)
    except (ArgumentError, ValueError) as exc:
        raise StoreBroken(f"the database's address is no SQLAlchemy URL: {mend}") from exc
    if place.drivername != "sqlite":
        raise StoreBroken(f"only SQLite is supported, not {place.drivername}: {mend}")
    if place.host or not place.database or place.database == ":memory:":
        raise StoreBroken(f"the database must be a file, for the workers share it: {mend}")
    return Path(place.database)


def _drop_spoilt(context: ExceptionContext) -> None:
    if sqlite_code(context.original_exception) not in SPOILT:
        return
    context.is_disconnect = True
    if context.connection is not None:
        # A connection with cursors is closed only when they are collected: till then its
        # transaction would hold its locks.
        with suppress(sqlite3.Error):
            context.connection.connection.rollback()


def _rows_of_nothing(connection: Connection) -> list[Any]:
    """Return (table, row, table referred to, …) of rows that refer to rows that are not there."""
    return list(connection.exec_driver_sql("PRAGMA foreign_key_check"))


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock first: a read that turns into a write may fail at once as busy."""
    write = connection.get_execution_options().get("write", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def is_there(url: str) -> bool:
    """Tell whether there is a database at `url`; to open it would make it."""
    return file_of(url).exists()


def migrate(url: str) -> None:
    """Bring the database at `url` to the newest schema; two servers at once migrate once.

    Raises:
        StoreBroken: it can't be reached or written, it is damaged, or its schema is a newer one.

    """
    if _checked_revision(url) == REVISIONS[-1]:
        return
    from alembic import command
    from alembic.util import CommandError

    try:
        command.upgrade(_migrations(url), "head")
    except CommandError as exc:
        raise StoreBroken(f"the database can't be upgraded by this version: {exc}") from exc


def _migrations(url: str) -> "Config":
    from alembic.config import Config

    config = Config(attributes={"url": url})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _checked_revision(url: str) -> str | None:
    """Refuse a damaged database before anything builds on it; make the folder of a new one."""
    database = Database(url)
    try:
        make_directory(file_of(url).parent)
        with database.read() as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if found != "ok":
            what = " ".join(str(found).split())
            raise StoreBroken(f"the database is damaged; restore a backup: {what}")
        return database.revision()
    finally:
        database.close()
