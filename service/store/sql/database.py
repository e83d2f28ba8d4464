"""The server's connector: its threads share a pool of connections, which SQLAlchemy keeps."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Connection, create_engine, event, inspect
from sqlalchemy.exc import DBAPIError, DisconnectionError, InvalidRequestError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from service.domain.errors import StoreBroken
from service.store.sql.connector import Connector
from service.store.sql.driver import PATIENCE_SECONDS, DriverConnector
from service.store.sql.engine import engine_of

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
        self._pool = create_engine(
            self.engine.dialect,
            creator=self._connect,
            poolclass=QueuePool,
            pool_size=8,
            max_overflow=32,
        )
        if self.engine.file is None:
            event.listen(self._pool, "checkout", self._refuse_ended)
        self._lookups = DriverConnector(self.engine, LOOKUP_PATIENCE_SECONDS, read_only=True)
        self._loop_lookups = self.engine.lookups()

    def try_value(self, statement: str, values: dict[str, Any]) -> Any:
        """Return the value that a statement selects, in microseconds: see `Connector`.

        A server may be slow or away, and whoever calls this must not wait.
        """
        return None if self._loop_lookups else self._lookups.try_value(statement, values)

    async def find_value(self, statement: str, values: dict[str, Any]) -> Any:
        if self._loop_lookups:
            return await self._loop_lookups.value(statement, values)
        return self._lookups.try_value(statement, values)

    def _refuse_ended(self, connection: Any, *_: object) -> None:
        """Let the pool replace a connection whose server has been restarted.

        A round trip to find out, before each transaction, would cost as much as a short one.
        """
        if self.engine.has_ended(connection):
            raise DisconnectionError

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
            # Alembic would commit after each migration if SQLAlchemy knew of no transaction.
            with self._pool.connect() as connection, connection.begin():
                driver = connection.connection.driver_connection
                with self._begun(driver, write=True) as transaction:
                    transaction.take_any_time()
                    transaction.serialize("schema")
                    yield connection
                    self.engine.check_references(transaction)
        except DBAPIError as exc:
            raise self.engine.failure(exc.orig) from exc
        except self.engine.error as exc:
            raise self.engine.failure(exc) from exc
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
        if self._loop_lookups:
            self._loop_lookups.close()

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        try:
            connection = self._pool.raw_connection()
        except PoolTimeout as exc:
            raise StoreBroken("the database failed: all connections are in use") from exc
        except (
            DisconnectionError,
            InvalidRequestError,
        ) as exc:  # each connection that was tried had ended
            raise StoreBroken("the database failed: it has ended all connections") from exc
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

    def _connect(self) -> Any:
        return self.engine.connect(self._patience, altering=self._altering)
