"""Labelled images as bytes; their pixels become float32 in [0, 1] only when they are used."""

import math
from dataclasses import dataclass

import numpy as np

from mlp_core.arrays import Matrix, Pixels
from mlp_core.errors import DatasetError


@dataclass(frozen=True, eq=False)
class Split:
    """Images uint8 (n, n_in), possibly memory-mapped, and their labels uint8 (n,).

    Raises:
        DatasetError: wrong type or shape, no images, or not exactly one label for each image.

    """

    images: Pixels
    labels: Pixels

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 2 or not self.images.size:
            found = f"{self.images.dtype} {self.images.shape}"
            raise DatasetError("images", "uint8 (n, n_in), not empty", found)
        if self.labels.dtype != np.uint8 or self.labels.shape != self.images.shape[:1]:
            found = f"{self.labels.dtype} {self.labels.shape}"
            raise DatasetError("labels", f"uint8 ({len(self.images)},)", found)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A split to train on and one to test on, with labels below `classes`.

    Raises:
        DatasetError: the splits have different widths, or a label or the image shape is impossible.

    """

    name: str
    train: Split
    test: Split
    classes: int
    image_shape: tuple[int, ...] | None = None  # rows, columns and perhaps channels, if known

    def __post_init__(self) -> None:
        if self.image_shape is not None and math.prod(self.image_shape) != self.n_in:
            raise DatasetError("image_shape", f"{self.n_in} pixels", self.image_shape)
        if self.test.images.shape[1] != self.n_in:
            raise DatasetError("columns of test images", self.n_in, self.test.images.shape[1])
        largest = max(int(split.labels.max()) for split in (self.train, self.test))
        if largest >= self.classes:
            raise DatasetError("labels", f"at most {self.classes - 1}", largest)

    @property
    def n_in(self) -> int:
        """The number of pixels of an image."""
        n_in: int = self.train.images.shape[1]
        return n_in


def scaled(images: Pixels) -> Matrix:
    """Return the pixels of `images`, of any shape, as float32 in [0, 1], exactly as in training."""
    # Converting first is faster than multiplying mixed types.
    X = images.astype(np.float32, order="C", subok=False)
    X *= 1 / 255
    return X
