"""Activations of the hidden layers, with slopes written from their outputs.

All work in place. An activation turns Z into H. Its slope turns dH into dZ = dH * slope, and may
use H up on the way, because nothing needs H afterwards.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mlp_core.arrays import Matrix


class Activation(NamedTuple):
    """Both directions of an activation; every array is (batch, n_out)."""

    apply: Callable[[Matrix], None]  # Z, becomes H
    apply_slope: Callable[[Matrix, Matrix], None]  # H, used up; dH, becomes dZ


def relu(Z: Matrix) -> None:
    np.maximum(Z, 0, out=Z)


def relu_slope(H: Matrix, dH: Matrix) -> None:
    np.greater(H, 0, out=H)  # 1 or 0
    dH *= H


def sigmoid(Z: Matrix) -> None:
    """1 / (1 + exp(-Z)), written as (1 + tanh(Z / 2)) / 2, which never overflows."""
    Z *= 0.5
    np.tanh(Z, out=Z)
    Z *= 0.5
    Z += 0.5


def sigmoid_slope(H: Matrix, dH: Matrix) -> None:
    """H * (1 - H)."""
    dH *= H
    np.subtract(1, H, out=H)
    dH *= H


def tanh(Z: Matrix) -> None:
    np.tanh(Z, out=Z)


def tanh_slope(H: Matrix, dH: Matrix) -> None:
    """1 - H * H."""
    H *= H
    np.subtract(1, H, out=H)
    dH *= H


ACTIVATIONS = {
    "relu": Activation(relu, relu_slope),
    "sigmoid": Activation(sigmoid, sigmoid_slope),
    "tanh": Activation(tanh, tanh_slope),
}
