"""Finds which values of pixels are black and white where rows are read one after another."""

from collections.abc import Callable, Iterable

import numpy as np

from service.ingest.arrays.pixel_arrays import FEW_LEVELS, Scale, ValueRange, Values, scale_of
from service.ingest.options import IngestOptions
from service.ingest.refusal import MOST_FLAWS, Flaw, Unusable, unusable
from service.ingest.source import Doubt

WHITE = 255
FEW_OUTSIDE = 0.01
"""Up to this share of values outside of 0 to 255 are mistakes, and more are another scale."""
PICTURE_PIXELS = 64
"""Rows of fewer numbers are most likely no pixels."""
NOT_PIXELS = (
    "Only tables of pixels are read as images. If its columns are numbers of another kind, set "
    'the option `input` to "vector", and leave out columns that are no numbers or have gaps with '
    'the option `ignore_columns`, as ["id", "filename"].'
)


def scale_of_rows(
    pieces: Iterable[Values], options: IngestOptions, place: str, doubts: list[Doubt]
) -> Scale:
    """Return the scale of pixels: by the first rows if these show it, else by all.

    Args:
        pieces: some rows each, (n, …).
        options: may say the scale.
        place: names the file in errors.
        doubts: a doubt is added if values lie outside of the scale that the options say.

    Raises:
        Unusable: it can't be told, or there are no rows.

    """
    found, outside, total, columns = ValueRange(), 0, 0, 0
    for values in pieces:
        found.add(values)
        outside += int(np.count_nonzero((values < 0) | (values > WHITE)))
        total += values.size
        columns = values[0].size
        if options.range is None and _is_clear(found):
            return Scale(0, WHITE)
    if not total:
        raise unusable("empty", "It has no rows.", place)
    if options.range is not None:
        return asked_scale(found, options.range, doubts)
    is_picture = found.whole and found.high > FEW_LEVELS and columns >= PICTURE_PIXELS
    if is_picture and outside < FEW_OUTSIDE * total:
        return Scale(0, WHITE)  # these values are refused one by one
    try:
        return scale_of(found, [np.dtype(np.float64)], place)
    except Unusable as exc:
        if columns >= PICTURE_PIXELS:
            raise
        raise unusable("not_pixels", exc.flaws[0].detail, place, NOT_PIXELS) from exc


def _is_clear(found: ValueRange) -> bool:
    return found.low >= 0 and FEW_LEVELS < found.high <= WHITE and found.whole


def asked_scale(found: ValueRange, asked: tuple[float, float], doubts: list[Doubt]) -> Scale:
    """Return the scale that the option `range` says, with a doubt if values lie outside of it.

    Raises:
        Unusable: black is not less than white.

    """
    low, high = asked
    if not low < high:
        raise unusable(
            "range", "The option `range` must be [black, white], where black is the smaller number."
        )
    if found.low < low or found.high > high:
        detail = (
            f"Its values are from {found.low:g} to {found.high:g}, and those outside of the option "
            f"`range`, [{low:g}, {high:g}], became black or white."
        )
        doubts.append(Doubt("cropped_range", detail))
    return Scale(low, high)


def refuse_outside(values: Values, scale: Scale, place: Callable[[int, int], str]) -> None:
    """Refuse values that are on another scale than those by which it was found.

    Args:
        values: (n, columns).
        scale: of the others.
        place: names a value by its row and column here, counted from 0.

    Raises:
        Unusable: with the places of the first ones.

    """
    low, high = scale.low, scale.high
    if values.dtype == np.uint8 and (low, high) == (0, WHITE):
        return
    bad = np.argwhere((values < low) | (values > high))[:MOST_FLAWS].tolist()
    words = f"is not between {low:g} and {high:g}, as the other pixels are."
    flaws = [
        Flaw("out_of_range", f"{values[row, at]:g} {words}", place(row, at)) for row, at in bad
    ]
    if flaws:
        raise Unusable(flaws)
