"""Copies all rows of a database to another one, of whatever engine."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Table

from service.domain.errors import StoreBroken
from service.store.sql.connector import Connector
from service.store.sql.database import Database
from service.store.sql.driver import DriverConnector
from service.store.sql.engine import Engine
from service.store.sql.migrate import REVISIONS, migrate, revision_of_tables
from service.store.sql.schema import metadata
from service.store.sql.sqlite import sqlite_url
from service.store.sql.transaction import Transaction
from service.store.sql.values import Row

ROWS_TOGETHER = 5000
VALUES_TOGETHER = 2000
NOT_COPIED = {"hosts", "service_identity", "unfinished_move"}
"""Tables about the processes that use a database: a copy is another service, without any hosts."""
COPIED = [table for table in metadata.sorted_tables if table.name not in NOT_COPIED]


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
            refuse_outdated(original)
            copy_rows(original, target)


def copy_rows(
    source: Connector,
    target: Connector,
    finish: Callable[[Transaction], None] = lambda _: None,
) -> int:
    """Copy what is committed in `source`, as of one moment; return the number of rows.

    The copy is read again and compared before it is committed.

    Args:
        source: a database of the newest schema.
        target: a database of the same schema, without any rows.
        finish: called last with the transaction in which the copy is written.

    Raises:
        StoreBroken: one of them fails, or the rows differ; then `target` has no rows.

    """
    copied = 0
    with source.read() as original, target.write() as copy:
        original.take_any_time()
        copy.take_any_time()
        for table in COPIED:  # rows come after those to which they refer
            counted = digest_of_rows(original, table, partial(_insert, copy, table))
            if digest_of_rows(copy, table) != counted:
                raise StoreBroken(f"the rows of the table {table.name} are not what was copied")
            copied += counted.rows
        for table in COPIED:
            if table.dialect_options["sqlite"]["autoincrement"]:
                _continue_numbers(source, original, target, copy, table)
        finish(copy)
    return copied


def refuse_outdated(connector: Connector) -> None:
    """Refuse a database that another version has to migrate, or has migrated.

    Raises:
        StoreBroken: its schema is not the newest.

    """
    if (found := revision_of_tables(connector)) != REVISIONS[-1]:
        raise StoreBroken(
            f"the database has the schema {found}, and this version copies {REVISIONS[-1]}; use "
            "the version of its servers, or bring it up to date with `mlp-service migrate`"
        )


def tables_with_rows(transaction: Transaction) -> list[str]:
    """Return the names of the tables that a copy would fill, and that have rows already."""
    return [
        table.name
        for table in COPIED
        if transaction.row(f"SELECT 1 AS held FROM {table.name} LIMIT 1")  # noqa: S608
    ]


class RowsDigest(NamedTuple):
    """What a table holds, in whatever order and engine."""

    rows: int
    digest: int


def digest_of_rows(
    transaction: Transaction, table: Table, each: Callable[[list[Row]], None] = lambda _: None
) -> RowsDigest:
    """Return the digest of a table, after `each` has been called with all rows, piece by piece."""
    count = total = 0
    for rows in _pieces(transaction, table):
        each(rows)
        count += len(rows)
        for row in rows:
            text = json.dumps([row[column.name] for column in table.columns], default=str)
            total += int.from_bytes(hashlib.sha256(text.encode()).digest())
    return RowsDigest(count, total % 2**256)


def _insert(transaction: Transaction, table: Table, rows: list[Row]) -> None:
    """Insert rows, many with each statement: a server may be far away."""
    names = [column.name for column in table.columns]
    together = max(1, VALUES_TOGETHER // len(names))
    for start in range(0, len(rows), together):
        some = rows[start : start + together]
        places = ", ".join(
            f"({', '.join(f':{name}_{index}' for name in names)})" for index in range(len(some))
        )
        insert = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES {places}"  # noqa: S608
        values = {f"{name}_{index}": row[name] for index, row in enumerate(some) for name in names}
        transaction.execute(insert, **values)


def _continue_numbers(
    source: Connector, original: Transaction, target: Connector, copy: Transaction, table: Table
) -> None:
    """Let no number be used again, also none of a row that has been deleted."""
    [column] = table.primary_key.columns
    if number := source.engine.last_number(original, table.name, column.name):
        target.engine.continue_after(copy, table.name, column.name, number)


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
