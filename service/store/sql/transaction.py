"""A transaction executes plain SQL: the one form in which statements are written.

A statement is SQL that SQLite and PostgreSQL both understand, with named parameters (`:name`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from service.store.sql.values import Row, decode_rows, encode

PIECE_ROWS = 10_000
"""Rows that are in memory together, where a statement yields many."""


class Transaction:
    """An open transaction on a connection of the driver.

    JSON and times are encoded in parameters, and decoded in rows.
    """

    def __init__(self, cursor: Any, translate: Callable[[str], str]) -> None:
        """Execute statements with `cursor`, as `translate` returns them."""
        self._cursor, self._translate = cursor, translate

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
