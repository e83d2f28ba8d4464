"""Where a row of a source is, if the source has several files or arrays."""

from collections.abc import Iterable


def origin_of(row: int, lengths: Iterable[int]) -> tuple[int, int]:
    """Return which part a row is in, and its number within that part; all count from 0.

    Args:
        row: its number in the source.
        lengths: how many rows each part has, in their order.

    Raises:
        IndexError: the parts have fewer rows.

    """
    left = row
    for part, length in enumerate(lengths):
        if left < length:
            return part, left
        left -= length
    raise IndexError(row)
