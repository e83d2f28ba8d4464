"""Finds out how a table is written and what its columns hold, by its first rows.

Found are the separator, a line of names, the column of the label or its one-hot columns, a column
that only counts, and one that names the split of each row.
"""

import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from service.ingest.arrays.pixel_scale import NOT_PIXELS
from service.ingest.options import IngestOptions
from service.ingest.refusal import MOST_FLAWS, Flaw, Unusable, unusable
from service.ingest.split_words import SPLIT_COLUMNS, split_named
from service.ingest.tables.header_line import has_names
from service.ingest.tables.layout_refusals import colours, no_rows
from service.ingest.tables.table_cells import cells_of, is_gap, is_number, number_in, separator_of

LOOKED_AT = 20
"""Rows from which the layout is found."""
LABEL_NAMES = (
    *("label", "labels", "class", "target", "digit", "letter", "category", "species", "y"),
    *("outcome", "survived", "diagnosis", "variety", "emotion", "character"),
)
"""Names of columns that hold labels; the first one that is there is taken."""
INDEX_NAMES = {"", "index", "id", "unnamed: 0", "idx", "row", "no", "nr", "image_id", "imageid"}
UNNAMED = re.compile(r"unnamed: \d+(\.\d+)?")
"""What pandas calls columns without a name: earlier numbers of the rows, or an empty last one."""
MOST_NAMES = 10
MOST_CLASSES = 256
Row = Sequence[str]
Ends = Callable[["Layout", int], tuple[set[str], set[str]]]
"""Returns the different cells of all rows in the column of this number and in the last one."""
MOST_LABELS = 30
"""More different numbers in a column are hardly classes."""


@dataclass(frozen=True)
class Layout:
    """How a table is written, and which column holds what."""

    separator: str
    columns: int
    names: tuple[str, ...] = ()
    """The names of the columns, if the first line holds them."""
    pixels: tuple[int, ...] = ()
    """The columns of pixels, or of the numbers of a vector."""
    label: int | None = None
    """None if there are one-hot columns, or if labels are in a file of their own."""
    one_hot: tuple[int, ...] = ()
    """The columns of the classes, if the label is written in this way."""
    ignored: tuple[int, ...] = ()
    """The columns that the options leave out."""
    index: int | None = None
    split: int | None = None
    decimal_comma: bool = False

    def name(self, column: int) -> str:
        """Return what a person calls a column."""
        known = self.names[column] if self.names else ""
        return f"column {column + 1}" + (f" ({known})" if known else "")

    def short_name(self, column: int) -> str:
        """Return the name of a column, or its number if it has none."""
        known = self.names[column] if self.names else ""
        return known or f"column {column + 1}"

    @property
    def is_labelled(self) -> bool:
        """Whether the table holds the labels."""
        return self.label is not None or bool(self.one_hot)

    @property
    def label_name(self) -> str:
        """What the report calls the label."""
        if self.one_hot:
            return f"{len(self.one_hot)} one-hot columns"
        return self.short_name(self.label or 0)


def layout_of(
    lines: Sequence[str],
    ends: Ends,
    options: IngestOptions,
    place: str,
    *,
    is_labelled: bool = True,
) -> Layout:
    """Return the layout of a table.

    Args:
        lines: the first ones that are not blank.
        ends: called where the label may be the first column or the last, for these lines may all be
            of one class.
        options: may name the column of the label, and may say that rows are vectors.
        place: names the file in errors.
        is_labelled: whether a column holds the labels, which else are in a file of their own.

    Raises:
        Unusable: it has no column of labels, or columns that are no numbers.

    """
    if not lines:
        raise unusable("empty", "The table is empty.", place)
    separator = separator_of(lines, place)
    layout, body = _head_and_body([cells_of(line, separator) for line in lines], separator, place)
    layout = replace(layout, ignored=_ignored(layout, options, place))
    layout = _with_columns(layout, body, ends if is_labelled else None, options, place)
    layout = replace(layout, decimal_comma=_has_decimal_comma(layout, body))
    if options.input == "vector":
        _refuse_columns(layout, body, place, "not_numbers", "")
    else:
        _refuse_columns(layout, body, place, "not_pixels", NOT_PIXELS)
        _refuse_other_shapes(layout, options, place)
    return layout


