"""Output of records: a table on a terminal, tab-separated lines in a pipe, or JSON on request."""

import csv
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

import typer

from service.cli.terminal import printable

if TYPE_CHECKING:
    from pydantic import BaseModel

MAX_TABLE_ROWS = 50


def print_json(records: "Iterable[BaseModel]") -> None:
    """Print each record as one line of JSON, which `jq` and other programs read as a stream."""
    for record in records:
        typer.echo(record.model_dump_json())


def print_rows(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    wrapped: Collection[str] = (),
    most: int | None = None,
) -> None:
    """Print rows as a table on a terminal, and as tab-separated lines elsewhere.

    Args:
        columns: headings of the table; tab-separated lines have none.
        rows: the cells of each row.
        wrapped: the columns that give way if the terminal is too narrow.
        most: the largest number of rows that a table shows; further rows are only counted.

    """
    from rich.console import Console

    if Console().is_terminal:
        _print_table(columns, rows[:most], wrapped)
        _print_left_out(len(rows) - len(rows[:most]))
        return
    writer = csv.writer(sys.stdout, "excel-tab", lineterminator="\n")
    writer.writerows(rows)


def _print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], wrapped: Collection[str]
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column in columns:
        table.add_column(column, no_wrap=column not in wrapped, overflow="fold")
    for row in rows:
        # Text does not interpret markup: a job or a file may be named "[red]".
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console().print(table)


def _print_left_out(number: int) -> None:
    from rich.console import Console

    if number > 0:
        Console(stderr=True).print(
            f"{number:,} more; add `> FILE.tsv` or `--json` to the command to get all",
            highlight=False,
        )
