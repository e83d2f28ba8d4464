"""Chooses the points of a curve that are worth drawing, where there are more than can be seen."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def thinned(values: Floats, columns: int) -> NDArray[np.intp]:
    """Return the indices of the values to draw, if there are more than the columns can show.

    Of the values that share a column, only the lowest and the highest are visible, and drawing ten
    thousand takes seconds. The two ends stay, and so do gaps.
    """
    n = len(values)
    if n <= 2 * columns:
        return np.arange(n)
    each = -(-n // columns)
    table = np.full((-(-n // each), each), np.nan)  # a row for each column of pixels
    table.flat[:n] = values
    gaps = np.isnan(table)
    lowest = np.where(gaps, np.inf, table).argmin(axis=1)
    highest = np.where(gaps, -np.inf, table).argmax(axis=1)
    first, last = gaps.argmax(axis=1), each - 1 - gaps[:, ::-1].argmax(axis=1)
    holed = gaps.any(axis=1)
    starts = each * np.arange(len(table))
    places = [starts + lowest, starts + highest, (starts + first)[holed], (starts + last)[holed]]
    kept = np.unique(np.concatenate([[0, n - 1], *places]))
    return kept[kept < n]


def thinned_together(curves: Sequence[Floats], most: int) -> NDArray[np.intp]:
    """Return at most `most` indices that show several curves of one length together.

    Every curve is thinned alike, into as many columns as fit: a column keeps up to two points of
    each curve, so `most` must be at least twice the number of curves, and two for the ends.
    """
    if len(curves[0]) <= most:
        return np.arange(len(curves[0]))
    columns = most // 2
    while True:
        kept = np.unique(np.concatenate([thinned(curve, columns) for curve in curves]))
        if len(kept) <= most:
            return kept
        columns = min(columns - 1, columns * most // len(kept))
