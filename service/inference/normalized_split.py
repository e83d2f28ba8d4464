"""Stored images as a prediction would see them: each brought into MNIST's form."""

import numpy as np

from mlp_core import Split
from service.domain.errors import BadImage, EvaluationTooLarge
from service.inference.image_decoding import MNIST_SIDE
from service.inference.image_normalization import mnist_boxes, normalize

MOST_REDRAWN = 5_000
"""Redrawing an image takes up to a millisecond."""


def normalized(split: Split) -> Split:
    """Return a split of 28x28 images in MNIST's form; itself if all have it already.

    An image without anything on it stays as it is.

    Raises:
        EvaluationTooLarge: too many must be redrawn.

    """
    pictures = split.images.reshape(-1, MNIST_SIDE, MNIST_SIDE)
    _, fits = mnist_boxes(pictures)
    rest = np.flatnonzero(~fits)
    if len(rest) > MOST_REDRAWN:
        raise EvaluationTooLarge(len(rest))
    if not len(rest):
        return split
    made = np.array(pictures)
    for index in rest.tolist():
        made[index] = _normalized(made[index])
    return Split(made.reshape(len(made), -1), split.labels)


def _normalized(picture: np.ndarray) -> np.ndarray:
    try:
        return normalize(picture).pixels
    except BadImage:
        return picture
