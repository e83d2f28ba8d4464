"""Words the refusals of tables in which no rows of pixels can be found."""

import math
from collections.abc import Sequence

from service.ingest.refusal import Unusable, unusable


def no_rows(rows: Sequence[Sequence[str]], place: str) -> Unusable:
    """Return the refusal of a table none of whose rows is as long as its first line."""
    if len(rows) == 1:
        return unusable("empty", "The table has no rows below its first line.", place)
    return unusable(
        "ragged",
        f"Its first line has {len(rows[0])} columns, and the next one has {len(rows[1])}.",
        place,
        "Let the first line name each column, or leave it out.",
    )


def colours(
    count: int, start: int, label: int, separator: str, skipped: int, place: str
) -> Unusable:
    """Return the refusal of rows with three numbers for each pixel, in whichever order.

    Args:
        count: the number of columns of pixels.
        start: the first of them, counted from 0.
        label: the column of the label.
        separator: of the columns.
        skipped: the number of lines above the rows.
        place: names the file.

    """
    side = math.isqrt(count // 3)
    return unusable(
        "not_pixels",
        f"Its {count:,} columns beside the label are three for each of {side}x{side} pixels, and a "
        "table does not say in which order colours stand.",
        place,
        'Save them as arrays: import numpy; rows = numpy.loadtxt("data.csv", '
        f"delimiter={separator!r}, skiprows={skipped}); "
        f'numpy.savez("data.npz", images=rows[:, {start}:{start + count}]'
        f".reshape(-1, {side}, {side}, 3), labels=rows[:, {label}]). "
        f"If the sheet shows stripes, write (-1, 3, {side}, {side}).",
    )
