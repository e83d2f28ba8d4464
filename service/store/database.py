"""One database, two ways in: `read()` and `write()`, each one short transaction."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from service.errors import StoreBroken
from service.store.artifacts import make_directory

MIGRATIONS = Path(__file__).parent / "migrations"

# DELETE, not WAL: WAL corrupts in SQLite before 3.51.3 when two connections write and checkpoint
# at once (sqlite.org/wal.html#walresetbug), and a commit costs only half a millisecond more.
# FULL: an acknowledged job survives a power cut.
PRAGMAS = ("journal_mode=DELETE", "synchronous=FULL", "foreign_keys=ON")


class Database:
    """Connections to the database at an SQLAlchemy URL; SQLite unless the URL says otherwise.

    Raises:
        StoreBroken: from `read()` and `write()`, when the database can't be reached or refuses.

    """

    def __init__(self, url: str, busy_seconds: int = 30) -> None:
        """Connect when needed, and wait up to `busy_seconds` for another's transaction."""
        self.url = url
        self._busy_milliseconds = 1000 * busy_seconds
        self._engine = create_engine(url, pool_size=8, max_overflow=32)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", self._prepare_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)

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
            raise StoreBroken(f"the database failed: {exc.orig}") from exc
        except PoolTimeout as exc:
            raise StoreBroken("the database failed: all connections are in use") from exc

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database; None for one in memory, or of another kind."""
        name = self._engine.url.database
        sqlite = self._engine.dialect.name == "sqlite" and name not in (None, "", ":memory:")
        return Path(str(name)) if sqlite else None

    def close(self) -> None:
        self._engine.dispose()

    def _prepare_sqlite(self, connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        # The driver must not begin transactions by itself: _begin_sqlite does.
        connection.isolation_level = None
        # The time-out comes first: the other pragmas may have to wait too.
        for pragma in (f"busy_timeout={self._busy_milliseconds}", *PRAGMAS):
            connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock first: a read that turns into a write may fail at once as busy."""
    write = connection.get_execution_options().get("write", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def migrate(url: str) -> None:
    """Bring the database at `url` to the newest schema; two servers at once migrate once."""
    from alembic import command  # only the server migrates, and the import is slow
    from alembic.config import Config

    if path := make_url(url).database if url.startswith("sqlite") else None:
        make_directory(Path(path).parent)
    config = Config(attributes={"url": url})
    config.set_main_option("script_location", str(MIGRATIONS))
    command.upgrade(config, "head")
