"""Reads pictures as rows of numbers, as spreadsheets and `numpy.savetxt` write them."""

import io
import re
import warnings

import numpy as np

from service.api.array_input import ROW, SIDE, Pictures, from_array
from service.domain.errors import BadImage

DELIMITERS = (",", ";", "\t", None)
"""None stands for any white space."""
MAX_BYTES = 10 * 1024**2
"""More numbers than this take seconds to read."""
MAX_HEADER_BYTES = 40_000
"""The longest row; NumPy writes 25 bytes for a number."""
LABELS = {"label", "labels", "class", "target", "digit", "y"}
NUMBERS = re.compile(rb"[\s\d.,;+\-eE\"]+")


def is_csv(data: bytes) -> bool:
    """Return whether a text begins like numbers with something between them.

    The numbers may come after a line that names the columns.
    """
    first, _, following = data[:MAX_HEADER_BYTES].partition(b"\n")
    has_header = len(re.findall(rb"[,;\t]", first)) >= SIDE - 1 and following[:1].strip(b'"')
    start = (following if has_header else data)[:80].removeprefix(b"\xef\xbb\xbf")
    return bool(NUMBERS.fullmatch(start)) and len(re.findall(rb"\d+", start)) > 2


def from_csv(data: bytes) -> Pictures:
    """Return the pictures in rows of 784 numbers, or the one picture in 28 rows of 28.

    The first row may name the columns, and a column named `label` is left out.

    Raises:
        BadImage: unusable_array.

    """
    data = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    if len(data) > MAX_BYTES:
        raise BadImage(
            "too_many_images", f"A CSV may have {MAX_BYTES:,} bytes; send fewer rows, or an .npy."
        )
    if len(data) > MAX_HEADER_BYTES and b"\n" not in data[:MAX_HEADER_BYTES]:
        raise BadImage("unusable_array", _wrong_shape(1, data.count(b",") + 1))
    first = data[:MAX_HEADER_BYTES].split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    delimiter = next((mark for mark in DELIMITERS if mark is None or mark in first), None)
    names = [name.strip(' "').lower() for name in first.split(delimiter)]
    if len(names) < SIDE:  # which needs no reading of all rows
        raise BadImage("unusable_array", _wrong_shape(len(data.splitlines()), len(names)))
    has_header = any(not _is_number(name) for name in names)
    table = _table(data, delimiter, skip=int(has_header))
    labels = [at for at, name in enumerate(names) if name in LABELS] if has_header else []
    if table.shape[1] == len(names):
        table = np.delete(table, labels, axis=1)
    rows, columns = table.shape
    if columns != ROW and (rows, columns) != (SIDE, SIDE):
        raise BadImage("unusable_array", _wrong_shape(rows, columns))
    return from_array(table, "a table")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _table(data: bytes, delimiter: str | None, *, skip: int) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # NumPy warns of an empty table
            return np.loadtxt(
                io.BytesIO(data),
                np.float32,
                comments=None,
                delimiter=delimiter,
                skiprows=skip,
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


def _wrong_shape(rows: int, columns: int) -> str:
    hint = ""
    if columns == ROW + 1:
        hint = " Leave out the column of labels, or name it 'label' in a first row."
    elif rows == 1 and columns > ROW:
        hint = " If line breaks were lost, send the file with curl's --data-binary, not -d."
    return (
        f"A CSV must have 784 columns, a row for each image, or 28 rows of 28 for one image. This "
        f"one has {rows:,} rows and {columns:,} columns.{hint}"
    )
