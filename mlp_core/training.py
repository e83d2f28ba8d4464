"""Training as an iterator of progress: cancelling, saving and time-outs stay with the caller."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_core.checkpoint import Checkpoint, Cursor, check_arrays
from mlp_core.dataset import Dataset
from mlp_core.errors import CheckpointError, Diverged
from mlp_core.fast.block_evaluation import Evaluation
from mlp_core.fast.data_layout import Arrangement, arrange
from mlp_core.network import Network, weight_name
from mlp_core.parallel.step_runner import Crew, StepsLost
from mlp_core.recipe import Recipe

ARITHMETIC = 3  # raised by any change of the bits a run produces

INIT, SHUFFLE, DEFORM = 0, 1, 2  # purposes of chance
FIRST = weight_name(1)
SCORED = "scored."  # before the names of a network that waits for its scores
PATIENCE_SECONDS = 0.02  # between two chances to stop, where there is nothing to do but wait


def generator(seed: int, purpose: int, *when: int) -> np.random.Generator:
    """Chance of its own for each purpose, epoch and batch, so the cursor is all a run must keep."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, purpose, *when])))


@dataclass(frozen=True)
class Epoch:
    """The record of one pass: mean losses in nats, L2 term excluded, and accuracies in [0, 1]."""

    number: int  # from 1
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float  # since the previous record, interruptions excluded


