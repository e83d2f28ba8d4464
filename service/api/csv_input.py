"""Reads pictures as rows of numbers, as spreadsheets and `numpy.savetxt` write them."""

import io
import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.api.array_input import MNIST_SHAPE, Pictures, Shape, from_array
from service.domain.errors import BadImage

DELIMITERS = (",", ";", "\t", None)
"""None stands for any white space."""
MAX_BYTES = 10 * 1024**2
"""More numbers than this take seconds to read."""
MAX_HEADER_BYTES = 40_000
"""The longest row of a picture of 28x28; NumPy writes 25 bytes for a number."""
LABELS = {"label", "labels", "class", "target", "digit", "y"}
NUMBERS = re.compile(rb"[\s\d.,;+\-eE\"]+")


@dataclass(frozen=True)
class Head:
    """How a table is written."""

    delimiter: str | None
    """None stands for any white space."""
    names: Sequence[str]
    """The cells of the first row."""
    has_names: bool
    """Whether they name the columns."""


def is_csv(data: bytes, expected: Shape = MNIST_SHAPE) -> bool:
    """Return whether a text begins like numbers with something between them.

    The numbers may come after a line that names the columns.
    """
    first, _, following = data[:MAX_HEADER_BYTES].partition(b"\n")
    separators = len(re.findall(rb"[,;\t]", first))
    has_header = separators >= fewest_columns(expected) - 1 and following[:1].strip(b'"')
    start = (following if has_header else data)[:80].removeprefix(b"\xef\xbb\xbf")
    return bool(NUMBERS.fullmatch(start)) and len(re.findall(rb"\d+", start)) > 2


def fewest_columns(expected: Shape) -> int:
    """Return the fewest columns of a table: those of one picture as a grid of pixels."""
    return expected[1] if len(expected) == 2 else math.prod(expected)


def from_csv(data: bytes, expected: Shape = MNIST_SHAPE) -> Pictures:
    """Return the pictures in rows of 784 numbers, or the one picture in 28 rows of 28.

    The first row may name the columns, and a column named `label` is left out. For pictures of
    another expected shape, the numbers are its own.

    Raises:
        BadImage: unusable_array.

    """
    data = stripped(data)
    head = head_of(data, expected)
    table = numbers_of(data, head, np.float32)
    labels = [at for at, name in enumerate(head.names) if head.has_names and is_label(name)]
    if table.shape[1] == len(head.names):
        table = np.delete(table, labels, axis=1)
    rows, columns = table.shape
    if columns != math.prod(expected) and (rows, columns) != expected:
        raise BadImage("unusable_array", wrong_shape(rows, columns, expected))
    return from_array(table, "a table", expected)


def stripped(data: bytes) -> bytes:
    """Return a table without its byte order mark and what is blank before it."""
    return data.removeprefix(b"\xef\xbb\xbf").lstrip()


def is_label(name: str) -> bool:
    """Return whether a column of this name holds labels."""
    return name.lower() in LABELS


def head_of(data: bytes, expected: Shape) -> Head:
    """Return how a table is written.

    Raises:
        BadImage: it is too long, or has too few columns.

    """
    if len(data) > MAX_BYTES:
        raise BadImage(
            "too_many_images", f"A CSV may have {MAX_BYTES:,} bytes; send fewer rows, or an .npy."
        )
    longest = _header_bytes(expected)
    if len(data) > longest and b"\n" not in data[:longest]:
        raise BadImage("unusable_array", wrong_shape(1, data.count(b",") + 1, expected))
    first = data[:longest].split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    delimiter = next((mark for mark in DELIMITERS if mark is None or mark in first), None)
    names = [name.strip(' "') for name in first.split(delimiter)]
    if len(names) < fewest_columns(expected):  # which needs no reading of all rows
        wrong = wrong_shape(len(data.splitlines()), len(names), expected)
        raise BadImage("unusable_array", wrong)
    return Head(delimiter, names, any(not _is_number(name) for name in names))


def _header_bytes(expected: Shape) -> int:
    """Return the most bytes of the longest row, which has a label, too."""
    return max(MAX_HEADER_BYTES, 50 * (math.prod(expected) + 1))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def numbers_of(
    data: bytes,
    head: Head,
    dtype: type[np.floating],
    columns: Sequence[int] | None = None,
) -> np.ndarray:
    """Return the numbers (rows, columns) in a table, of all or of some columns.

    Raises:
        BadImage: something else than numbers is in it.

    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # NumPy warns of an empty table
            return np.loadtxt(
                io.BytesIO(data),
                dtype,
                comments=None,
                delimiter=head.delimiter,
                skiprows=int(head.has_names),
                usecols=columns,
                ndmin=2,
                encoding="utf-8",
                quotechar='"',
            )
    except ValueError as exc:
        raise BadImage("unusable_array", f"The CSV can't be read: {_where(str(exc))}.") from exc


def _where(message: str) -> str:
    """Return the place that NumPy names, without the text that it found there."""
    if place := re.search(r"at row (\d+), column (\d+)", message):
        return f"row {int(place[1]) + 1}, column {place[2]} is not a number"
    if place := re.search(r"from (\d+) to (\d+) at row (\d+)", message):
        return f"row {place[3]} has {place[2]} columns, and those before it {place[1]}"
    return "it is no table of numbers"


def wrong_shape(rows: int, columns: int, expected: Shape) -> str:
    """Return what a table must look like, and what this one is."""
    row, hint = math.prod(expected), ""
    if columns == row + 1:
        hint = " Leave out the column of labels, or name it 'label' in a first row."
    elif rows == 1 and columns > row:
        hint = " If line breaks were lost, send the file with curl's --data-binary, not -d."
    grid = f", or {expected[0]} rows of {expected[1]} for one image" if len(expected) == 2 else ""
    return (
        f"A CSV must have {row} columns, a row for each image{grid}. This one has {rows:,} rows "
        f"and {columns:,} columns.{hint}"
    )
