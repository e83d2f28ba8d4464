"""Spreads the pixels of tables that hold all of a row in one cell, as FER2013 does.

Its rows are as `0,70 80 82 72,Training`, mostly below a line of names.
"""

from collections.abc import Sequence

from service.ingest.tables.table_cells import is_number
from service.ingest.tables.table_text import Lines

LEAST_PIXELS = 4
"""The fewest pixels in a cell; fewer numbers may be a date or a name."""


def has_packed_pixels(lines: Sequence[str]) -> bool:
    """Return whether exactly one cell of each row holds pixels with spaces between them.

    Args:
        lines: the first ones of a table.

    """
    return len(lines) > 1 and all(_packed_cell(line) is not None for line in lines[1:])


def spread_head(lines: Sequence[str]) -> list[str]:
    """Return the first lines with a cell for each pixel, and a name for each of these."""
    if _packed_cell(lines[0]) is not None:  # there are no names
        return [_spread(line) for line in lines]
    names, rows = lines[0].split(","), lines[1:]
    column = _packed_cell(rows[0]) or 0
    count = len(_cells(rows[0])[column].split())
    if len(names) == len(_cells(rows[0])):
        pixels = [f"{names[column].strip()}{at}" for at in range(count)]
        names = [*names[:column], *pixels, *names[column + 1 :]]
    return [",".join(names), *(_spread(line) for line in rows)]


def spread(lines: Lines) -> Lines:
    """Return lines with a cell for each pixel."""
    return Lines(lines.number, _spread(lines.data.decode("latin-1")).encode("latin-1"))


def _spread(text: str) -> str:
    return text.replace('"', "").replace(" ", ",")


def _cells(line: str) -> list[str]:
    return line.replace('"', "").split(",")


def _packed_cell(line: str) -> int | None:
    """Return the column of the cell with pixels, if no other cell holds spaces."""
    with_spaces = [at for at, cell in enumerate(_cells(line)) if " " in cell.strip()]
    if len(with_spaces) != 1 or len(_cells(line)) < 2:
        return None
    numbers = _cells(line)[with_spaces[0]].split(" ")
    is_packed = len(numbers) >= LEAST_PIXELS and all(map(is_number, numbers))
    return with_spaces[0] if is_packed else None
