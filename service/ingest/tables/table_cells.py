"""Cuts the lines of a table into cells, and reads numbers from them."""

import csv
import math
from collections import Counter
from collections.abc import Sequence

from service.ingest.refusal import unusable

SEPARATORS = ",;\t| "
GAPS = {"", "na", "n/a", "nan", "null", "none", "?", "-"}
"""What people write where they have no value."""


def separator_of(lines: Sequence[str], place: str) -> str:
    """Return the character that stands in each line, and as often as in the others.

    Raises:
        Unusable: there is none.

    """

    def fitness(mark: str) -> tuple[bool, bool, int, int]:
        counts = Counter(line.strip(" ").count(mark) for line in lines)
        often, same = max(counts.items(), key=lambda it: (it[1], it[0]))
        is_regular = often > 0 and same > len(lines) // 2
        # A comma may be the decimal sign, so that the others come first where both fit.
        return (is_regular, is_regular and mark in ";\t|", same if often else 0, often)

    best = max(SEPARATORS, key=fitness)
    if not fitness(best)[0]:
        raise unusable("no_table", "Nothing separates its columns.", place, "Use commas.")
    return best


def cells_of(line: str, separator: str) -> list[str]:
    """Return the cells of a line; tabs at its end and spaces at both are no cells."""
    if separator == " ":
        return line.split()
    if separator == "\t":
        line = line.rstrip(" \t")
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        return []


def is_number(text: str, separator: str = ",") -> bool:
    """Return whether a cell is a finite number."""
    return math.isfinite(number_in(text, separator))


def number_in(text: str, separator: str = ",") -> float:
    """Return the number in a cell, which is not finite if there is none."""
    if "_" in text:  # Python would take 1_000 for a number
        return math.nan
    try:
        return float(text.replace(",", ".") if separator != "," else text)
    except ValueError:
        return math.nan


def is_gap(text: str) -> bool:
    return text.strip().lower() in GAPS
