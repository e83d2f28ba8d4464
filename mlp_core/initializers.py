"""Distributions of a layer's initial weights."""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from mlp_core.arrays import Matrix

Initializer: TypeAlias = Callable[[np.random.Generator, int, int], Matrix]
"""Takes rng, n_in and n_out; returns W (n_in, n_out)."""


def he_normal(rng: np.random.Generator, n_in: int, n_out: int) -> Matrix:
    """N(0, sqrt(2 / n_in)), which keeps the variance through ReLU layers (He et al., 2015)."""
    W = rng.standard_normal((n_in, n_out), dtype=np.float32)
    W *= math.sqrt(2 / n_in)
    return W


def glorot_uniform(rng: np.random.Generator, n_in: int, n_out: int) -> Matrix:
    """U(-a, a) with a = sqrt(6 / (n_in + n_out)) (Glorot and Bengio, 2010).

    A compromise between keeping the variance of the outputs forward and of the gradients backward.
    """
    W = rng.random((n_in, n_out), dtype=np.float32)
    W -= 0.5
    W *= 2 * math.sqrt(6 / (n_in + n_out))
    return W


INITIALIZATIONS: dict[str, Initializer] = {
    "glorot_uniform": glorot_uniform,
    "he_normal": he_normal,
}
