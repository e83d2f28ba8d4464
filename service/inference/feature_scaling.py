"""Scales numbers with names to bytes, at ingest and for predictions alike."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.domain.dataset_manifest import Column


def scaled(
    values: NDArray[np.floating], columns: Sequence[Column]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return rows as bytes, and which of their values lay outside of their column and were clipped.

    A column's `low` becomes 0 and its `high` 255; a column with one value only is always 0. Values
    are compared as float32, as which tables are read.

    Args:
        values: (n, columns), finite.
        columns: in the order of the values.

    """
    exact = values.astype(np.float32).astype(np.float64)
    low = _float32([column.low for column in columns])
    high = _float32([column.high for column in columns])
    span = np.where(high > low, high - low, 1.0)
    levels = np.rint((exact.clip(low, high) - low) / span * 255).astype(np.uint8)
    return levels, (exact < low) | (exact > high)


def _float32(ends: Sequence[float]) -> NDArray[np.float64]:
    return np.array(ends, np.float32).astype(np.float64)
