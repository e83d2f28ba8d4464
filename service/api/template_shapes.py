"""The weights of the first layer as pictures, by what the network's data set is made of."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.dataset_manifest import InputForm, Manifest

Floats = NDArray[np.float32]
DIGITS = tuple(str(digit) for digit in range(10))


def has_templates(manifest: Manifest, layer: int) -> bool:
    """Return whether the units of a layer look at images, and not at a table or at other units."""
    return layer == 1 and manifest.image_shape is not None


def templates_of(W: Floats, manifest: Manifest) -> Floats:
    """Return the weights (n_in, units) as templates (units, rows, columns of pixels).

    In colour, those of red, green and blue stand side by side.
    """
    height, width = manifest.shape[:2]
    channels: NDArray[Any] = W.T.reshape(-1, height, width, manifest.channels)
    return np.ascontiguousarray(channels.transpose(0, 1, 3, 2)).reshape(len(channels), height, -1)


def is_of_digits(manifest: Manifest) -> bool:
    """Return whether the classes are the digits 0 to 9."""
    return manifest.input is InputForm.DIGIT and manifest.classes == DIGITS
