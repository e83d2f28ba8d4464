"""What a prediction is asked about, and what becomes of it on the way into a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from service.domain.errors import BadImage
from service.inference.image_normalization import Normalized

Normalize = Literal["auto", "always", "never"]
Pixels = NDArray[np.uint8]
"""(h, w) grey levels, or (h, w, 3) colours."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A row of a data set: inverted and transposed already, if its set was."""

    pixels: Pixels


Row = NDArray[np.float64]
"""(columns,): the numbers of a vector."""
Image = bytes | NDArray[Any] | Sample | BadImage
"""An encoded file, Pixels, a Row, or the error that came up while the request was read."""
Images = Sequence[Image] | np.ndarray
"""Several images, or all of them as one array, uint8 (n, …) of the shape that the network expects;
for vectors floats (n, columns)."""

MAX_PIXELS = 16_000_000
"""Most pixels that are decoded for one request; a small body can hold very large pictures. The last
picture may exceed it."""


@dataclass(frozen=True)
class NormalizedBatch:
    """Images as the network sees them."""

    pixels: np.ndarray
    """uint8 (n, …) of the shape that the network expects; meaningless for an image that can't be
    read."""
    boxes: np.ndarray
    """(n, 4): the box of the ink, for the images that had the network's form."""
    others: dict[int, Normalized | BadImage]
    """What was done to each remaining image, by its index, or why it can't be read."""
    inverted: bool = False
    """Whether the images that are not among `others` were inverted."""
    clipped: Mapping[int, Sequence[str]] = field(default_factory=dict)
    """The columns of each vector, by its index, whose values the training set does not reach."""

    @property
    def bad(self) -> list[int]:
        """The indices of the images that can't be read."""
        return [index for index, found in self.others.items() if isinstance(found, BadImage)]


@dataclass
class Budget:
    """The number of pixels that may still be decoded for a request."""

    left: int = MAX_PIXELS

    def check(self) -> None:
        if self.left <= 0:
            raise BadImage(
                "too_many_pixels",
                "The pictures of this request are too large together; send fewer, or smaller ones.",
            )

    def spend(self, pixels: int) -> None:
        self.left -= pixels


def replaced(pixels: np.ndarray, others: Mapping[int, Normalized | BadImage]) -> np.ndarray:
    """Return pixels (n, …) with the pictures that were brought into form in their places."""
    pixels = pixels.copy() if others else pixels
    for index, found in others.items():
        if isinstance(found, Normalized):
            pixels[index] = found.pixels
    return pixels
