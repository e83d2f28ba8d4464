"""Reads rows of numbers for networks that were trained on a table: JSON, CSV, .npy or bare numbers.

Columns stand in the order of the data set, or have its names.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.api import array_input, csv_input, pixel_input
from service.api.array_input import Pictures
from service.domain.dataset_manifest import Column
from service.domain.errors import BadImage
from service.inference.input_batch import Row

Columns = Sequence[Column]
MOST_NAMED = 10
"""Columns that an error names."""


def named_row(given: Mapping[str, Any], columns: Columns) -> Row:
    """Return the numbers of an object, by the names of the columns.

    Raises:
        BadImage: a column is missing or unknown, or has something else than a number.

    """
    known = dict.fromkeys(column.name for column in columns)
    if missing := [name for name in known if name not in given]:
        raise _unusable(f"these columns are missing: {_listed(missing)}")
    if unknown := [name for name in given if name not in known]:
        raise _unusable(f"there are no columns {_listed(unknown)}; there are: {_listed(known)}")
    return listed_row([given[column.name] for column in columns], columns)


def listed_row(given: Sequence[Any], columns: Columns) -> Row:
    """Return the numbers of a list, in the order of the columns.

    Raises:
        BadImage: they are more or fewer than the columns, or something else than numbers.

    """
    if len(given) != len(columns):
        raise _unusable(
            f"a row has {len(columns)} numbers ({_listed(it.name for it in columns)}), and this "
            f"one has {len(given):,}"
        )
    for value, column in zip(given, columns, strict=True):
        if type(value) not in (int, float):
            raise _unusable(f"{column.name!r} is no number")
    try:
        row: Row = np.array(given, np.float64)
    except OverflowError:  # a whole number of more than 300 digits
        raise _unusable("a number is too large") from None
    checked(row[np.newaxis], columns)
    return row


def from_numbers(array: NDArray[Any], columns: Columns) -> Pictures:
    """Return the rows in an array (columns,) or (n, columns).

    Raises:
        BadImage: it has another shape or type.

    """
    if array.dtype.kind not in "biuf":
        raise _unusable(f"the array has the type {str(array.dtype)[:50]!r}, no numbers")
    rows = array[np.newaxis] if array.ndim == 1 else array
    if rows.ndim != 2 or rows.shape[1] != len(columns) or not rows.size:
        raise _unusable(
            f"an array must have the shape (n, {len(columns)}), a row for each prediction and a "
            f"column for each of {_listed(it.name for it in columns)}; this one has the shape "
            f"{array.shape[:8]}"
        )
    array_input.check_count(len(rows))
    return Pictures(checked(rows.astype(np.float64), columns))


def checked(rows: NDArray[np.float64], columns: Columns) -> NDArray[np.float64]:
    """Return rows (n, columns) if all numbers are finite as float32, as which tables are read.

    Raises:
        BadImage: one is not.

    """
    with np.errstate(over="ignore"):
        finite = np.isfinite(rows.astype(np.float32))
    if not finite.all():
        row, column = np.argwhere(~finite)[0].tolist()
        raise _unusable(f"{columns[column].name!r} of row {row} is not finite")
    return rows


def from_csv(data: bytes, columns: Columns) -> Pictures:
    """Return the rows of a table, whose first row may name the columns, in any order.

    Raises:
        BadImage: a column is missing, or something else than numbers is in it.

    """
    data = csv_input.stripped(data)
    head = csv_input.head_of(data, (len(columns),))
    chosen = _chosen(head, columns) if head.has_names else None
    table = csv_input.numbers_of(data, head, np.float64, chosen)
    if not table.size:
        raise _unusable("the table has no rows")
    return from_numbers(table, columns)


def _chosen(head: csv_input.Head, columns: Columns) -> list[int]:
    """Return the place of each column in a table, whose other columns are left out."""
    places = {name: at for at, name in enumerate(head.names)}
    if missing := [column.name for column in columns if column.name not in places]:
        raise _unusable(f"the first row lacks the columns {_listed(missing)}")
    return [places[column.name] for column in columns]


def from_bytes(data: bytes, dtype: str | None, shape: str | None, columns: Columns) -> Pictures:
    """Return the rows in bare numbers, of which the request declares the type.

    Raises:
        BadImage: it declares none, or the bytes do not fit.

    """
    if dtype is None:
        raise _unusable("bare numbers need ?dtype=float32 or another type")
    sizes = pixel_input.declared_sizes(shape) if shape else (len(columns),)
    return from_numbers(pixel_input.declared_numbers(data, dtype, sizes), columns)


def from_npy(data: bytes, columns: Columns) -> Pictures:
    """Return the rows in an .npy file."""
    return from_numbers(array_input.array_of_npy(data, "Send floats"), columns)


def from_npz(data: bytes, columns: Columns) -> Pictures:
    """Return the rows in an .npz file with one array."""
    return from_npy(array_input.npy_of_npz(data), columns)


def _listed(names: Iterable[str]) -> str:
    """Return the first names, each shortened, as a list."""
    shown = [repr(name[:64]) for name in names]
    return ", ".join(shown[:MOST_NAMED]) + (", …" if len(shown) > MOST_NAMED else "")


def _unusable(message: str) -> BadImage:
    return BadImage("unusable_array", f"This network reads rows of numbers: {message}.")