def _head_and_body(rows: list[Row], separator: str, place: str) -> tuple[Layout, list[Row]]:
    """Return the layout with no more than the names of the columns, and the rows below them.

    Raises:
        Unusable: there are no such rows.

    """
    if len(rows) > 1 and all(len(row) == len(rows[0]) + 1 for row in rows[1:]):
        rows = [["", *rows[0]], *rows[1:]]  # R gives the numbers of the rows no name
    layout, body = Layout(separator, len(rows[0])), rows
    if has_names(rows, separator, {*LABEL_NAMES, *SPLIT_COLUMNS}):
        layout, body = replace(layout, names=tuple(cell.strip() for cell in rows[0])), rows[1:]
    whole = [row for row in body if len(row) == layout.columns]
    if not whole:
        raise no_rows(rows, place)
    return layout, whole


# --- What stands where ---


def _with_columns(
    layout: Layout, rows: Sequence[Row], ends: Ends | None, options: IngestOptions, place: str
) -> Layout:
    """Return the layout with what each column holds; without a label if `ends` is None."""
    named = {
        name.lower(): at
        for at, name in reversed(list(enumerate(layout.names)))
        if at not in layout.ignored
    }
    label = _asked_label(layout, options, place) if ends else None
    if label is None and ends:
        label = next((named[name] for name in LABEL_NAMES if name in named), None)
    split = min((at for name, at in named.items() if name in SPLIT_COLUMNS), default=None)
    if split is not None and (split == label or not _are_splits(rows, split)):
        split = None
    has_index = 0 not in layout.ignored
    index = _index(layout, rows, label, is_labelled=ends is not None) if has_index else None
    unnamed = [at for at, name in enumerate(layout.names) if UNNAMED.fullmatch(name.lower())]
    left_out = {label, split, index, *layout.ignored, *unnamed}
    others = [
        at for at in range(layout.columns) if at not in left_out and not _is_empty(layout, rows, at)
    ]
    layout = replace(layout, label=label, split=split, index=index)
    if label is None and ends:
        layout = _with_guessed_label(layout, rows, others, ends, options, place)
    pixels = [at for at in others if at != layout.label and at not in layout.one_hot]
    return replace(layout, pixels=tuple(pixels))


def _asked_label(layout: Layout, options: IngestOptions, place: str) -> int | None:
    """Return the column that the option `label` names, by its name or its number from 1."""
    asked = asked_column(options)
    if asked is None:
        return None
    label = _column_named(layout, asked, "no_label", place)
    if label in layout.ignored:
        detail = f"The option `ignore_columns` leaves out {layout.name(label)}, which is the label."
        raise unusable("no_label", detail, place)
    return label


def _ignored(layout: Layout, options: IngestOptions, place: str) -> tuple[int, ...]:
    """Return the columns that the option `ignore_columns` names."""
    asked = options.ignore_columns
    return tuple(_column_named(layout, name.strip(), "no_column", place) for name in asked)


def _column_named(layout: Layout, asked: str, code: str, place: str) -> int:
    """Return the column that an option names, by its name or its number from 1.

    Raises:
        Unusable: there is none.

    """
    for names in (layout.names, [name.lower() for name in layout.names]):
        for wanted in (asked, asked.lower()):
            if wanted in names:
                return names.index(wanted)
    if asked.isdecimal() and 1 <= int(asked) <= layout.columns:
        return int(asked) - 1
    known = ", ".join(layout.names[:MOST_NAMES]) or f"1 to {layout.columns}"
    more = ", …" if len(layout.names) > MOST_NAMES else ""
    raise unusable(code, f"It has no column {asked!r}; its columns are {known}{more}.", place)