class Training:
    """A run of a recipe on a data set, from its start or from a checkpoint.

    Iterating trains. After each batch or part of an evaluation comes None: the chance to save or to
    stop. An epoch's record comes when its network is evaluated. Where a core is idle, a second
    process does half of it all or, with networks that can't be halved, a thread evaluates beside
    the next epoch. A run stopped at any of these, and built again from its checkpoint, ends with
    the same bits as one undisturbed.
    """

    def __init__(
        self,
        recipe: Recipe,
        dataset: Dataset,
        checkpoint: Checkpoint | None = None,
        arrangement: Arrangement | None = None,
        core_is_idle: Callable[[], bool] = lambda: False,
    ) -> None:
        """Allocate all buffers.

        Args:
            recipe: what to train.
            dataset: what to train on.
            checkpoint: where to go on.
            arrangement: that of the data set, if somebody has kept it.
            core_is_idle: whether to use a second core; asked once an epoch.

        Raises:
            CheckpointError: the checkpoint is of another recipe or data set.
            DatasetError: there is augmentation, but nobody knows the shape of the images.

        """
        self._recipe = recipe
        self._core_is_idle = core_is_idle
        self._data = arrangement or arrange(dataset)
        self._crew = Crew(recipe, dataset, self._data)
        self._evaluation = Evaluation(self._crew.steps.network, self._data)
        self._write(
            Network.random(
                (dataset.n_in, *recipe.hidden, dataset.classes),
                recipe.activation,
                recipe.initialization,
                recipe.initial_bias,
                generator(recipe.seed, INIT, 0),
            ).arrays()
        )
        self._epochs_done = 0
        self._batches_done = 0
        self._record_time = time.perf_counter()
        if checkpoint is not None:
            self._restore(checkpoint)

    def __iter__(self) -> Iterator[Epoch | None]:
        while self._epochs_done < self._recipe.epochs:
            if not self._evaluation.aside:
                yield from self.last_record()
            self._crew.begin(self._core_is_idle)
            try:
                for _ in self._train():
                    yield self._scored()
            except Diverged:
                yield from self.last_record()  # for the record of the epoch before
                raise
            yield from self.last_record()
            self._end_epoch()
        yield from self.last_record()

    @property
    def batches_per_epoch(self) -> int:
        """All batches of an epoch, the short last one included."""
        return math.ceil(len(self._data.labels) / self._recipe.batch_size)

    @property
    def cursor(self) -> Cursor:
        return Cursor(self._epochs_done, self._batches_done)

    @property
    def network(self) -> Network:
        """A copy of the network in training."""
        return Network.from_arrays(self.checkpoint().arrays, self._recipe.activation)

    def checkpoint(self) -> Checkpoint:
        """A copy of all that the run carries; valid at any yield."""
        self._unite()
        places = np.argsort(self._data.order)
        arrays = {
            name: array[places] if name.endswith(FIRST) else array.copy()
            for name, array in self._arrays(scored=self._evaluation.pending).items()
        }
        return Checkpoint(self.cursor, arrays, time.perf_counter() - self._record_time)

    def _arrays(self, *, scored: bool) -> dict[str, NDArray[Any]]:
        """The arrays of a checkpoint, not copied; those that wait for scores too if `scored`."""
        arrays = self._crew.steps.arrays()
        if scored:
            network = self._evaluation.network.arrays()
            arrays |= {f"{SCORED}{name}": array for name, array in network.items()}
        return arrays

    def _restore(self, checkpoint: Checkpoint) -> None:
        cursor = checkpoint.cursor
        last = Cursor(self._recipe.epochs, 0)
        fits = 0 <= cursor.batches_done <= self.batches_per_epoch
        if not (fits and Cursor() <= cursor <= last):
            expected = f"up to {last}, {self.batches_per_epoch} batches an epoch"
            raise CheckpointError("cursor", expected, cursor)
        scored = any(name.startswith(SCORED) for name in checkpoint.arrays)
        arrays = self._arrays(scored=scored)
        check_arrays(checkpoint.arrays, {name: array.shape for name, array in arrays.items()})
        self._write(checkpoint.arrays)
        self._epochs_done, self._batches_done = cursor.epochs_done, cursor.batches_done
        self._record_time -= checkpoint.epoch_seconds
        if scored:
            self._evaluation.start(aside=self._aside())

    def _write(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Copy these arrays, which know no places, to those of the same names."""
        arrays = self._arrays(scored=True)
        for name, array in saved.items():
            np.copyto(arrays[name], array[self._data.order] if name.endswith(FIRST) else array)

    def _train(self) -> Iterator[None]:
        """Train on the batches of the epoch that are not done yet."""
        rng = generator(self._recipe.seed, SHUFFLE, self._epochs_done + 1)
        order = rng.permutation(len(self._data.labels))
        size = self._recipe.batch_size
        while self._batches_done < self.batches_per_epoch:
            start = self._batches_done * size
            if self._step(order[start : start + size]):
                yield
            if self._batches_done == self.batches_per_epoch:
                self._unite()

    def _step(self, rows: NDArray[np.int64]) -> bool:
        """Train on one batch, the images of the given rows; return whether it is done."""
        chance = None
        if self._recipe.augmentation is not None:
            when = self._epochs_done + 1, self._batches_done + 1
            chance = generator(self._recipe.seed, DEFORM, *when)
        try:
            loss = self._crew.take(rows, self._learning_rate(), self._steps_done + 1, chance)
        except StepsLost as lost:
            self._batches_done -= lost.count
            return False
        self._check(loss, self._epochs_done + 1, self._batches_done + 1)
        self._batches_done += 1
        return True

    def _unite(self) -> None:
        """Bring the network in one piece up to date, or the cursor back to what it has seen."""
        try:
            self._crew.unite()
        except StepsLost as lost:
            self._batches_done -= lost.count

    @property
    def _steps_done(self) -> int:
        return self._epochs_done * self.batches_per_epoch + self._batches_done

    def _learning_rate(self) -> float:
        """That of the next step."""
        if self._recipe.schedule == "constant":
            return self._recipe.learning_rate
        done = self._steps_done / (self._recipe.epochs * self.batches_per_epoch)
        return self._recipe.learning_rate * (1 + math.cos(math.pi * done)) / 2

    def _end_epoch(self) -> None:
        """Go on to the next epoch, and begin to evaluate a copy of the network."""
        self._epochs_done += 1
        self._batches_done = 0
        helper = self._crew.helper()
        self._evaluation.start_with(self._crew.steps.network, aside=self._aside(), helper=helper)

    def _aside(self) -> bool:
        """Whether to evaluate beside the next epoch, for which a pair needs both cores."""
        return not self._crew.pairs and self._core_is_idle()

    def last_record(self) -> Iterator[Epoch | None]:
        """Evaluate, without further training, the network of the last finished epoch.

        After each part of that comes None, at its end the record; nothing if there has been one.
        """
        while self._evaluation.pending:
            yield self._scored(PATIENCE_SECONDS)

    def _scored(self, patience: float = 0.0) -> Epoch | None:
        """The record of the last finished epoch, if it is there and new."""
        if not self._evaluation.done(patience):
            return None
        train, test = self._evaluation.take()
        self._check(train.loss + test.loss, self._epochs_done, self.batches_per_epoch)
        before, self._record_time = self._record_time, time.perf_counter()
        return Epoch(self._epochs_done, *train, *test, self._record_time - before)

    def _check(self, loss: float, epoch: int, step: int) -> None:
        if not math.isfinite(loss):
            raise Diverged(epoch, step, self._recipe.learning_rate)
