"""Copies all rows of a database to another one, of whatever engine."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sqlalchemy import Table

from service.store.sql.connector import Connector
from service.store.sql.database import Database
from service.store.sql.driver import DriverConnector
from service.store.sql.engine import Engine
from service.store.sql.migrate import migrate
from service.store.sql.schema import metadata
from service.store.sql.sqlite import sqlite_url
from service.store.sql.transaction import Transaction
from service.store.sql.values import Row

ROWS_TOGETHER = 5000
NOT_COPIED = {"hosts", "service_identity"}
"""Tables about the processes that use a database: a copy is another service, without any hosts."""


def copy_database(source: Engine, path: Path) -> None:
    """Copy a database, as of one moment, to a new SQLite file of the newest schema.

    Raises:
        StoreBroken: the database can't be read, or the file can't be written.

    """
    if source.file:
        source.copy_to(path)
    # The package may have been upgraded, and the server not started since.
    migrate(sqlite_url(path))
    if not source.file:
        target = Database(sqlite_url(path))
        with closing(target), closing(DriverConnector(source)) as original:
            copy_rows(original, target)


def copy_rows(source: Connector, target: Connector) -> int:
    """Copy what is committed in `source`, as of one moment; return the number of rows.

    Args:
        source: a database of the newest schema.
        target: a database of the same schema, without any rows.

    Raises:
        StoreBroken: one of them fails; then `target` has no rows.

    """
    copied = 0
    with source.read() as original, target.write() as copy:
        for table in metadata.sorted_tables:  # rows come after those to which they refer
            if table.name in NOT_COPIED:
                continue
            names = [column.name for column in table.columns]
            values = ", ".join(f":{name}" for name in names)
            insert = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({values})"  # noqa: S608
            for rows in _pieces(original, table):
                copy.execute_many(insert, rows)
                copied += len(rows)
    return copied


def _pieces(transaction: Transaction, table: Table) -> Iterator[list[Row]]:
    """Yield the rows of a table piece by piece, in the order of its primary key."""
    keys = [column.name for column in table.primary_key.columns]
    order = f"ORDER BY {', '.join(keys)} LIMIT {ROWS_TOGETHER}"
    beyond = f"({', '.join(keys)}) > ({', '.join(f':{key}' for key in keys)})"
    rows = transaction.rows(f"SELECT * FROM {table.name} {order}")  # noqa: S608  names of our own
    while rows:
        yield rows
        last = {key: rows[-1][key] for key in keys}
        rows = transaction.rows(f"SELECT * FROM {table.name} WHERE {beyond} {order}", **last)  # noqa: S608
