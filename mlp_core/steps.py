"""Steps of gradient descent: a network in training, and all that a step needs."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_core.arrays import Matrix, Pixels
from mlp_core.augmentation import Deformer
from mlp_core.dataset import Dataset
from mlp_core.errors import DatasetError
from mlp_core.fast.buffers import Workspace
from mlp_core.fast.data_layout import Arrangement, Order
from mlp_core.fast.sparse_input import FirstLayer
from mlp_core.loss import cross_entropy
from mlp_core.network import Network, Parameters, backward, forward
from mlp_core.optimizers import SGD, AdamW, Optimizer
from mlp_core.recipe import Recipe

NO_ROWS = np.empty(0, np.intp)


class Steps:
    """A network, its inputs at their places, and what trains it a step at a time.

    All its arrays are 0 until somebody writes to them.
    """

    def __init__(
        self, recipe: Recipe, dataset: Dataset, data: Arrangement, own: int | None = None
    ) -> None:
        """Allocate all buffers.

        Args:
            recipe: what to train.
            dataset: what to train on.
            data: its arrangement.
            own: how many units of the first layer there are here, if not all.

        Raises:
            DatasetError: there is augmentation, but nobody knows the shape of the images.

        """
        n_in, n_first, *others = dataset.n_in, *recipe.hidden, dataset.classes
        n_own = own or n_first
        batch_rows = min(recipe.batch_size, len(dataset.train))
        self._images = np.asarray(dataset.train.images)  # to index a memory map takes longer
        self._data = data
        # Deformed images live where they did not before.
        deforms = recipe.augmentation is not None
        self._first = FirstLayer(data, n_own, batch_rows, all_usual=deforms)
        self._first.W.fill(0)
        # Unlike zeros_like, zeros takes no memory before it is written to.
        weights = tuple(np.zeros(shape, np.float32) for shape in pairwise((n_first, *others)))
        biases = tuple(np.zeros(n_out, np.float32) for n_out in (n_own, *others))
        self.network = Network((self._first.W, *weights), biases, recipe.activation)
        zeros = self.network.zeros()
        self._gradients = Parameters((self._first.dW, *zeros.weights[1:]), zeros.biases)
        self._optimizer = _optimizer_of(recipe, self.network)
        self._deformer = _deformer_of(recipe, dataset, data.order, batch_rows)
        self._batch = Workspace.allocate((n_in, n_own, *others), batch_rows)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The network and what the optimiser keeps, by name, not copied."""
        return self.network.arrays() | self._optimizer.arrays()

    def take(
        self,
        rows: NDArray[np.int64],
        rate: float,
        number: int,
        chance: np.random.Generator | None = None,
    ) -> float:
        """Train on one batch; return the sum of its losses in nats, before the step.

        If that is not finite nothing else is changed.

        Args:
            rows: which images, at most a batch of them.
            rate: the learning rate.
            number: of this step in the run, from 1.
            chance: for augmentation.

        """
        work = self._batch.head(len(rows))
        d_logits = work.d_outputs[-1]
        X, live = self._inputs(rows, work.pixels, chance)
        network = self._first.narrow(self.network, live)
        gradients = self._first.gradients(self._gradients, live)
        self._forward(network, X, work)
        cross_entropy(work.outputs[-1], self._data.labels[rows], work.losses, d_logits)
        loss = float(work.losses.sum())
        if not math.isfinite(loss):
            return loss
        d_logits *= self._optimizer.scale(rate) / len(rows)
        self._backward(network, X, work, gradients)
        if self._optimizer.moves_all:
            self._first.widen_gradients(live)
            self._optimizer.step(self.network, self._gradients, rate, number)
        else:
            self._optimizer.step(network, gradients, rate, number)
            self._first.widen(live)
        return loss

    def _forward(self, network: Network, X: Matrix, work: Workspace) -> None:
        forward(network, X, work.outputs)

    def _backward(self, network: Network, X: Matrix, work: Workspace, out: Parameters) -> None:
        backward(network, X, work.outputs, work.d_outputs, out)

    def _inputs(
        self, rows: NDArray[np.int64], pixels: Pixels, chance: np.random.Generator | None
    ) -> tuple[Matrix, Order]:
        """The inputs of a batch, and which of the rare columns live in it."""
        if self._deformer is None or chance is None:
            np.take(self._data.images, rows, axis=0, out=pixels, mode="clip")
            return self._first.inputs(pixels)
        np.take(self._images, rows, axis=0, out=pixels, mode="clip")
        return self._deformer.inputs(pixels, chance), NO_ROWS


def _optimizer_of(recipe: Recipe, network: Network) -> Optimizer:
    if recipe.optimizer == "adamw":
        return AdamW(network, recipe.weight_decay, recipe.beta1, recipe.beta2)
    return SGD(network, recipe.momentum, recipe.nesterov, recipe.l2)


def _deformer_of(recipe: Recipe, dataset: Dataset, order: Order, rows: int) -> Deformer | None:
    if recipe.augmentation is None:
        return None
    if dataset.image_shape is None:
        raise DatasetError("image_shape", "rows and columns, for augmentation", None)
    return Deformer(recipe.augmentation, dataset.image_shape, order, rows)
