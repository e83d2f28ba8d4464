"""Turns lines of a table into numbers, labels and splits.

Lines of whole numbers up to 999, as most tables of pixels have them, are read from their bytes at
once, and those of any other numbers by NumPy. Lines with quotes are read cell by cell, and so are
those with faults, to say where these are.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.ingest.labels import label_text
from service.ingest.refusal import MOST_FLAWS, Flaw
from service.ingest.split_words import split_named
from service.ingest.tables.line_numbers import line_place
from service.ingest.tables.table_cells import cells_of, is_gap, number_in
from service.ingest.tables.table_layout import Layout
from service.ingest.tables.table_text import Lines

Whole = NDArray[np.uint8] | NDArray[np.uint16]
LINE_FEED, ZERO = 10, 48
MOST_DIGITS = 3
ELSEWHERE = "?"
"""Stands for labels that are in a file of their own."""
SHOWN = 20
"""Characters of a cell in an error."""


@dataclass(frozen=True)
class Rows:
    """Some rows of a table."""

    lines: Sequence[int]
    """Their numbers in the file, counted from 1."""
    values: NDArray[Any]
    """Pixels or vectors: uint8, uint16 or float64 (n, columns), or (n, …) of JSON lines."""
    labels: list[str]
    splits: list[str | None]


def rows_at_once(lines: Lines, layout: Layout) -> Rows | None:
    """Return the rows of lines without looking at each cell; None if they need a closer look."""
    if b'"' in lines.data:
        return None
    return _whole_rows(lines, layout) or _number_rows(lines, layout)


def _whole_rows(lines: Lines, layout: Layout) -> Rows | None:
    """Return the rows of lines of whole numbers with up to three digits; None for others."""
    data = lines.data
    if layout.separator in " \t":
        data = data.replace(layout.separator.encode() + b"\n", b"\n")
    found = _Cells.of(data, layout)
    if found is None:
        return None
    values, one_hot = found.numbers(layout.pixels), found.numbers(layout.one_hot)
    if values is None or one_hot is None:
        return None
    numbers = range(lines.number, lines.number + len(values))
    return _checked(numbers, values, one_hot, found.texts, layout)


def _number_rows(lines: Lines, layout: Layout) -> Rows | None:
    """Return the rows of lines of numbers by NumPy's reader of texts; None for others."""
    separator = layout.separator.encode()
    trailing = separator if layout.separator in " \t" else b""
    numbered = [(number, line.rstrip(b" " + trailing)) for number, line in lines]
    rows = [line for _, line in numbered]
    if any(line.count(separator) != layout.columns - 1 for line in rows) or not rows:
        return None
    numbers = [line.replace(b",", b".") if separator != b"," else line for line in rows]
    columns = [*layout.pixels, *layout.one_hot]
    try:
        read = np.loadtxt(
            numbers, delimiter=layout.separator, usecols=columns, comments=None, ndmin=2
        )
    except ValueError:
        return None
    if not np.isfinite(read).all():
        return None
    values, one_hot = np.split(read, [len(layout.pixels)], axis=1)

    def texts(column: int) -> list[str] | None:
        return _texts(_cell(line, separator, column, layout.columns) for line in rows)

    return _checked([number for number, _ in numbered], values, one_hot, texts, layout)


def _cell(line: bytes, separator: bytes, column: int, columns: int) -> bytes:
    if column > columns // 2:
        return line.rsplit(separator, columns - column)[1]
    return line.split(separator, column + 1)[column]


def _texts(cells: Iterable[bytes]) -> list[str] | None:
    """Return cells as texts; None if they are no UTF-8."""
    try:
        return [label_text(cell.decode()) for cell in cells]
    except UnicodeDecodeError:
        return None


def _checked(
    numbers: Sequence[int],
    values: NDArray[Any],
    one_hot: NDArray[Any],
    texts: Callable[[int], list[str] | None],
    layout: Layout,
) -> Rows | None:
    """Return rows; None if one has no label or split."""
    labels = texts(layout.label) if layout.label is not None else _one_hot_labels(one_hot)
    if not layout.is_labelled:
        labels = [ELSEWHERE] * len(values)
    splits: list[str | None] = [None] * len(values)
    if layout.split is not None:
        splits = [split_named(word) for word in texts(layout.split) or []]
    if not labels or not all(labels) or (layout.split is not None and not all(splits)):
        return None
    return Rows(numbers, values, labels, splits)


