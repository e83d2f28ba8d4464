"""What a network expects of the pictures or rows of numbers in a request."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from service.api.array_input import MNIST_SHAPE, Shape
from service.domain.dataset_manifest import Column, Manifest
from service.inference.image_batch import source_shape
from service.inference.input_batch import Normalize


@dataclass(frozen=True)
class Expected:
    """The shape of a picture, or the columns of a row; by default MNIST's."""

    shape: Shape = MNIST_SHAPE
    """(h, w), (h, w, 3) for colours, or (n,) for rows of numbers."""
    columns: Sequence[Column] = ()

    @cached_property
    def row(self) -> int:
        """The number of pixels of a picture, or of numbers in a row."""
        return math.prod(self.shape)

    @classmethod
    def of(cls, manifest: Manifest, normalize: Normalize) -> Self:
        """Return what a network expects that was trained on the set of this manifest."""
        if manifest.columns:
            return cls(manifest.shape, manifest.columns)
        return cls(source_shape(manifest, normalize))


MNIST = Expected()