def asked_column(options: IngestOptions) -> str | None:
    """Return what the option `label` says of the column."""
    if not isinstance(options.label, Mapping) or options.label.get("column") is None:
        return None
    return options.label["column"].strip()


def _are_splits(rows: Sequence[Row], column: int) -> bool:
    return all(split_named(row[column].strip()) for row in rows)


def _index(
    layout: Layout, rows: Sequence[Row], label: int | None, *, is_labelled: bool
) -> int | None:
    """Return the column that only numbers the rows, which is the first one if there is any."""
    if label == 0:
        return None
    if layout.names:
        return 0 if layout.names[0].lower() in INDEX_NAMES else None
    is_spare = label is not None or _is_square(layout.columns - (2 if is_labelled else 1))
    return 0 if is_spare and _counts(rows, 0) else None


def _counts(rows: Sequence[Row], column: int) -> bool:
    cells = [row[column].strip() for row in rows]
    if len(cells) < 3 or not all(cell.isdecimal() and len(cell) < 10 for cell in cells):
        return False
    numbers = [int(cell) for cell in cells]
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _is_empty(layout: Layout, rows: Sequence[Row], column: int) -> bool:
    """Return whether a column has neither a name nor cells: a separator ends each line."""
    return not (layout.names and layout.names[column]) and all(not row[column] for row in rows)


def _with_guessed_label(
    layout: Layout,
    rows: Sequence[Row],
    others: Sequence[int],
    ends: Ends,
    options: IngestOptions,
    place: str,
) -> Layout:
    """Return the layout with the label where nothing names it.

    Raises:
        Unusable: it can't be told.

    """
    if options.input == "vector" and others:
        return replace(layout, label=_label_of_vectors(layout, rows, others, ends))
    if one_hot := _one_hot(rows, others):
        return replace(layout, one_hot=one_hot)
    if (label := _label_of_pixels(layout, rows, others, ends)) is not None:
        return replace(layout, label=label)
    if bad := [at for at in others if not _is_numeric(layout, rows, at)]:
        raise _no_numbers(layout, bad, place, "not_pixels", NOT_PIXELS)
    raise unusable(
        "no_label",
        f"It is unclear which of its {layout.columns} columns is the label.",
        place,
        'Name it `label` in the first line, or set the option `label`, as {"column": "name"}. '
        + NOT_PIXELS,
    )


def _label_of_vectors(
    layout: Layout, rows: Sequence[Row], others: Sequence[int], ends: Ends
) -> int:
    """Return the only column of texts, or else the last column or the first one.

    Texts are names of the rows, and the first column is the label, if only one of the two columns
    that are compared holds few different values.
    """
    last = others[-1]
    texts = [at for at in others if not _is_numeric(layout, rows, at)]
    first = texts[0] if len(texts) == 1 else others[0]
    if first == last or last != layout.columns - 1:
        return first if texts == [first] else last
    in_first, in_last = ends(layout, first)
    if texts == [first]:
        return last if len(in_first) > MOST_LABELS and _are_few_classes(in_last) else first
    return first if _are_few_classes(in_first) and not _are_few_classes(in_last) else last


def _are_few_classes(cells: set[str]) -> bool:
    numbers = [number_in(cell) for cell in cells]
    return len(cells) <= MOST_LABELS and all(number.is_integer() for number in numbers)


def _label_of_pixels(
    layout: Layout, rows: Sequence[Row], others: Sequence[int], ends: Ends
) -> int | None:
    """Return the only column whose name has no number, or the first or last beside a square."""
    unnumbered = [at for at in others if layout.names and not re.search(r"\d", layout.names[at])]
    if len(unnumbered) == 1 and len(others) > 4:
        return unnumbered[0]
    if len(others) < 2 or not _is_square(len(others) - 1):
        return None
    first, last = others[0], others[-1]
    for at in (first, last):
        if not _is_numeric(layout, rows, at):
            return at
    if last != layout.columns - 1:
        return first
    inner = (number_in(row[at], layout.separator) for row in rows for at in others[1:-1])
    pixels = max(inner, default=0.0)
    in_first, in_last = ends(layout, first)
    return last if _is_rather_label(in_last, in_first, pixels) else first


