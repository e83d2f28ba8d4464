"""The one way to the database: `read()` or `write()` opens a transaction.

The server's connector shares a pool of connections among its threads (`database.py`); a worker's
has one connection of the bare driver (`driver.py`), which imports in a fraction of the time.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from service.store.sql.engine import Engine
from service.store.sql.transaction import Transaction


class Connector(ABC):
    """A database that can be read and written.

    Raises:
        StoreBroken: from `read()` and `write()`, when the database can't be reached or refuses.

    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def file(self) -> Path | None:
        """The file that holds the database; None if a server holds it."""
        return self.engine.file

    def read(self) -> AbstractContextManager[Transaction]:
        """Open a transaction in which every statement sees the same snapshot."""
        return self._transaction()

    def write(self, alone: str = "") -> AbstractContextManager[Transaction]:
        """Open a transaction that is committed at its end, or rolled back by an exception.

        Transactions that are given the same name run one at a time: see `Transaction.serialize`.
        """
        return self._transaction(write=True, alone=alone)

    @abstractmethod
    def try_value(self, statement: str, values: dict[str, Any]) -> Any:
        """Return the one value that a statement selects, executed by itself and without waiting.

        Returns None if there is no row, if the database is busy or can't be read, or if it is a
        server, whose answers take time. Values are as they are stored.
        """

    @property
    def finds_at_once(self) -> bool:
        """Whether `try_value` finds what there is; `find_value` always does."""
        return self.file is not None

    async def find_value(self, statement: str, values: dict[str, Any]) -> Any:
        """Return what `try_value` does, also from a server, whose answer blocks no event loop."""
        return self.try_value(statement, values)

    @contextmanager
    def _transaction(self, *, write: bool = False, alone: str = "") -> Iterator[Transaction]:
        try:
            with (
                self._connection() as connection,
                self._begun(connection, write=write) as transaction,
            ):
                if alone:
                    transaction.serialize(alone)
                yield transaction
        except self.engine.error as exc:
            raise self.engine.failure(exc) from exc

    @contextmanager
    def _begun(self, connection: Any, *, write: bool) -> Iterator[Transaction]:
        """Open a transaction on a connection of the driver."""
        cursor = connection.cursor()
        cursor.execute(self.engine.begin(write=write))
        try:
            transaction = Transaction(cursor, self.engine)
            yield transaction
            transaction.commit()
        except BaseException:
            self.engine.roll_back(connection)
            raise

    @abstractmethod
    def _connection(self) -> AbstractContextManager[Any]:
        """Lend a connection of the driver, and drop it if it fails for good."""
