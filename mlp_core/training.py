"""Training as an iterator of progress: cancelling, saving and time-outs stay with the caller."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_core.checkpoint import Checkpoint, Cursor, check_arrays
from mlp_core.dataset import Dataset, Split
from mlp_core.errors import CheckpointError, Diverged
from mlp_core.evaluation import BLOCK_ROWS, Block, Evaluation, blocks
from mlp_core.live_columns import Columns, Narrowing, live_columns, select, widen
from mlp_core.loss import cross_entropy
from mlp_core.network import Network, Parameters, backward, forward
from mlp_core.optimizers import SGD
from mlp_core.workspace import Workspace

ARITHMETIC = 1  # raised by any change of the bits a run produces

INIT, SHUFFLE = 0, 1  # purposes of chance


def generator(seed: int, purpose: int, epoch: int) -> np.random.Generator:
    """Chance of its own for each purpose and epoch, so that the cursor is all a run must keep."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, purpose, epoch])))


@dataclass(frozen=True)
class Recipe:
    """What to train and how; the names are those of `ACTIVATIONS` and `INITIALIZATIONS`."""

    hidden: tuple[int, ...]  # sizes of the hidden layers
    activation: str
    initialization: str
    initial_bias: float
    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float = 0.0
    nesterov: bool = False
    l2: float = 0.0
    seed: int = 1


@dataclass(frozen=True)
class Epoch:
    """The record of one pass: mean losses in nats, L2 term excluded, and accuracies in [0, 1]."""

    number: int  # from 1
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float  # since the previous epoch's end, evaluation included, interruptions excluded


class Training:
    """A run of a recipe on a data set, from its start or from a checkpoint.

    Iterating trains. After each slice of work, a batch or a block of the evaluation, comes None:
    the chance to save or to stop; after its evaluation comes the finished Epoch. A run stopped at
    any of these, and built again from its checkpoint, ends with the same bits as one undisturbed.
    """

    def __init__(
        self, recipe: Recipe, dataset: Dataset, checkpoint: Checkpoint | None = None
    ) -> None:
        """Allocate all buffers.

        Raises:
            CheckpointError: the checkpoint is of another recipe or data set.

        """
        sizes = (dataset.n_in, *recipe.hidden, dataset.classes)
        self._recipe = recipe
        self._dataset = dataset
        self._network = Network.random(
            sizes,
            recipe.activation,
            recipe.initialization,
            recipe.initial_bias,
            generator(recipe.seed, INIT, 0),
        )
        self._gradients = self._network.zeros()
        self._optimizer = SGD(
            self._network, recipe.learning_rate, recipe.momentum, recipe.nesterov, recipe.l2
        )
        self._batch = Workspace.allocate(sizes, min(recipe.batch_size, len(dataset.train)))
        self._block = Workspace.allocate(sizes, BLOCK_ROWS)
        self._narrowing = Narrowing(sizes, max(len(self._batch), BLOCK_ROWS))
        self._train_blocks = blocks(dataset.train, sizes[1])
        self._test_blocks = blocks(dataset.test, sizes[1])
        self._epochs_done = 0
        self._batches_done = 0
        self._epoch_start = time.perf_counter()
        if checkpoint is not None:
            self._restore(checkpoint)

    def __iter__(self) -> Iterator[Epoch | None]:
        while self._epochs_done < self._recipe.epochs:
            yield from self._train()
            train = self._evaluation(self._dataset.train, self._train_blocks)
            test = self._evaluation(self._dataset.test, self._test_blocks)
            yield from train
            yield from test
            yield self._finish(train, test)

    @property
    def batches_per_epoch(self) -> int:
        """All batches of an epoch, the short last one included."""
        return math.ceil(len(self._dataset.train) / self._recipe.batch_size)

    @property
    def cursor(self) -> Cursor:
        return Cursor(self._epochs_done, self._batches_done)

    @property
    def network(self) -> Network:
        """The network in training; its arrays change with every batch."""
        return self._network

    def checkpoint(self) -> Checkpoint:
        """A copy of all that the run carries; valid at any yield."""
        arrays = {name: array.copy() for name, array in self._arrays().items()}
        return Checkpoint(self.cursor, arrays, time.perf_counter() - self._epoch_start)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return self._network.arrays() | self._optimizer.arrays()

    def _restore(self, checkpoint: Checkpoint) -> None:
        arrays, cursor = self._arrays(), checkpoint.cursor
        last = Cursor(self._recipe.epochs, 0)
        fits = 0 <= cursor.batches_done <= self.batches_per_epoch
        if not (fits and Cursor() <= cursor <= last):
            expected = f"up to {last}, {self.batches_per_epoch} batches an epoch"
            raise CheckpointError("cursor", expected, cursor)
        check_arrays(checkpoint.arrays, {name: array.shape for name, array in arrays.items()})
        for name, array in arrays.items():
            np.copyto(array, checkpoint.arrays[name])
        self._epochs_done, self._batches_done = cursor.epochs_done, cursor.batches_done
        self._epoch_start -= checkpoint.epoch_seconds

    def _train(self) -> Iterator[None]:
        """Train on the batches of the epoch that are not done yet."""
        rng = generator(self._recipe.seed, SHUFFLE, self._epochs_done + 1)
        order = rng.permutation(len(self._dataset.train))
        size = self._recipe.batch_size
        for start in range(self._batches_done * size, len(order), size):
            self._step(order[start : start + size])
            self._batches_done += 1
            yield

    def _step(self, rows: NDArray[np.int64]) -> None:
        """Train on one batch: the images of the given rows."""
        work = self._batch.head(len(rows))
        labels = self._dataset.train.labels[rows]
        d_logits = work.d_outputs[-1]
        np.take(self._dataset.train.images, rows, axis=0, out=work.pixels, mode="clip")
        live = live_columns(work.pixels, len(self._network.biases[0]))
        X = self._narrowing.inputs(select(work.pixels, live))
        network = self._narrowing.network(self._network, live)
        gradients = self._narrowing.gradients(self._gradients, live)
        forward(network, X, work.outputs)
        cross_entropy(work.outputs[-1], labels, work.losses, d_logits)
        self._check(float(work.losses.sum()), self._batches_done + 1)
        d_logits *= self._optimizer.scale / len(rows)
        backward(network, X, work.outputs, work.d_outputs, gradients)
        self._update(network, gradients, live)

    def _update(self, network: Network, gradients: Parameters, live: Columns) -> None:
        """Change the network by the gradients of its live part."""
        if self._optimizer.moves_all:
            if live is not None:
                self._gradients.weights[0].fill(0)
                widen(gradients, live, self._gradients)
            self._optimizer.step(self._network, self._gradients)
        else:
            self._optimizer.step(network, gradients)
            widen(network, live, self._network)

    def _evaluation(self, split: Split, blocks: list[Block]) -> Evaluation:
        return Evaluation(self._network, split, blocks, self._block, self._narrowing)

    def _finish(self, train: Evaluation, test: Evaluation) -> Epoch:
        """Close the epoch: its record, and on to the next."""
        self._check(train.loss + test.loss, self.batches_per_epoch)
        self._epochs_done += 1
        self._batches_done = 0
        start, self._epoch_start = self._epoch_start, time.perf_counter()
        return Epoch(
            self._epochs_done,
            train.loss,
            train.accuracy,
            test.loss,
            test.accuracy,
            self._epoch_start - start,
        )

    def _check(self, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            raise Diverged(self._epochs_done + 1, step, self._recipe.learning_rate)
