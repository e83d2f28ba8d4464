"""Gradient descent on mini-batches: a network in training and all that a step needs."""

import math
from itertools import pairwise

import numpy as np

from mlp_core.arrays import Arrays, Indices, Labels, Matrix, Pixels, Vector
from mlp_core.augmentation import Deformer
from mlp_core.dataset import Dataset
from mlp_core.errors import DatasetError
from mlp_core.fast.buffers import Workspace  # saves allocating memory for each batch
from mlp_core.fast.data_layout import DataLayout
from mlp_core.fast.sparse_input import FirstLayer  # skips black pixels, 81 % of MNIST's
from mlp_core.loss import balanced_weights, cross_entropy, weight_rows
from mlp_core.network import Network, Parameters, backward, forward
from mlp_core.optimizers import optimizer_for
from mlp_core.recipe import Recipe

NO_COLUMNS = np.empty(0, np.intp)


class GradientDescent:
    """A network, with its inputs at the places of a data layout, and what trains it.

    All arrays are 0 until they are written to.
    """

    def __init__(
        self, recipe: Recipe, dataset: Dataset, layout: DataLayout, units: int | None = None
    ) -> None:
        """Allocate all buffers.

        Args:
            recipe: what to train.
            dataset: what to train on.
            layout: the layout of the data set.
            units: how many units of the first layer are trained here, if not all.

        Raises:
            DatasetError: the recipe asks for augmentation, but the images' shape is unknown.

        """
        n_in, n_first, *others = dataset.n_in, *recipe.hidden, dataset.classes
        n_own = units or n_first
        batch_rows = min(recipe.batch_size, len(dataset.train))
        self._images = np.asarray(dataset.train.images)  # indexing a memory map takes longer
        self._layout = layout
        # Deformed images have other live columns than the original ones.
        deforms = recipe.augmentation is not None
        self._first = FirstLayer(layout, n_own, batch_rows, all_usual=deforms)
        self._first.W.fill(0)
        # Unlike zeros_like, zeros takes no memory until it is written to.
        weights = tuple(np.zeros(shape, np.float32) for shape in pairwise((n_first, *others)))
        biases = tuple(np.zeros(n_out, np.float32) for n_out in (n_own, *others))
        self.network = Network((self._first.W, *weights), biases, recipe.activation)
        zeros = self.network.zeros()
        self._gradients = Parameters((self._first.dW, *zeros.weights[1:]), zeros.biases)
        self._optimizer = optimizer_for(recipe, self.network)
        self._deformer = _deformer_for(recipe, dataset, layout.order, batch_rows)
        self._class_weights = _class_weights_for(recipe, dataset)
        self._batch = Workspace.allocate((n_in, n_own, *others), batch_rows)

    def arrays(self) -> Arrays:
        """The network and the optimizer's state by name, not copied."""
        return self.network.arrays() | self._optimizer.arrays()

    def train_batch(
        self,
        rows: Indices,
        learning_rate: float,
        number: int,
        rng: np.random.Generator | None = None,
    ) -> float:
        """Train on one batch; return the sum of its losses in nats before the step.

        If that sum is not finite, the network is left unchanged.

        Args:
            rows: the indices of the training images, at most `batch_size` of them.
            learning_rate: the learning rate of this step.
            number: the number of this step in the run, from 1.
            rng: the random numbers for augmentation, if there is any.

        """
        work = self._batch.head(len(rows))
        d_logits = work.d_outputs[-1]
        X, live = self._gather_inputs(rows, work.pixels, rng)
        network = self._first.gather_network(self.network, live)
        gradients = self._first.narrow_gradients(self._gradients, live)
        self._forward(network, X, work)
        labels = self._layout.labels[rows]
        cross_entropy(work.outputs[-1], labels, work.losses, d_logits)
        loss = float(work.losses.sum())
        if not math.isfinite(loss):
            return loss
        self._scale(d_logits, labels, self._optimizer.gradient_scale(learning_rate))
        self._backward(network, X, work, gradients)
        if self._optimizer.moves_without_gradient:
            self._first.scatter_gradients(live)
            self._optimizer.step(self.network, self._gradients, learning_rate, number)
        else:
            self._optimizer.step(network, gradients, learning_rate, number)
            self._first.scatter_weights(live)
        return loss

    def _scale(self, d_logits: Matrix, labels: Labels, scale: float) -> None:
        """Turn the gradient of summed losses into `scale` times that of their mean, in place."""
        if self._class_weights is None:
            d_logits *= scale / len(labels)
        else:
            weight_rows(d_logits, self._class_weights[labels], scale)

    def _forward(self, network: Network, X: Matrix, work: Workspace) -> None:
        forward(network, X, work.outputs)

    def _backward(
        self, network: Network, X: Matrix, work: Workspace, gradients: Parameters
    ) -> None:
        backward(network, X, work.outputs, work.d_outputs, gradients)

    def _gather_inputs(
        self, rows: Indices, pixels: Pixels, rng: np.random.Generator | None
    ) -> tuple[Matrix, Indices]:
        """Return the inputs of a batch and which rare columns are live in it."""
        if self._deformer is None or rng is None:
            np.take(self._layout.images, rows, axis=0, out=pixels, mode="clip")
            return self._first.gather_inputs(pixels)
        np.take(self._images, rows, axis=0, out=pixels, mode="clip")
        return self._deformer.fill_inputs(pixels, rng), NO_COLUMNS


def _deformer_for(recipe: Recipe, dataset: Dataset, order: Indices, rows: int) -> Deformer | None:
    if recipe.augmentation is None:
        return None
    if dataset.image_shape is None:
        raise DatasetError("image_shape", "rows and columns, for augmentation", None)
    return Deformer(recipe.augmentation, dataset.image_shape, order, rows)


def _class_weights_for(recipe: Recipe, dataset: Dataset) -> Vector | None:
    if recipe.class_weights is None:
        return None
    if recipe.class_weights == "balanced":
        return balanced_weights(dataset.train.labels, dataset.classes)
    weights = np.array(recipe.class_weights, np.float32)
    if weights.shape != (dataset.classes,):
        raise DatasetError("class_weights", f"one for each of {dataset.classes}", weights.shape)
    return weights
