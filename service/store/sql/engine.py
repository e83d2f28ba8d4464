"""What differs between database engines: SQLite and PostgreSQL."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from service.domain.errors import StoreBroken
from service.store.sql.sqlite import SQLite
from service.store.sql.transaction import Statement, Transaction

if TYPE_CHECKING:
    from service.store.sql.postgresql_lookups import PostgreSQLLookups

EXTRA = "cluster"
"""The extra of the package that installs the driver of PostgreSQL."""


class Engine(Protocol):
    """The operations of a database engine that are not plain SQL shared by all engines."""

    error: type[Exception]
    """The base of all errors that the driver raises."""

    dialect: str
    """The beginning of SQLAlchemy's URLs, which names the engine and its driver."""

    @property
    def file(self) -> Path | None:
        """The file that holds the database; None if a server holds it."""

    def exists(self) -> bool:
        """Return whether there is a database; connecting to it may create one."""

    def connect(self, patience: float, *, read_only: bool = False, altering: bool = False) -> Any:
        """Return a new connection of the driver, which waits `patience` seconds for locks.

        While tables are altered, foreign keys need not be enforced.
        """

    def has_ended(self, connection: Any) -> bool:
        """Return whether a connection is known to have ended, without asking the server."""

    def lookups(self) -> "PostgreSQLLookups | None":
        """Return what finds single values on an event loop; None if finding them never waits."""

    def begin(self, *, write: bool) -> str:
        """Return the statement that begins a transaction."""

    def translate(self, statement: str) -> str:
        """Return a statement of the store in the form that the driver accepts."""

    def serialize(self, cursor: Any, what: str) -> None:
        """Keep other transactions out that serialize the same: see `Transaction.serialize`."""

    def take_any_time(self, cursor: Any) -> None:
        """Lift the limits of a transaction: see `Transaction.take_any_time`."""

    def commit(self, cursor: Any, last: Sequence[Statement]) -> None:
        """Execute statements in the order of all commits, and commit."""

    def roll_back(self, connection: Any) -> None:
        """Roll back what has not been committed; nothing happens without a transaction."""

    def notify(self, kind: str) -> Statement | None:
        """Return the statement that wakes the dispatchers of other hosts at the commit."""

    def is_busy(self, exc: BaseException) -> bool:
        """Return whether an error only means that another connection has locked the database."""

    def is_spoilt(self, exc: BaseException) -> bool:
        """Return whether a connection may be unusable after an error."""

    def failure(self, exc: BaseException | None) -> StoreBroken:
        """Return an error of the driver as one of the store."""

    def check(self, transaction: Transaction) -> None:
        """Raise StoreBroken if the database is damaged."""

    def check_references(self, transaction: Transaction) -> None:
        """Raise StoreBroken if rows refer to rows that do not exist."""

    def last_number(self, transaction: Transaction, table: str, column: str) -> int:
        """Return the last number that a column has got by itself, also if its row is gone."""

    def continue_after(
        self, transaction: Transaction, table: str, column: str, number: int
    ) -> None:
        """Let a column get by itself only numbers that are higher than `number`, which is not 0."""

    def copy_to(self, path: Path) -> None:
        """Copy the file that holds the database, as of one moment."""


def engine_of(url: str) -> Engine:
    """Return the engine of the database at a URL.

    Raises:
        StoreBroken: no engine supports the URL, or its driver is not installed.

    """
    if not url.startswith(("postgresql", "postgres")):
        return SQLite(url)
    try:
        from service.store.sql.postgresql import PostgreSQL
    except ImportError:
        raise StoreBroken(
            f"MLP_DATABASE_URL names PostgreSQL, whose driver is not installed; install "
            f"mlp-service[{EXTRA}]"
        ) from None
    return PostgreSQL(url)


def is_there(url: str) -> bool:
    """Return whether there is a database at `url`, without creating one."""
    return engine_of(url).exists()
