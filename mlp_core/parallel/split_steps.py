"""Steps of half a network, in lockstep with the other half in another process.

A unit of the hidden layer needs all inputs but no other unit, and so does the gradient of its
weights. So each process holds half the columns of the first weights, with their optimizer state,
and once per step the two exchange the outputs H of the hidden layer. Both compute the small output
layer, identically. No sum is added up in another order, so the bits are those of a network in one
piece.
"""

import numpy as np

from mlp_core.activations import ACTIVATIONS
from mlp_core.arrays import Matrix
from mlp_core.dataset import Dataset
from mlp_core.fast.buffers import Workspace
from mlp_core.fast.data_layout import DataLayout
from mlp_core.gradient_descent import GradientDescent
from mlp_core.network import Network, Parameters, backward, forward
from mlp_core.parallel.shared_memory import Side
from mlp_core.recipe import Recipe

REGISTER = 16  # float32 numbers in the widest vector register


class HalfGradientDescent(GradientDescent):
    """Trains the units that one side holds of a network with one hidden layer."""

    def __init__(self, recipe: Recipe, dataset: Dataset, layout: DataLayout, side: Side) -> None:
        super().__init__(recipe, dataset, layout, side.units.stop - side.units.start)
        self._side = side
        self._activation = ACTIVATIONS[recipe.activation]
        weights, biases = self.network.weights[1:], self.network.biases[1:]
        self._output_layer = Network(weights, biases, recipe.activation)
        self._output_gradients = Parameters(self._gradients.weights[1:], self._gradients.biases[1:])

    def _forward(self, network: Network, X: Matrix, work: Workspace) -> None:
        own, logits = work.outputs
        np.matmul(X, network.weights[0], out=own)
        own += network.biases[0]
        self._activation.apply(own)
        self._H = self._side.exchange(own)
        forward(self._output_layer, self._H, (logits,))

    def _backward(
        self, network: Network, X: Matrix, work: Workspace, gradients: Parameters
    ) -> None:
        (own, logits), (d_own, d_logits) = work.outputs, work.d_outputs
        backward(self._output_layer, self._H, (logits,), (d_logits,), self._output_gradients)
        np.matmul(d_logits, network.weights[1][self._side.units].T, out=d_own)
        self._activation.apply_slope(own, d_own)
        np.matmul(X.T, d_own, out=gradients.weights[0])
        np.add.reduce(d_own, axis=0, out=gradients.biases[0])


def split_units(n_out: int) -> tuple[slice, slice]:
    """Return which of n_out units each side holds: about half, cut at a multiple of REGISTER."""
    cut = n_out // (2 * REGISTER) * REGISTER
    return slice(0, cut), slice(cut, n_out)


def split_keeps_bits(rows: int, n_in: int, n_out: int, classes: int) -> bool:
    """Return whether the products of a step have the same bits in two parts as in one.

    A BLAS may add up the columns at an edge in another order: OpenBLAS does so on processors that
    have AVX2 only. That depends on shapes and memory layouts but not on the numbers: a trial with
    random numbers is enough.
    """
    rng = np.random.default_rng(0)
    X, W, dH, W_output, d_logits = (
        rng.standard_normal(shape, dtype=np.float32)
        for shape in ((rows, n_in), (n_in, n_out), (rows, n_out), (n_out, classes), (classes, rows))
    )
    H, dW, d_output = X @ W, X.T @ dH, d_logits.T @ W_output.T
    return all(
        np.array_equal(X @ W[:, units].copy(), H[:, units])
        and np.array_equal(X.T @ dH[:, units].copy(), dW[:, units])
        and np.array_equal(d_logits.T @ W_output[units].T, d_output[:, units])
        for units in split_units(n_out)
    )
