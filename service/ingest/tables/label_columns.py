"""Reads tables that hold nothing but labels, beside tables that hold nothing but pixels."""

import itertools
from collections.abc import Sequence

from service.ingest.labels import label_text
from service.ingest.limits import Limits
from service.ingest.refusal import unusable
from service.ingest.source import UploadedFile
from service.ingest.split_words import split_in
from service.ingest.tables.table_cells import cells_of, is_number
from service.ingest.tables.table_layout import INDEX_NAMES, LABEL_NAMES, LOOKED_AT
from service.ingest.tables.table_text import encoding_of, lines_of

Labels = list[str]


def labels_beside(
    files: Sequence[UploadedFile], limits: Limits
) -> tuple[list[UploadedFile], dict[UploadedFile, Labels]]:
    """Return the tables of pixels, and the labels of those whose labels are in a file of their own.

    Files belong together if their names mean the same split, or if there are just two.

    Raises:
        Unusable: it can't be told which labels belong to which pixels.

    """
    columns = [file for file in files if len(files) > 1 and _is_column(file, limits)]
    tables = [file for file in files if file not in columns]
    found: dict[UploadedFile, Labels] = {}
    for column in columns:
        split = split_in(column.name)
        own = tables if len(tables) == 1 else [it for it in tables if split_in(it.name) == split]
        if len(own) != 1 or own[0] in found:
            raise unusable(
                "no_counterpart",
                "It holds labels only, and it can't be told which table they belong to.",
                column.name,
                "Name the files as train-images.csv and train-labels.csv, for example.",
            )
        found[own[0]] = _labels(column, limits)
    return tables, found


def _is_column(file: UploadedFile, limits: Limits) -> bool:
    """Return whether the first lines hold one cell each, perhaps after the number of the row."""
    lines = first_lines(file, limits, LOOKED_AT)
    return bool(lines) and (all(_is_cell(line) for line in lines) or _is_numbered(lines))


def first_lines(file: UploadedFile, limits: Limits, count: int) -> list[str]:
    """Return the first lines of a table that are not blank."""
    pieces = lines_of(file.path, encoding_of(file.path, file.name), limits, file.name)
    every = (line.decode("utf-8", "replace") for some in pieces for _, line in some)
    return list(itertools.islice(every, count))


def _is_numbered(lines: Sequence[str]) -> bool:
    """Return whether lines hold a number of the row and a cell, below a line of their names."""
    rows = [cells_of(line, ",") for line in lines]
    return (
        rows[0][0].strip().lower() in INDEX_NAMES
        and len(rows) > 1
        and all(len(row) == 2 for row in rows)
        and all(row[0].strip('"').isdecimal() and " " not in row[1].strip() for row in rows[1:])
    )


def _is_cell(line: str) -> bool:
    words = line.split()
    is_row = len(words) > 1 and all(is_number(word) for word in words)
    return not is_row and not any(mark in line.strip() for mark in ",;\t|")


def _label(line: str) -> str:
    """Return the only cell of a line, or the one after the number of the row."""
    return label_text(line.rpartition(",")[2].strip().strip('"'))


def _labels(file: UploadedFile, limits: Limits) -> Labels:
    """Return the labels; a first line that names the column is none."""
    labels: Labels = []
    for some in lines_of(file.path, encoding_of(file.path, file.name), limits, file.name):
        labels += [_label(line.decode("utf-8", "replace")) for _, line in some]
        if len(labels) > limits.rows + 1:
            raise unusable("too_large", f"It has more than {limits.rows:,} labels.", file.name)
    first, second = [*labels, "", ""][:2]
    is_named = first.lower() in LABEL_NAMES or (not is_number(first) and is_number(second))
    is_named = is_named or _is_numbered(first_lines(file, limits, LOOKED_AT))
    return labels[1:] if is_named else labels
