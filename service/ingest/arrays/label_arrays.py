"""Reads the labels in an array: numbers, texts, or one-hot rows."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.ingest.arrays.array_files import StoredArray
from service.ingest.labels import label_text
from service.ingest.refusal import MOST_FLAWS, Flaw, Unusable, unusable

Values = NDArray[Any]
MAX_LABEL_BYTES = 4096
"""A label in an array may have this many: a one-hot row of 256 float64 has 2048."""


def _refuse_unlabelled(array: StoredArray) -> None:
    """Refuse an array whose shape is not that of one label for each row.

    Raises:
        Unusable: with the shapes that labels have.

    """
    is_column = len(array.shape) == 1 or array.shape[1:] == (1,)
    is_one_hot = len(array.shape) == 2 and array.dtype.kind in "buif" and array.shape[1] > 1
    if is_column or is_one_hot:
        if array.row_size * array.dtype.itemsize <= MAX_LABEL_BYTES:
            return
        raise unusable("no_label", "Its rows are too long for labels.", array.place)
    raise unusable(
        "no_label",
        "Each row needs one label.",
        array.place,
        "Give the array of labels the shape (n,), or (n, classes) with a single 1 in each row.",
    )


def labels_of(array: StoredArray, rows: int) -> Iterator[list[str]]:
    """Yield the labels of an array, so many at a time: numbers, texts, or one-hot rows.

    Raises:
        Unusable: rows have no label, several, or a fraction.

    """
    _refuse_unlabelled(array)
    start = 0
    for piece in array.pieces(rows):
        yield _texts(array, piece, start)
        start += len(piece)


def _texts(array: StoredArray, values: Values, start: int) -> list[str]:
    if values.ndim == 2 and values.shape[1] > 1:
        values = _from_one_hot(array, values, start)
    values = values.reshape(len(values))
    if values.dtype.kind == "f":
        return _whole(array, values, start)
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    found = [label_text(value) for value in values.tolist()]
    _refuse(array, np.array([bool(label) for label in found]), start, "The label is empty.")
    return found


def _from_one_hot(array: StoredArray, values: Values, start: int) -> NDArray[np.intp]:
    good = ((values == 0) | (values == 1)).all(axis=1) & ((values == 1).sum(axis=1) == 1)
    _refuse(array, good, start, "A one-hot row must have exactly one 1, and zeros elsewhere.")
    found: NDArray[np.intp] = values.argmax(axis=1)
    return found


def _whole(array: StoredArray, values: Values, start: int) -> list[str]:
    good = np.isfinite(values) & (values == np.rint(values))
    _refuse(array, good, start, "A label must be a whole number or a text.")
    return [str(int(value)) for value in values]


def _refuse(array: StoredArray, good: NDArray[np.bool_], start: int, detail: str) -> None:
    """Refuse the rows that are not good.

    Raises:
        Unusable: with the places of the first ones.

    """
    bad = np.flatnonzero(~good)[:MOST_FLAWS]
    if len(bad):
        places = (f"{array.place}, row {start + row}" for row in bad)
        raise Unusable([Flaw("no_label", detail, place) for place in places])
