"""Tells which tables of an upload are no part of the set, as in the archives of competitions.

They hold the images that are to be told, without labels, and an example of an answer. Letters of
EMNIST come with a table of their codes.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.ingest.limits import Limits
from service.ingest.source import Doubt, UploadedFile, unlabelled
from service.ingest.split_words import split_in
from service.ingest.tables.label_columns import first_lines
from service.ingest.tables.table_cells import SEPARATORS, cells_of

NO_ROWS = re.compile(r"submission|mapping|class_?map", re.IGNORECASE)
"""Words in the names of tables that hold no rows of a set."""


@dataclass
class Kept:
    """The tables of an upload that are read."""

    files: list[UploadedFile]
    ignored: Counter[str] = field(default_factory=Counter)
    doubts: list[Doubt] = field(default_factory=list)
    """One for each table that has no labels."""
    label: str = ""
    """The name of the column that a table without labels lacks."""


def tables_of_set(files: Sequence[UploadedFile], limits: Limits) -> Kept:
    """Return the tables that hold rows of a set."""
    named = [file for file in files if not NO_ROWS.search(file.name)] or list(files)
    kept = Kept([], Counter({"other tables": len(files) - len(named)}))
    headers = [_header(file, limits) if len(named) > 1 else () for file in named]
    for file, header in zip(named, headers, strict=True):
        lacking = {name for other in headers if (name := _lacked(header, other))}
        if split_in(file.name) in (None, "train") or not lacking:
            kept.files.append(file)
        else:
            kept.doubts.append(unlabelled(file.name))
            kept.label = min(lacking)
    return kept


def _header(file: UploadedFile, limits: Limits) -> tuple[str, ...]:
    """Return the cells of the first line, as they are separated in it most often."""
    line = next(iter(first_lines(file, limits, 1)), "")
    separator = max(SEPARATORS, key=line.count)
    return tuple(cell.strip() for cell in cells_of(line, separator))


def _lacked(header: Sequence[str], other: Sequence[str]) -> str:
    """Return the only name that another header has besides; empty if they differ in more."""
    missing = set(other) - set(header)
    is_same = len(other) == len(header) + 1 and set(header) <= set(other)
    return missing.pop() if is_same and len(missing) == 1 else ""
