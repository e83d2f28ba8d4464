"""Turns arrays of images, of any shape and number type that people use, into uint8 (n, h, w, c)."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.ingest.arrays.array_files import StoredArray
from service.ingest.limits import Limits
from service.ingest.refusal import MOST_FLAWS, Flaw, Unusable, unusable

Values = NDArray[Any]
Pixels = NDArray[np.uint8]
CHANNELS = (1, 3, 4)
FEW_LEVELS = 16
"""Whole numbers up to this are most likely on another scale than 0 to 255."""
SIXTEEN_BITS, TWELVE_BITS = 65_535, 4095


@dataclass(frozen=True)
class Scale:
    """The values of black and white in an array."""

    low: float
    high: float

    def applied(self, values: Values) -> Pixels:
        """Return values as grey levels from 0 to 255; what lies outside is clipped."""
        if (self.low, self.high) == (0, 255) and values.dtype == np.uint8:
            return values
        levels = (values.astype(np.float64) - self.low) * (255 / (self.high - self.low))
        return np.rint(levels).clip(0, 255).astype(np.uint8)


@dataclass
class ValueRange:
    """The least and the greatest of the values seen."""

    low: float = math.inf
    high: float = -math.inf
    whole: bool = True
    """Whether all are whole numbers."""
    bytes_only: bool = True
    """Whether all are stored as uint8."""

    def add(self, values: Values) -> None:
        """Take some finite values into account."""
        if not values.size:
            return
        self.low = min(self.low, float(values.min()))
        self.high = max(self.high, float(values.max()))
        self.whole &= values.dtype.kind != "f" or bool((values == np.rint(values)).all())
        self.bytes_only &= values.dtype == np.uint8

    @property
    def is_settled(self) -> bool:
        """Whether no further bytes can change the scale."""
        return self.bytes_only and self.high > FEW_LEVELS


def image_shape(
    shape: tuple[int, ...], place: str, limits: Limits, size: tuple[int, int] | None = None
) -> tuple[int, int, int]:
    """Return height, width and channels of images.

    Args:
        shape: of an array of them, with the rows first.
        place: where they are.
        limits: of the sides, or of the pixels if the images will be made smaller.
        size: height and width that images are to have, as those may whose pixels are in a row.

    Raises:
        Unusable: the shape is that of no images, or they are too large.

    """
    height, width, channels = _sides(shape[1:], size)
    if channels not in CHANNELS or not height * width:
        raise unusable(
            "not_images",
            "Arrays of images do not have such a shape.",
            place,
            "Give it the shape (n, height, width), or (n, height, width, 3) for colours.",
        )
    if max(height, width) > limits.side and (
        size is None or height * width > limits.picture_pixels
    ):
        raise unusable(
            "too_large",
            f"Its images have {width}x{height} pixels, and at most {limits.side}x{limits.side} are "
            "read.",
            place,
            "Set the option `size`, such as [28, 28], to make the images smaller.",
        )
    return height, width, channels


def _sides(row: tuple[int, ...], size: tuple[int, int] | None) -> tuple[int, int, int]:
    """Return height, width and channels of a row, which are 0 if it is no image."""
    if len(row) == 2 and min(row) == 1 and _flat(max(row), size):  # (n, 784, 1)
        row = (max(row),)
    if len(row) == 1:
        row = _flat(row[0], size)
    if len(row) == 2:
        return row[0], row[1], 1
    if len(row) != 3:
        return 0, 0, 0
    if is_channel_first(row):
        return row[1], row[2], row[0]
    return row[0], row[1], row[2]


def is_channel_first(row: tuple[int, ...]) -> bool:
    """Return whether a row has the shape (channels, height, width)."""
    return len(row) == 3 and row[2] not in CHANNELS and row[0] in CHANNELS


def _flat(pixels: int, size: tuple[int, int] | None) -> tuple[int, ...]:
    """Return height and width of pixels in a row: as asked for, or else those of a square."""
    if size and math.prod(size) == pixels:
        return size
    side = math.isqrt(pixels)
    return (side, side) if side * side == pixels else ()


def range_of(array: StoredArray, found: ValueRange, limits: Limits) -> None:
    """Add the values of an array to what has been found; bytes are read until they settle it.

    Raises:
        Unusable: values are no finite numbers.

    """
    if array.dtype.kind not in "buif":
        raise unusable("not_images", "Its values are no numbers.", array.place)
    row = 0
    for piece in array.pieces():
        if array.dtype.kind == "f":
            _refuse_gaps(array, piece, row)
        limits.pulse()
        found.add(piece.astype(np.uint8) if array.dtype.kind == "b" else piece)
        if found.is_settled:
            return
        row += len(piece)


def _refuse_gaps(array: StoredArray, piece: Values, start: int) -> None:
    finite = np.isfinite(piece).reshape(len(piece), -1).all(axis=1)
    bad = np.flatnonzero(~finite)[:MOST_FLAWS]
    if len(bad):
        detail, hint = "A pixel is no finite number.", "Replace it with a grey level."
        places = (f"{array.place}, row {start + row}" for row in bad.tolist())
        raise Unusable([Flaw("not_a_number", detail, place, hint) for place in places])


def scale_of(found: ValueRange, types: Iterable[np.dtype[Any]], place: str) -> Scale:
    """Return the scale that values have.

    Raises:
        Unusable: it can't be told which values are black and white.

    """
    low, high = found.low, found.high
    if (low >= 0 and high <= 1) or low > high:
        return Scale(0, 1)
    if low >= 0 and FEW_LEVELS < high <= 255:
        return Scale(0, 255)
    is_wide = all(it.kind in "ui" and it.itemsize >= 2 for it in types)
    if low >= 0 and is_wide and TWELVE_BITS < high <= SIXTEEN_BITS:
        return Scale(0, SIXTEEN_BITS)
    what = "whole numbers" if found.whole else "numbers"
    raise unusable(
        "range",
        f"Its values are {what} from {low:g} to {high:g}, and it can't be told which of them are "
        "black and white.",
        place,
        f"Set the option `range` to the two, such as [{min(low, 0):g}, {high:g}].",
    )


def as_images(levels: Pixels, shape: tuple[int, int, int]) -> Pixels:
    """Return grey levels (n, …) as uint8 (n, h, w, c).

    Args:
        levels: of rows of any shape that `image_shape` knows.
        shape: what it has found.

    """
    if is_channel_first(levels.shape[1:]):
        levels = levels.transpose(0, 2, 3, 1)
    return levels.reshape(len(levels), *shape)
