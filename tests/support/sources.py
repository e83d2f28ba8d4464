"""Sources of images for tests of what happens to the rows after they have been read."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from service.ingest.source import Block, Source


def source_of(
    images: NDArray[np.uint8],
    labels: Sequence[str],
    splits: Sequence[str | None] | None = None,
    *,
    rows_at_once: int = 7,
) -> Source:
    """Return a source of images, uint8 (n, h, w) or (n, h, w, c), a few of them in each block."""
    if images.ndim == 3:
        images = images[..., None]
    splits = splits or [None] * len(images)

    def blocks() -> Iterator[Block]:
        for start in range(0, len(images), rows_at_once):
            rows = slice(start, start + rows_at_once)
            numbers = range(start, start + len(images[rows]))
            yield Block(numbers, images[rows], labels[rows], splits[rows])

    return Source(blocks, lambda row: f"row {row}", {"format": "test"}, len(images))


def table_of(
    values: NDArray[np.floating],
    columns: Sequence[str],
    labels: Sequence[str],
    splits: Sequence[str | None],
) -> Source:
    """Return a source of rows of numbers, (n, columns), in a single block."""
    nothing = np.zeros((len(values), 0, 0, 0), np.uint8)
    block = Block(range(len(values)), nothing, labels, splits, values.astype(np.float64))
    return Source(
        lambda: iter([block]), lambda row: f"line {row + 1}", {"format": "test"}, columns=columns
    )