@dataclass(frozen=True)
class _Cells:
    """Where the cells of lines end, and how long they are, each (n, columns)."""

    data: bytes
    ends: NDArray[np.int32]
    lengths: NDArray[np.int32]

    @classmethod
    def of(cls, data: bytes, layout: Layout) -> "_Cells | None":
        """Return the cells; None if lines have other numbers of columns, or are blank."""
        characters = np.frombuffer(data, np.uint8)
        is_end = (characters == ord(layout.separator)) | (characters == LINE_FEED)
        flat = np.flatnonzero(is_end).astype(np.int32)
        rows = data.count(b"\n")
        if len(flat) != rows * layout.columns:
            return None
        lengths = flat.copy()
        lengths[1:] -= flat[:-1] + 1
        ends = flat.reshape(rows, -1)
        if not (characters[ends[:, -1]] == LINE_FEED).all():
            return None
        return cls(data, ends, lengths.reshape(rows, -1))

    def numbers(self, columns: Sequence[int]) -> Whole | None:
        """Return whole numbers of up to three digits; None if there are others."""
        chosen = _slice_or_list(columns)
        ends, lengths = self.ends[:, chosen], self.lengths[:, chosen]
        if lengths.size and not (lengths.min() >= 1 and lengths.max() <= MOST_DIGITS):
            return None
        characters = np.frombuffer(self.data, np.uint8)
        values = np.zeros(ends.shape, np.uint16)
        for place in range(int(lengths.max(initial=0))):
            digits = characters[ends - (place + 1)] - np.uint8(ZERO)
            digits[lengths <= place] = 0
            if digits.size and digits.max() > 9:
                return None
            values += digits * np.uint16(10**place)
        return values.astype(np.uint8) if values.max(initial=0) <= 255 else values

    def texts(self, column: int) -> list[str] | None:
        """Return the cells of a column; None if they are no UTF-8."""
        ends = self.ends[:, column].tolist()
        lengths = self.lengths[:, column].tolist()
        return _texts(
            self.data[end - length : end] for end, length in zip(ends, lengths, strict=True)
        )


def _slice_or_list(columns: Sequence[int]) -> slice | list[int]:
    """Return neighbouring columns as a slice, which needs no copy."""
    if columns and list(columns) == list(range(columns[0], columns[-1] + 1)):
        return slice(columns[0], columns[-1] + 1)
    return list(columns)


def _one_hot_labels(values: NDArray[Any]) -> list[str]:
    """Return the columns with the 1; nothing if rows have not exactly one, and else 0."""
    if not (((values == 0) | (values == 1)).all() and (values.sum(axis=1) == 1).all()):
        return []
    return [str(at) for at in values.argmax(axis=1).tolist()]


# --- Cell by cell ---


@dataclass
class CarefulRows:
    """Reads lines cell by cell, and collects what is wrong with them."""

    layout: Layout
    place: str
    """Names the file in errors; empty if there is only one."""
    flaws: list[Flaw] = field(default_factory=list)

    def rows(self, lines: Lines) -> Rows:
        """Return the rows that are right; those that are not are added to the flaws."""
        numbers, values, labels, splits = [], [], [], []
        for number, line in lines:
            if len(self.flaws) >= MOST_FLAWS:
                break
            before = len(self.flaws)
            row = self._cells(number, line)
            if row is None:
                continue
            found = self._values(number, row)
            label, split = self._label(number, row), self._split(number, row)
            if len(self.flaws) == before:
                numbers.append(number)
                values.append(found)
                labels.append(label)
                splits.append(split)
        shape = (len(values), len(self.layout.pixels))
        return Rows(numbers, np.array(values, np.float64).reshape(shape), labels, splits)

    def _add(self, code: str, detail: str, number: int, column: int | None = None) -> None:
        where = line_place(self.place, number)
        if column is not None:
            where += f", {self.layout.name(column)}"
        self.flaws.append(Flaw(code, detail, where))

    def _cells(self, number: int, line: bytes) -> list[str] | None:
        try:
            row = cells_of(line.decode(), self.layout.separator)
        except UnicodeDecodeError:
            self._add("encoding", "It is not UTF-8. Save the table in this encoding.", number)
            return None
        if len(row) != self.layout.columns:
            detail = f"It has {len(row)} columns, and the first line has {self.layout.columns}."
            self._add("ragged", detail, number)
            return None
        return row

    def _values(self, number: int, row: Sequence[str]) -> list[float]:
        separator = self.layout.separator
        values = []
        for column in self.layout.pixels:
            value = number_in(row[column], separator)
            if not np.isfinite(value):
                self._add("not_a_number", _what(row[column]), number, column)
            values.append(value)
        return values

    def _label(self, number: int, row: Sequence[str]) -> str:
        if self.layout.one_hot:
            cells = [number_in(row[at], self.layout.separator) for at in self.layout.one_hot]
            if sorted(cells) != [0.0] * (len(cells) - 1) + [1.0]:
                self._add("no_label", "Exactly one of its one-hot columns must be 1.", number)
                return ""
            return str(cells.index(1.0))
        if not self.layout.is_labelled:
            return ELSEWHERE
        column = self.layout.label or 0
        label = label_text(row[column])
        if not label:
            self._add("no_label", "The label is missing.", number, column)
        return label

    def _split(self, number: int, row: Sequence[str]) -> str | None:
        if self.layout.split is None:
            return None
        split = split_named(row[self.layout.split].strip())
        if split is None:
            detail = f"{row[self.layout.split][:SHOWN]!r} is none of train, validation and test."
            self._add("no_split", detail, number, self.layout.split)
        return split


def _what(cell: str) -> str:
    if is_gap(cell):
        return (
            "The cell is empty. Write a number into it, or leave out the row, or the column with "
            "the option `ignore_columns`."
        )
    return (
        f"{cell[:SHOWN]!r} is no number. Correct it, or leave out the column with the option "
        "`ignore_columns`."
    )
