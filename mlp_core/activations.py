"""The activation functions of the hidden layers, with derivatives written in terms of the output.

Everything works in place. An activation turns Z into H. Its slope turns dH into dZ = dH * slope and
may overwrite H on the way, because H is not needed afterwards.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mlp_core.arrays import Matrix


class Activation(NamedTuple):
    """An activation and its derivative; every array is (batch, n_out)."""

    apply: Callable[[Matrix], None]  # turns Z into H
    apply_slope: Callable[[Matrix, Matrix], None]  # overwrites H; turns dH into dZ


def relu(Z: Matrix) -> None:
    np.maximum(Z, 0, out=Z)


def relu_slope(H: Matrix, dH: Matrix) -> None:
    np.greater(H, 0, out=H)  # 1 or 0
    dH *= H


def sigmoid(Z: Matrix) -> None:
    """1 / (1 + exp(-Z)), computed as (1 + tanh(Z / 2)) / 2, which never overflows."""
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
