"""Undoes a blur, such as that of a small picture that was enlarged or of a camera out of focus."""

import functools

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

NOISE = 0.05
"""Frequencies whose power the blur lowered to less than this share are not restored, because they
hold mostly noise."""
STEP = 0.5
"""Blurs are told apart in steps of this many pixels, so that few filters are needed."""
PERIOD = 512
"""A filter is sampled on this many pixels, far more than a picture has."""


def deblurred(picture: Floats, sigma: float) -> Floats:
    """Return a picture (h, w) as it was before a Gaussian blur of `sigma` pixels; 0 around it.

    This is Wiener's deconvolution along each axis; what it makes negative becomes 0.
    """
    steps = max(1, round(sigma / STEP))
    height, width = picture.shape
    sharp: Floats = np.maximum(_filter(height, steps) @ picture @ _filter(width, steps), 0)
    return sharp


@functools.lru_cache(maxsize=64)
def _filter(length: int, steps: int) -> Floats:
    """Return the symmetric matrix (length, length) that sharpens a row of pixels."""
    frequencies = np.fft.fftfreq(PERIOD)
    blur = np.exp(-2 * (np.pi * STEP * steps * frequencies) ** 2)
    kernel = np.fft.ifft(blur * (1 + NOISE) / (blur**2 + NOISE)).real.astype(np.float32)
    index = np.arange(length)
    matrix: Floats = kernel[np.abs(index[:, None] - index)]
    return matrix
