"""Tells whether the first line of a table holds the names of its columns."""

from collections.abc import Sequence, Set

from service.ingest.tables.table_cells import is_gap, is_number

MANY = 64
"""The number from which numbers that all differ are names of columns; pixels never all differ."""


def has_names(rows: Sequence[Sequence[str]], separator: str, known: Set[str]) -> bool:
    """Return whether the first row names the columns: it has text where the others have numbers.

    Names may be numbers too. Programs write 0, 1, 2 where there are none, and pandas 0, 0.1, 0.2
    where they would repeat.

    Args:
        rows: the first ones of the table.
        separator: of its columns.
        known: names that are names wherever they stand, in lower case.

    """
    first, body = rows[0], rows[1:]
    if any(cell.strip().lower() in known for cell in first):
        return True
    for at, cell in enumerate(first):
        if is_number(cell, separator) or is_gap(cell):
            continue
        below = [row[at] for row in body if at < len(row) and not is_gap(row[at])]
        if below and all(is_number(it, separator) for it in below):
            return True
    counted = [str(number) for number in range(len(first) - 1)]
    if len(first) > 2 and list(first[1:]) == counted:  # of a data frame without names
        return True
    repeat = [len(set(row)) < len(row) for row in body]
    return len(set(first)) == len(first) >= MANY and bool(repeat) and all(repeat)
