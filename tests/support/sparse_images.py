"""Made-up images of 20 pixels, many of which are black."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from mlp_core import Split
from mlp_core.arrays import Pixels

N_IN = 20
Maker: TypeAlias = Callable[[np.random.Generator, int], Pixels]


def black_where(black: slice) -> Maker:
    """Images in which some pixels are 0 in all rows, and the others above 0."""

    def make(rng: np.random.Generator, rows: int) -> Pixels:
        images = rng.integers(1, 256, (rows, N_IN), dtype=np.uint8)
        images[:, black] = 0
        return images

    return make


def one_live_row(rng: np.random.Generator, rows: int) -> Pixels:
    """Images whose first two pixels are above 0 in all rows, and each other pixel in one row."""
    images = np.zeros((rows, N_IN), np.uint8)
    images[:, :2] = rng.integers(1, 256, (rows, 2), dtype=np.uint8)
    images[rng.permutation(rows)[: N_IN - 2], np.arange(2, N_IN)] = 200
    return images


IMAGES: dict[str, Maker] = {
    "black columns": black_where(slice(3, 9)),
    "other columns in each batch": one_live_row,
    "every column live": black_where(slice(0)),
    "all images black": black_where(slice(None)),
}


def split_of(images: Pixels, rng: np.random.Generator) -> Split:
    """The images with random labels of three classes."""
    return Split(images, rng.integers(0, 3, len(images), dtype=np.uint8))
