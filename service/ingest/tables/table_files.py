"""Reads labelled images from tables: a row for each image, a column for each pixel.

Tables of other numbers are read as vectors if the option `input` says so.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.ingest.arrays.pixel_arrays import Scale, image_shape
from service.ingest.arrays.pixel_scale import refuse_outside, scale_of_rows
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.refusal import MOST_FLAWS, Unusable, unusable
from service.ingest.source import Block, Doubt, Source, UploadedFile
from service.ingest.split_words import split_in
from service.ingest.tables.label_columns import labels_beside
from service.ingest.tables.left_out_tables import tables_of_set
from service.ingest.tables.line_numbers import LineNumbers, line_place
from service.ingest.tables.packed_pixels import has_packed_pixels, spread, spread_head
from service.ingest.tables.table_layout import LOOKED_AT, Layout, layout_of
from service.ingest.tables.table_rows import CarefulRows, Rows, rows_at_once
from service.ingest.tables.table_text import Lines, encoding_of, lines_of

MOST_ENDS = 10_000
"""Different cells, after which no more are looked at."""
SEPARATOR_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "space"}


@dataclass(frozen=True)
class Table:
    """An uploaded table."""

    file: UploadedFile
    place: str
    """Names the file in errors; empty if there is only one."""
    encoding: str
    layout: Layout
    limits: Limits
    labels: Sequence[str] | None = None
    """The labels of the rows, if they are in a file of their own."""
    has_spaces: bool = False
    """Whether all pixels of a row stand in one cell, with spaces between them."""

    def rows(self) -> Iterator[Rows]:
        """Yield the rows, some at a time.

        Raises:
            Unusable: lines are no rows, with their places; or there are more or fewer labels.

        """
        if self.labels is None:
            yield from self._parsed()
            return
        done = 0
        for rows in self._parsed():
            some = list(self.labels[done : done + len(rows.labels)])
            done += len(rows.labels)
            if len(some) < len(rows.labels):
                break
            yield replace(rows, labels=some)
        if done != len(self.labels):
            detail = f"It has {done:,} rows or more, and there are {len(self.labels):,} labels."
            raise unusable("rows_differ", detail, self.place, "Each image needs one label.")

    def _parsed(self) -> Iterator[Rows]:
        """Yield the rows, some at a time.

        Raises:
            Unusable: lines are no rows, with their places.

        """
        careful = CarefulRows(self.layout, self.place)
        for lines in self._body():
            rows = rows_at_once(lines, self.layout) or careful.rows(lines)
            if len(careful.flaws) >= MOST_FLAWS:
                break
            if len(rows.labels) and not careful.flaws:
                yield rows
        if careful.flaws:
            raise Unusable(careful.flaws)

    def _body(self) -> Iterator[Lines]:
        """Yield the lines after that of the names."""
        pieces = lines_of(self.file.path, self.encoding, self.limits, self.place)
        is_header = bool(self.layout.names)
        for lines in pieces:
            first = next(iter(lines), None)
            if is_header and first is not None:
                is_header = False
                skipped = first[0] + 1 - lines.number
                rest = lines.data.split(b"\n", skipped)[-1]
                lines = Lines(first[0] + 1, rest)
            if lines.data:
                yield spread(lines) if self.has_spaces else lines


def read(files: Sequence[UploadedFile], options: IngestOptions, limits: Limits) -> Source:
    """Return the rows of some tables, with splits from a column or from the names of the files.

    Raises:
        Unusable: a table is damaged, is no table of pixels and labels, or is too large.

    """
    kept = tables_of_set(files, limits)
    files = kept.files
    if kept.label and options.label is None:
        options = replace(options, label={"column": kept.label})
    of_pixels, labels = labels_beside(files, limits)
    tables = [_table(file, len(files) > 1, labels.get(file), options, limits) for file in of_pixels]
    _refuse_different(tables)
    numbers = LineNumbers([table.place for table in tables], limits)
    rows = _Rows(tables, numbers)
    layout = tables[0].layout
    if options.input == "vector":
        columns = _column_names(layout)
        return Source(
            rows.vectors,
            numbers.place,
            _found(tables),
            ignored=+kept.ignored,
            doubts=kept.doubts,
            columns=columns,
        )
    doubts = kept.doubts
    images = _images(tables, options, limits, doubts)
    if layout.index is not None:
        doubts.append(
            Doubt("index_column", f"{layout.name(layout.index)} numbers the rows, and is left out.")
        )
    found = _found(tables) | {"range": [images.scale.low, images.scale.high]}
    return Source(
        lambda: rows.images(images), numbers.place, found, ignored=+kept.ignored, doubts=doubts
    )


def _images(
    tables: Sequence[Table], options: IngestOptions, limits: Limits, doubts: list[Doubt]
) -> "_Images":
    """Return what turns rows into images; doubts about the scale are added to `doubts`.

    Raises:
        Unusable: the numbers are no pixels, or the images have no shape or are too large.

    """
    values = itertools.chain.from_iterable(_values(table) for table in tables)
    scale = scale_of_rows(values, options, _named(tables), doubts)
    shape = (1, len(tables[0].layout.pixels))
    height, width, _ = image_shape(shape, _named(tables), limits, options.size)
    return _Images(scale, (height, width), clips=options.range is not None)


def _table(
    file: UploadedFile,
    is_named: bool,
    labels: Sequence[str] | None,
    options: IngestOptions,
    limits: Limits,
) -> Table:
    place = file.name if is_named else ""
    encoding = encoding_of(file.path, place)
    lines: list[str] = []
    for some in lines_of(file.path, encoding, limits, place):
        lines += [line.decode("utf-8", "replace") for _, line in some]
        if len(lines) >= LOOKED_AT:
            break

    def ends(layout: Layout, column: int) -> tuple[set[str], set[str]]:
        return _ends(lines_of(file.path, encoding, limits, place), layout, column)

    head = lines[:LOOKED_AT]
    has_spaces = has_packed_pixels(head)
    if has_spaces:
        head = spread_head(head)
    layout = layout_of(head, ends, options, place, is_labelled=labels is None)
    return Table(file, place, encoding, layout, limits, labels, has_spaces)


def _ends(pieces: Iterable[Lines], layout: Layout, column: int) -> tuple[set[str], set[str]]:
    """Return the different cells of all rows in a column, one of the first, and in the last one."""
    first: set[bytes] = set()
    last: set[bytes] = set()
    separator = layout.separator.encode()
    lines = (line for some in pieces for line in some.data.split(b"\n") if separator in line)
    for line in itertools.islice(lines, int(bool(layout.names)), None):
        if len(first) >= MOST_ENDS or len(last) >= MOST_ENDS:
            break
        first.update(line.split(separator, column + 1)[column : column + 1])
        last.add(line[line.rfind(separator) + 1 :])
    return {cell.decode("utf-8", "replace") for cell in first}, {
        cell.decode("utf-8", "replace") for cell in last
    }


def _refuse_different(tables: Sequence[Table]) -> None:
    """Refuse tables whose rows have different numbers of columns.

    Raises:
        Unusable: with these numbers.

    """
    counts = {table.place: len(table.layout.pixels) for table in tables}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{place} has {count}" for place, count in counts.items())
        raise unusable(
            "columns_differ",
            f"The tables have different numbers of columns beside the label: {listed}.",
        )


def _named(tables: Sequence[Table]) -> str:
    return ", ".join(table.place for table in tables if table.place)


def _found(tables: Sequence[Table]) -> dict[str, Any]:
    layout = tables[0].layout
    found: dict[str, Any] = {
        "format": "csv",
        "encoding": tables[0].encoding,
        "separator": SEPARATOR_NAMES[layout.separator],
        "header": bool(layout.names),
        "label": "a file of its own" if tables[0].labels is not None else layout.label_name,
    }
    if layout.ignored:
        found["ignored_columns"] = [layout.short_name(at) for at in layout.ignored]
    if layout.decimal_comma:
        found["decimal"] = "comma"
    splits = {split: table.file.name for table in tables if (split := split_in(table.file.name))}
    if layout.split is not None:
        found["split"] = layout.name(layout.split)
    elif splits:
        found["split"] = splits
    return found


def _column_names(layout: Layout) -> list[str]:
    """Return the names of the columns of vectors; those of one name are numbered."""
    names = [layout.short_name(at) for at in layout.pixels]
    repeated = {name for name, count in Counter(names).items() if count > 1}
    return [
        f"{name} ({at + 1})" if name in repeated else name
        for name, at in zip(names, layout.pixels, strict=True)
    ]


def _values(table: Table) -> Iterator[NDArray[Any]]:
    return (rows.values for rows in table.rows())


# --- Rows ---


@dataclass(frozen=True)
class _Images:
    """Turns rows of pixels into images."""

    scale: Scale
    shape: tuple[int, int]
    clips: bool
    """Whether values outside of the scale become black or white; else they are refused."""

    def of(self, rows: Rows, table: Table) -> NDArray[np.uint8]:
        def place(row: int, at: int) -> str:
            column = table.layout.name(table.layout.pixels[at])
            return f"{line_place(table.place, rows.lines[row])}, {column}"

        if not self.clips:
            refuse_outside(rows.values, self.scale, place)
        return self.scale.applied(rows.values).reshape(-1, *self.shape, 1)


@dataclass(frozen=True)
class _Rows:
    """The rows of several tables, numbered through by their lines."""

    tables: Sequence[Table]
    numbers: LineNumbers

    def images(self, images: _Images) -> Iterator[Block]:
        """Yield the rows as images."""
        for table, rows, numbers in self._numbered():
            yield Block(numbers, images.of(rows, table), rows.labels, _splits(table, rows))

    def vectors(self) -> Iterator[Block]:
        """Yield the rows as vectors."""
        for table, rows, numbers in self._numbered():
            empty = np.empty((len(rows.labels), 0, 0, 0), np.uint8)
            values = rows.values.astype(np.float64)
            yield Block(numbers, empty, rows.labels, _splits(table, rows), values)

    def _numbered(self) -> Iterator[tuple[Table, Rows, list[int]]]:
        self.numbers.restart()
        for at, table in enumerate(self.tables):
            for rows in table.rows():
                yield table, rows, self.numbers.of(at, rows.lines)


def _splits(table: Table, rows: Rows) -> list[str | None]:
    if table.layout.split is not None:
        return rows.splits
    return [split_in(table.file.name)] * len(rows.labels)
