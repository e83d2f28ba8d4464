"""A transaction executes plain SQL: the one form in which statements are written.

A statement is SQL that SQLite and PostgreSQL both understand, with named parameters (`:name`).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from service.store.sql.values import Row, decode_rows, encode

if TYPE_CHECKING:
    from service.store.sql.engine import Engine

PIECE_ROWS = 10_000
"""Rows that are in memory together, where a statement yields many."""

Statement = tuple[str, dict[str, Any]]
"""A statement and its parameters, encoded."""


class Transaction:
    """An open transaction on a connection of the driver.

    JSON and times are encoded in parameters, and decoded in rows.
    """

    def __init__(self, cursor: Any, engine: "Engine") -> None:
        """Execute statements with `cursor`, as `engine` translates them."""
        self._cursor, self._engine, self._translate = cursor, engine, engine.translate
        self._last: list[Statement] = []

    def serialize(self, what: str) -> None:
        """Wait until no other transaction has serialized the same, and keep them out until the end.

        It is needed where a transaction decides by rows that it has not locked, such as those that
        are not there yet. An engine with one writer at a time has nothing to do.
        """
        self._engine.serialize(self._cursor, what)

    def take_any_time(self) -> None:
        """Let this transaction wait for locks, and pause between statements, without a limit."""
        self._engine.take_any_time(self._cursor)

    def execute_last(self, statement: str, /, **values: Any) -> None:
        """Execute a statement right before the commit, and in the order of all commits.

        So a number that it takes is higher than all numbers that others can see, and nobody who
        reads later will find a lower one that is new.
        """
        self._last.append((statement, encode(values)))

    def notify(self, kind: str) -> None:
        """Wake the dispatchers of other hosts that work on rows of a kind, once this commits."""
        if statement := self._engine.notify(kind):
            self._last.append(statement)

    def commit(self) -> None:
        """Execute what was to be executed last, and commit."""
        self._engine.commit(self._cursor, self._last)

    def rows(self, statement: str, /, **values: Any) -> list[Row]:
        """Execute a statement and return the rows that it yields."""
        cursor = self._cursor
        cursor.execute(self._translate(statement), encode(values))
        return decode_rows(cursor.description, cursor.fetchall())

    def row(self, statement: str, /, **values: Any) -> Row | None:
        """Execute a statement and return its first row, or None if it yields none."""
        found = self.rows(statement, **values)
        return found[0] if found else None

    def pieces(self, statement: str, /, **values: Any) -> Iterator[list[tuple[Any, ...]]]:
        """Execute a statement that yields many rows of numbers, and yield them piece by piece."""
        cursor = self._cursor
        cursor.execute(self._translate(statement), encode(values))
        while found := cursor.fetchmany(PIECE_ROWS):
            yield found

    def execute(self, statement: str, /, **values: Any) -> None:
        """Execute a statement that yields no rows."""
        self._cursor.execute(self._translate(statement), encode(values))

    def execute_many(self, statement: str, rows: Iterable[Mapping[str, Any]], /) -> None:
        """Execute a statement that yields no rows, once for each mapping of parameters."""
        encoded = [encode(row) for row in rows]
        self._cursor.executemany(self._translate(statement), encoded)
