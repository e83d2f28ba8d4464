"""The server's connector: its threads share a pool of connections, which SQLAlchemy keeps."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Connection, create_engine, event, inspect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from service.domain.errors import StoreBroken
from service.store.sql.connector import Connector
from service.store.sql.driver import PATIENCE_SECONDS, DriverConnector
from service.store.sql.engine import engine_of
from service.store.sql.transaction import Transaction

LOOKUP_PATIENCE_SECONDS = 0.005
"""How long `try_value` waits: as long as most commits take. A thread that waits longer, and all the
requests that need threads meanwhile, would cost more than the look-up saves."""


class Database(Connector):
    """The database at an SQLAlchemy URL, for a process with many threads."""

    def __init__(self, url: str, patience: float = PATIENCE_SECONDS) -> None:
        """Connect when needed, and wait up to `patience` seconds for locks."""
        super().__init__(engine_of(url))
        self.url = url
        self._patience = patience
        self._altering = False
        self._pool = create_engine(url, pool_size=8, max_overflow=32)
        event.listen(self._pool, "connect", self._prepare)
        self._lookups = DriverConnector(self.engine, LOOKUP_PATIENCE_SECONDS, read_only=True)

    def try_value(self, statement: str, values: dict[str, Any]) -> Any:
        """Return the value that a statement selects, in microseconds: see `Connector`."""
        return self._lookups.try_value(statement, values)

    @contextmanager
    def alter(self) -> Iterator[Connection]:
        """Open a write transaction that may rebuild tables, as migrations do.

        While foreign keys are enforced, dropping the old table deletes the rows that refer to it;
        and they can be switched off only outside of a transaction. So they are checked at the end.

        Raises:
            StoreBroken: rows refer to rows that do not exist; nothing has changed.

        """
        self._pool.dispose()  # open connections enforce foreign keys
        self._altering = True
        try:
            with self._pool.connect() as connection, connection.begin():
                connection.exec_driver_sql(self.engine.begin(write=True))
                yield connection
                cursor = connection.connection.cursor()
                self.engine.check_references(Transaction(cursor, self.engine.translate))
        except DBAPIError as exc:
            raise self.engine.failure(exc.orig) from exc
        finally:
            self._altering = False
            self._pool.dispose()  # connections that were opened meanwhile do not enforce them

    def has_table(self, name: str) -> bool:
        """Return whether there is a table of that name."""
        try:
            with self._pool.connect() as connection:
                return inspect(connection).has_table(name)
        except DBAPIError as exc:
            raise self.engine.failure(exc.orig) from exc

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._pool.dispose()
        self._lookups.close()

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        try:
            connection = self._pool.raw_connection()
        except PoolTimeout as exc:
            raise StoreBroken("the database failed: all connections are in use") from exc
        try:
            yield connection.driver_connection
        except self.engine.error as exc:
            if self.engine.is_spoilt(exc):
                with suppress(self.engine.error):
                    connection.rollback()
                connection.invalidate(exc)
            raise
        finally:
            connection.close()

    def _prepare(self, connection: Any, _: ConnectionPoolEntry) -> None:
        self.engine.prepare(connection, self._patience, altering=self._altering)
