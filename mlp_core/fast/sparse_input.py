"""The first layer without black pixels: only the live columns of some rows are multiplied.

Except for rounding, a pass over these rows equals the pass of a network that lacks the other
inputs. So this module builds that narrower network, and `forward` and `backward` stay the same.
A batch of 64 images of MNIST has 494 live columns of 784; a block of an evaluation has 388.
"""

import numpy as np

from mlp_core.arrays import Indices, Matrix, Pixels, aligned_empty
from mlp_core.fast.data_layout import DataLayout
from mlp_core.network import Network, Parameters

USUAL = 0.5  # a usual column is live in at least this fraction of the batches


def rare_columns(layout: DataLayout, rows: int) -> int:
    """Return how many columns are live in less than USUAL of all batches of `rows` rows."""
    live = 1 - (1 - layout.shares) ** rows
    return int((live < USUAL).sum())


class FirstLayer:
    """The first layer's weights and gradients, stored so that a batch needs one slice of each.

    The rows are in the order of the layout: those of rare columns, those of usual columns, then
    spare room. A batch uses the usual rows where they are; the few rare rows that are live in it
    are gathered into the spare room right behind them. Which columns are usual depends only on the
    layout and the batch size, so a resumed run keeps its bits.
    """

    def __init__(self, layout: DataLayout, n_out: int, rows: int, *, all_usual: bool) -> None:
        n_in = len(layout.order)
        self._rare = 0 if all_usual else rare_columns(layout, rows)
        self._W = aligned_empty(n_in + self._rare, n_out)
        self._dW = aligned_empty(n_in + self._rare, n_out)
        self._X = aligned_empty(rows * n_in)
        self.W = self._W[:n_in]
        self.dW = self._dW[:n_in]

    def gather_inputs(self, pixels: Pixels) -> tuple[Matrix, Indices]:
        """Return the live columns of a batch, scaled to [0, 1], and which rare ones are among them.

        Args:
            pixels: (rows, n_in), columns at their places.

        """
        live = np.flatnonzero(np.bitwise_or.reduce(pixels[:, : self._rare], axis=0))
        usual = pixels.shape[1] - self._rare
        width = usual + len(live)
        X = self._X[: len(pixels) * width].reshape(len(pixels), width)
        # Converting first is faster than multiplying mixed types.
        np.copyto(X[:, :usual], pixels[:, self._rare :])
        X[:, usual:] = pixels[:, live]
        X *= 1 / 255
        return X, live

    def gather_network(self, network: Network, live: Indices) -> Network:
        """Return the network of these inputs only, with copies of the rare rows."""
        end = len(self.W) + len(live)
        np.take(self.W, live, axis=0, out=self._W[len(self.W) : end], mode="clip")
        return Network(
            (self._W[self._rare : end], *network.weights[1:]), network.biases, network.activation
        )

    def narrow_gradients(self, gradients: Parameters, live: Indices) -> Parameters:
        """Return views into which `backward` can write the gradients of the narrow network."""
        end = len(self.W) + len(live)
        return Parameters((self._dW[self._rare : end], *gradients.weights[1:]), gradients.biases)

    def scatter_weights(self, live: Indices) -> None:
        """Copy the rare rows of the narrow network back to their places."""
        self.W[live] = self._W[len(self.W) : len(self.W) + len(live)]

    def scatter_gradients(self, live: Indices) -> None:
        """Copy the rare rows of the gradient to their places; set those of black columns to 0."""
        self.dW[: self._rare] = 0
        self.dW[live] = self._dW[len(self.dW) : len(self.dW) + len(live)]
