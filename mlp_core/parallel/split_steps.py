"""Half a network, trained in step with the other half in another process.

A unit of the hidden layer needs all the inputs but no other unit, and so does the gradient of its
weights. So each process keeps half the columns of the first weights, with what the optimiser holds
for them, and only the outputs H of the hidden layer are exchanged, once a step. The small layer
behind it both compute whole, alike. Nothing is added up in another order, so the bits are those of
a network in one piece.
"""

import math
import mmap
import os
import select
import socket
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_core.activations import ACTIVATIONS
from mlp_core.arrays import Matrix
from mlp_core.dataset import Dataset
from mlp_core.fast.block_evaluation import Parts
from mlp_core.fast.buffers import Workspace
from mlp_core.fast.data_layout import Arrangement
from mlp_core.network import Network, Parameters, backward, bias_name, forward, weight_name
from mlp_core.recipe import Recipe
from mlp_core.steps import Steps

SPLIT = weight_name(1), bias_name(1)  # ends of the names of the arrays that are halved
JOINED = 16  # where the first side counts its joins; the second does 8 further on
SPINS = 3_000  # looks at a number, for some 0.1 ms; then others may have the core
YIELDS = 1_000
NAP_SECONDS = 0.0005
PATIENCE_SECONDS = 2.0  # of the first side; the second waits as long as there is a first one
REGISTER = 16  # numbers


class NoPartner(Exception):
    """There is no other process, or it is gone and half of the network with it."""


class Shared:
    """Memory of both processes: the whole arrays by name, and what passes between the two."""

    def __init__(self, whole: Mapping[str, NDArray[Any]], rows: int, blocks: int) -> None:
        self.numbers = memoryview(shared((64,), np.int64).data)
        self.whole = {name: shared(array.shape, array.dtype) for name, array in whole.items()}
        # Two of each, in turns: one process may have a step's still in use when the next begins.
        self.H: NDArray[np.float32] = shared((2, rows, len(whole[bias_name(1)])), np.float32)
        self.rows: NDArray[np.int64] = shared((2, rows), np.int64)
        self.rates: NDArray[np.float64] = shared((2,), np.float64)
        self.parts: Parts = shared((blocks, 2), np.float64)


def shared(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """An array of zeros that stays the same memory in a forked process."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer(mmap.mmap(-1, size), dtype).reshape(shape)


class Seat:
    """The place of one of the two processes, side 0 or 1, from where it sees the other.

    They wait for each other by looking at numbers, again and again, because half a step is shorter
    than it takes to wake a sleeper. What a number announces is written before it; processors but
    x86 would have to be told to keep that order.
    """

    def __init__(self, side: int, memory: Shared, partner: socket.socket) -> None:
        self.memory = memory
        n_out = memory.H.shape[2]
        cut = cut_of(n_out)
        self.units = slice(cut, n_out) if side else slice(cut)
        self.own = n_out - cut if side else cut
        self.partner = partner
        self._side = side
        self._patience = math.inf if side else PATIENCE_SECONDS
        self._joins = 0

    def wait(self, place: int, number: int) -> None:
        """Wait until the number at this place is at least so large.

        Raises:
            NoPartner: nobody is left to write it there, or who is does not get to it.

        """
        numbers = self.memory.numbers
        for _ in range(SPINS):
            if numbers[place] >= number:
                return
        for _ in range(YIELDS):
            if numbers[place] >= number:
                return
            os.sched_yield()
        deadline = time.monotonic() + self._patience
        while numbers[place] < number:
            gone = select.select([self.partner], [], [], NAP_SECONDS)[0]  # its end is closed
            if gone or time.monotonic() >= deadline:
                raise NoPartner

    def join(self, own: Matrix) -> Matrix:
        """Lay the outputs (rows, own units) beside the other's; return those of all units.

        Raises:
            NoPartner: the other's will not come.

        """
        self._joins += 1
        H = self.memory.H[self._joins % 2, : len(own)]
        H[:, self.units] = own
        self.memory.numbers[JOINED + 8 * self._side] = self._joins
        self.wait(JOINED + 8 * (1 - self._side), self._joins)
        return H

    def load(self, own: Mapping[str, NDArray[Any]]) -> None:
        """Copy the whole arrays to the own ones; of those that are split, the own half."""
        for name, array in own.items():
            np.copyto(array, self._part(name))

    def save(self, own: Mapping[str, NDArray[Any]]) -> None:
        """Copy the own arrays to the whole ones; those that are not split, the first side does."""
        for name, array in own.items():
            if self._side == 0 or name.endswith(SPLIT):
                np.copyto(self._part(name), array)

    def _part(self, name: str) -> NDArray[Any]:
        whole = self.memory.whole[name]
        return whole[..., self.units] if name.endswith(SPLIT) else whole


class HalfSteps(Steps):
    """Steps of a network of one hidden layer, half of whose units are here."""

    def __init__(self, recipe: Recipe, dataset: Dataset, data: Arrangement, seat: Seat) -> None:
        super().__init__(recipe, dataset, data, seat.own)
        self._seat = seat
        self._activation = ACTIVATIONS[recipe.activation]
        weights, biases = self.network.weights[1:], self.network.biases[1:]
        self._behind = Network(weights, biases, recipe.activation)
        self._behind_gradients = Parameters(self._gradients.weights[1:], self._gradients.biases[1:])

    def _forward(self, network: Network, X: Matrix, work: Workspace) -> None:
        own, logits = work.outputs
        np.matmul(X, network.weights[0], out=own)
        own += network.biases[0]
        self._activation.apply(own)
        self._H = self._seat.join(own)
        forward(self._behind, self._H, (logits,))

    def _backward(self, network: Network, X: Matrix, work: Workspace, out: Parameters) -> None:
        (own, logits), (d_own, d_logits) = work.outputs, work.d_outputs
        backward(self._behind, self._H, (logits,), (d_logits,), self._behind_gradients)
        np.matmul(d_logits, network.weights[1][self._seat.units].T, out=d_own)
        self._activation.apply_slope(own, d_own)
        np.matmul(X.T, d_own, out=out.weights[0])
        np.add.reduce(d_own, axis=0, out=out.biases[0])


def cut_of(n_out: int) -> int:
    """How many of n_out units are for the first side: about half, in whole registers."""
    return n_out // (2 * REGISTER) * REGISTER


def keeps_bits(rows: int, n_in: int, n_out: int, classes: int) -> bool:
    """Whether the products of a step have the same bits in two parts as in one.

    A BLAS may sum up the columns at an edge in another way: OpenBLAS does so on processors that
    have AVX2 only. That is a matter of shapes and layouts, not of numbers; those here are any.
    """
    rng = np.random.default_rng(0)
    X, W, dH, W_behind, d_logits = (
        rng.standard_normal(shape, dtype=np.float32)
        for shape in ((rows, n_in), (n_in, n_out), (rows, n_out), (n_out, classes), (classes, rows))
    )
    H, dW, d_behind = X @ W, X.T @ dH, d_logits.T @ W_behind.T
    cut = cut_of(n_out)
    return all(
        np.array_equal(X @ W[:, own].copy(), H[:, own])
        and np.array_equal(X.T @ dH[:, own].copy(), dW[:, own])
        and np.array_equal(d_logits.T @ W_behind[own].T, d_behind[:, own])
        for own in (slice(cut), slice(cut, None))
    )
