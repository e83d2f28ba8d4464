"""The network: its parameters, the forward pass and back-propagation."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mlp_core.activations import ACTIVATIONS
from mlp_core.arrays import Arrays, Matrix, Vector, aligned_empty
from mlp_core.checkpoint import check_arrays, check_names
from mlp_core.errors import ShapeError
from mlp_core.initializers import INITIALIZATIONS
from mlp_core.loss import softmax


@dataclass(frozen=True, eq=False)
class Parameters:
    """Weights (n_in, n_out) and biases (n_out,) of each layer, or their gradients or moments."""

    weights: tuple[Matrix, ...]
    biases: tuple[Vector, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of inputs, then the number of outputs of each layer."""
        return (len(self.weights[0]), *map(len, self.biases))

    @property
    def flat(self) -> tuple[Matrix | Vector, ...]:
        """All arrays, the weights first."""
        return (*self.weights, *self.biases)

    def arrays(self) -> Arrays:
        """The arrays, not copied, by name: layers.1.weight, layers.1.bias, layers.2.weight, …"""
        named: Arrays = {}
        for k, (W, b) in enumerate(zip(self.weights, self.biases, strict=True), start=1):
            named[weight_name(k)] = W
            named[bias_name(k)] = b
        return named

    def zeros(self) -> "Parameters":
        """Return parameters of the same shapes, all 0."""
        # Unlike zeros_like, zeros takes no memory until it is written to.
        weights = tuple(np.zeros(W.shape, W.dtype) for W in self.weights)
        biases = tuple(np.zeros(b.shape, b.dtype) for b in self.biases)
        return Parameters(weights, biases)


@dataclass(frozen=True, eq=False)
class Network(Parameters):
    """A multi-layer perceptron: hidden layers of one activation, then a linear output layer."""

    activation: str

    @classmethod
    def random(
        cls,
        sizes: tuple[int, ...],
        activation: str,
        initialization: str,
        initial_bias: float,
        rng: np.random.Generator,
    ) -> Self:
        """Return a network with random weights, drawn layer by layer, and equal biases."""
        initial = INITIALIZATIONS[initialization]
        weights = tuple(initial(rng, n_in, n_out) for n_in, n_out in pairwise(sizes))
        biases = tuple(np.full(n_out, initial_bias, np.float32) for n_out in sizes[1:])
        return cls(weights, biases, activation)

    def copy(self) -> Self:
        weights, biases = (
            tuple(array.copy() for array in kind) for kind in (self.weights, self.biases)
        )
        return type(self)(weights, biases, self.activation)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], activation: str) -> Self:
        """Return the network of the arrays named `layers.…`, not copied; others are ignored.

        Raises:
            CheckpointError: an array is missing, unknown, not float32, or does not fit the next.

        """
        layers = {name: array for name, array in arrays.items() if name.startswith("layers.")}
        numbers = range(1, max(1, (len(layers) + 1) // 2) + 1)
        names = [weight_name(k) for k in numbers], [bias_name(k) for k in numbers]
        check_names(layers, {*names[0], *names[1]})
        weights, biases = (tuple(layers[name] for name in kind) for kind in names)
        check_arrays(layers, shapes((len(np.atleast_1d(weights[0])), *(b.size for b in biases))))
        return cls(weights, biases, activation)


def weight_name(layer: int) -> str:
    return f"layers.{layer}.weight"


def bias_name(layer: int) -> str:
    return f"layers.{layer}.bias"


def shapes(sizes: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Return the shapes, by name, of the arrays of a network of these sizes."""
    named: dict[str, tuple[int, ...]] = {}
    for k, (n_in, n_out) in enumerate(pairwise(sizes), start=1):
        named[weight_name(k)] = (n_in, n_out)
        named[bias_name(k)] = (n_out,)
    return named


def empty_outputs(sizes: tuple[int, ...], rows: int) -> tuple[Matrix, ...]:
    """Return an uninitialised matrix (rows, n_out) for each layer of a network of these sizes."""
    *hidden, classes = sizes[1:]
    # With the short class axis outermost in memory, softmax's max and sum take a quarter of the
    # time.
    logits = aligned_empty(classes, rows).T
    return (*(aligned_empty(rows, n_out) for n_out in hidden), logits)


def forward(network: Network, X: Matrix, outputs: tuple[Matrix, ...]) -> None:
    """Fill `outputs`, in place, with H of each hidden layer and the logits.

    Args:
        network: not changed.
        X: (batch, n_in).
        outputs: one matrix (batch, n_out) for each layer.

    """
    activation = ACTIVATIONS[network.activation]
    H = X
    for W, b, Z in zip(network.weights, network.biases, outputs, strict=True):
        np.matmul(H, W, out=Z)
        Z += b
        if Z is not outputs[-1]:
            activation.apply(Z)
        H = Z


def backward(
    network: Network,
    X: Matrix,
    outputs: tuple[Matrix, ...],
    d_outputs: tuple[Matrix, ...],
    gradients: Parameters,
) -> None:
    """Fill `gradients`, in place, by the chain rule: `forward` in reverse.

    Args:
        network: not changed.
        X: (batch, n_in), as passed to `forward`.
        outputs: as filled by `forward`; those of the hidden layers are overwritten.
        d_outputs: of the shapes of `outputs`; the last holds d_logits, the others are filled.
        gradients: of the shapes of the network's parameters.

    """
    activation = ACTIVATIONS[network.activation]
    inputs = (X, *outputs)
    for k in reversed(range(len(outputs))):
        dZ = d_outputs[k]
        np.matmul(inputs[k].T, dZ, out=gradients.weights[k])
        np.add.reduce(dZ, axis=0, out=gradients.biases[k])
        if k > 0:  # the gradient of the images is not needed
            np.matmul(dZ, network.weights[k].T, out=d_outputs[k - 1])
            activation.apply_slope(inputs[k], d_outputs[k - 1])


def predict_probabilities(network: Network, X: Matrix) -> Matrix:
    """Return the probabilities (n, classes), in [0, 1], of each class for each row of X (n, n_in).

    Raises:
        ShapeError: X is not float32, or its width is not the network's number of inputs.

    """
    probabilities = predict_logits(network, X)
    softmax(probabilities)
    return np.ascontiguousarray(probabilities)


def predict_logits(network: Network, X: Matrix) -> Matrix:
    """Return the logits (n, classes) of each class for each row of X (n, n_in).

    Raises:
        ShapeError: X is not float32, or its width is not the network's number of inputs.

    """
    n_in = network.sizes[0]
    if X.ndim != 2 or X.shape[1] != n_in or X.dtype != np.float32:
        raise ShapeError("X", f"float32 (n, {n_in})", f"{X.dtype} {X.shape}")
    outputs = empty_outputs(network.sizes, len(X))
    forward(network, X, outputs)
    return outputs[-1]