def _is_rather_label(cells: set[str], others: set[str], pixels: float) -> bool:
    """Return whether some cells are rather labels than others are, and the others pixels.

    Labels differ, may be greater than all pixels, and are smaller numbers else.
    """
    highs = [max((number_in(cell) for cell in it), default=0.0) for it in (cells, others)]
    if (len(cells) > 1) != (len(others) > 1):
        return len(cells) > 1
    if (highs[0] > pixels) != (highs[1] > pixels):
        return highs[0] > pixels
    return highs[0] < highs[1]


def _one_hot(rows: Sequence[Row], others: Sequence[int]) -> tuple[int, ...]:
    """Return the last columns, if exactly one of them is 1 in each row and the rest is square."""
    for classes in range(2, min(MOST_CLASSES + 1, len(others) // 2)):
        if not _is_square(len(others) - classes):
            continue
        last = others[-classes:]
        cells = [[number_in(row[at]) for at in last] for row in rows]
        if all(sorted(row) == [0.0] * (classes - 1) + [1.0] for row in cells):
            return tuple(last)
    return ()


def _is_square(pixels: int) -> bool:
    return pixels > 0 and math.isqrt(pixels) ** 2 == pixels


def _is_numeric(layout: Layout, rows: Sequence[Row], column: int) -> bool:
    """Return whether all cells of a column that are there are numbers, and some are."""
    cells = [row[column] for row in rows if not is_gap(row[column])]
    return bool(cells) and all(is_number(cell, layout.separator) for cell in cells)


def _has_decimal_comma(layout: Layout, rows: Sequence[Row]) -> bool:
    return layout.separator != "," and any("," in row[at] for row in rows for at in layout.pixels)


# --- Refusals ---


def _refuse_columns(layout: Layout, rows: Sequence[Row], place: str, code: str, hint: str) -> None:
    """Refuse columns that hold texts, or nothing.

    Raises:
        Unusable: with their names.

    """
    bad = [at for at in layout.pixels if not _is_numeric(layout, rows, at)]
    if bad:
        raise _no_numbers(layout, bad, place, code, hint)
    if not layout.pixels:
        raise unusable(code, "There is no column beside the label.", place, hint)


def _no_numbers(
    layout: Layout, columns: Iterable[int], place: str, code: str, hint: str
) -> Unusable:
    columns, start = list(columns), f"{place}, " if place else ""
    names = [layout.names[at] if layout.names else str(at + 1) for at in columns[:MOST_NAMES]]
    way_out = f"Leave it out with the option `ignore_columns`: {json.dumps(names)}."
    hint = f"{way_out} {hint}".strip()
    places = [start + layout.name(at) for at in itertools.islice(columns, MOST_FLAWS)]
    flaws = [Flaw(code, "It holds no numbers.", where) for where in places]
    return Unusable([*flaws[:-1], replace(flaws[-1], hint=hint)])


def _refuse_other_shapes(layout: Layout, options: IngestOptions, place: str) -> None:
    count = len(layout.pixels)
    if _is_square(count) or (options.size and math.prod(options.size) == count):
        return
    if count % 3 == 0 and _is_square(count // 3):
        start, skipped = layout.pixels[0], int(bool(layout.names))
        raise colours(count, start, layout.label or 0, layout.separator, skipped, place)
    raise unusable(
        "not_pixels",
        f"Its {count} columns beside the label are not the pixels of a square image.",
        place,
        "If they are the pixels of another one, set the option `size` to height and width. "
        + NOT_PIXELS,
    )
