"""Multiply only what is not black: the first layer, narrowed to the live columns of some rows.

A pass over these rows is, but for rounding, the pass of a network without the other inputs, and it
is done so: `forward` and `backward` are given a narrower network, made here, and know nothing of
all this. Of MNIST's 784 columns a batch of 64 has 494 live ones, a block of the evaluation 388.
"""

import numpy as np

from mlp_core.arrays import Matrix, Pixels
from mlp_core.fast.buffers import buffer
from mlp_core.fast.data_layout import Arrangement, Order
from mlp_core.network import Network, Parameters

USUAL = 0.5  # share of the batches in which a usual column lives, at least


def rare_columns(arrangement: Arrangement, rows: int) -> int:
    """How many columns live in less than the usual share of the batches of so many rows."""
    lives = 1 - (1 - arrangement.shares) ** rows
    return int((lives < USUAL).sum())


class FirstLayer:
    """The first weights and their gradients, and what of them a batch needs, in one piece.

    The rows stand at the places of the arrangement: first those of rarely live columns, then the
    usual ones, then room. A batch needs the usual ones, and the few rare ones that live in it are
    copied into the room behind them; nothing else has to move. Which columns are usual depends on
    the arrangement and the batch size only: that keeps the bits of a resumed run.
    """

    def __init__(self, arrangement: Arrangement, n_out: int, rows: int, *, all_usual: bool) -> None:
        n_in = len(arrangement.order)
        self._rare = 0 if all_usual else rare_columns(arrangement, rows)
        self._W = buffer(n_in + self._rare, n_out)
        self._dW = buffer(n_in + self._rare, n_out)
        self._X = buffer(rows * n_in)
        self.W = self._W[:n_in]
        self.dW = self._dW[:n_in]

    def inputs(self, pixels: Pixels) -> tuple[Matrix, Order]:
        """The live columns of a batch scaled to [0, 1], and which of the rare ones are among them.

        Args:
            pixels: (rows, n_in), columns at their places.

        """
        live = np.flatnonzero(np.bitwise_or.reduce(pixels[:, : self._rare], axis=0))
        usual = pixels.shape[1] - self._rare
        width = usual + len(live)
        X = self._X[: len(pixels) * width].reshape(len(pixels), width)
        np.copyto(X[:, :usual], pixels[:, self._rare :])  # to convert first is faster than to
        X[:, usual:] = pixels[:, live]  # multiply mixed types
        X *= 1 / 255
        return X, live

    def narrow(self, network: Network, live: Order) -> Network:
        """The network of these inputs only; it works on the room's copy of the rare rows."""
        end = len(self.W) + len(live)
        np.take(self.W, live, axis=0, out=self._W[len(self.W) : end], mode="clip")
        return Network(
            (self._W[self._rare : end], *network.weights[1:]), network.biases, network.activation
        )

    def gradients(self, gradients: Parameters, live: Order) -> Parameters:
        """Where `backward` may put the gradients of the narrow network."""
        end = len(self.W) + len(live)
        return Parameters((self._dW[self._rare : end], *gradients.weights[1:]), gradients.biases)

    def widen(self, live: Order) -> None:
        """Put the rare rows of the narrow network back to their places."""
        self.W[live] = self._W[len(self.W) : len(self.W) + len(live)]

    def widen_gradients(self, live: Order) -> None:
        """Put the rare rows of the gradient to their places, and 0 where all was black."""
        self.dW[: self._rare] = 0
        self.dW[live] = self._dW[len(self.dW) : len(self.dW) + len(live)]
