"""What differs between database engines. SQLite is the only one so far."""

from pathlib import Path
from typing import Any, Protocol

from service.domain.errors import StoreBroken
from service.store.sql.sqlite import SQLite
from service.store.sql.transaction import Transaction


class Engine(Protocol):
    """The operations of a database engine that are not plain SQL shared by all engines."""

    error: type[Exception]
    """The base of all errors that the driver raises."""

    @property
    def file(self) -> Path | None:
        """The file that holds the database; None if a server holds it."""

    def exists(self) -> bool:
        """Return whether there is a database; connecting to it may create one."""

    def connect(self, patience: float, *, read_only: bool) -> Any:
        """Return a new connection of the driver, which waits `patience` seconds for locks."""

    def prepare(self, connection: Any, patience: float, *, altering: bool) -> None:
        """Set up a new connection; while tables are altered, foreign keys are not enforced."""

    def begin(self, *, write: bool) -> str:
        """Return the statement that begins a transaction."""

    def translate(self, statement: str) -> str:
        """Return a statement of the store in the form that the driver accepts."""

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

    def copy_to(self, path: Path) -> None:
        """Copy the database, as of one moment, to a new SQLite file."""


def engine_of(url: str) -> Engine:
    """Return the engine of the database at an SQLAlchemy URL.

    Raises:
        StoreBroken: no engine supports the URL.

    """
    return SQLite(url)


def is_there(url: str) -> bool:
    """Return whether there is a database at `url`, without creating one."""
    return engine_of(url).exists()
