"""Training as an iterator of progress: stopping, saving and time limits are up to the caller."""

import math
import time
from collections.abc import Iterator

import numpy as np

from mlp_core.arrays import Arrays, Indices
from mlp_core.checkpoint import Checkpoint, Cursor, check_arrays
from mlp_core.checkpoint_arrays import (
    evaluated_network,
    has_evaluated,
    in_input_order,
    in_pixel_order,
    with_evaluated,
)
from mlp_core.dataset import Dataset
from mlp_core.errors import Diverged
from mlp_core.metrics import Scores
from mlp_core.network import Network
from mlp_core.progress import Epoch, Position, Progress
from mlp_core.random_streams import Purpose, random_stream
from mlp_core.recipe import Recipe
from mlp_core.schedules import SCHEDULES
from mlp_core.steps import SingleProcessSteps, Steps, StepsLost

ARITHMETIC = 3  # raised with every change of the bits that a run produces

PATIENCE_SECONDS = 0.02  # between two slices, if there is nothing to do but wait for a thread


class Training:
    """A run of a recipe on a data set, from its start or from a checkpoint.

    Iterating trains, and yields `Progress` after each batch and each part of an evaluation: a
    chance to save or to stop. A run that is stopped at any of these and built again from its
    checkpoint ends with the same bits as an undisturbed one.
    """

    def __init__(
        self,
        recipe: Recipe,
        dataset: Dataset,
        checkpoint: Checkpoint | None = None,
        steps: Steps | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            recipe: what to train.
            dataset: what to train on.
            checkpoint: where to continue; by default, at the beginning.
            steps: takes the steps; unused so far, and made from the same recipe and data set. By
                default, this process takes them.

        Raises:
            CheckpointError: the checkpoint belongs to another recipe or data set.
            DatasetError: the recipe asks for augmentation, but the images' shape is unknown.

        """
        self._recipe = recipe
        self._steps = steps or SingleProcessSteps(recipe, dataset)
        self._evaluation = self._steps.evaluation
        self._schedule = SCHEDULES[recipe.schedule]
        self._rows = len(dataset.train)
        self._position = Position(recipe.epochs, math.ceil(self._rows / recipe.batch_size))
        self._record_time = time.perf_counter()
        if checkpoint is None:
            self._write(initial_network(recipe, dataset.n_in, dataset.classes).arrays())
        else:
            self._restore(checkpoint)

    def __iter__(self) -> Iterator[Progress]:
        while not self._position.run_is_done():
            if not self._evaluation.in_thread:
                yield from self.complete_pending_record()
            self._steps.begin_epoch()
            try:
                yield from self._train_epoch()
            except Diverged:
                yield from self.complete_pending_record()  # the epoch before is still valid
                raise
            yield from self.complete_pending_record()
            self._position.begin_next_epoch()
            self._steps.start_evaluation(self._steps.network)
        yield from self.complete_pending_record()

    @property
    def cursor(self) -> Cursor:
        return self._position.cursor

    def copy_network(self) -> Network:
        """Return a copy of the network in training; like `make_checkpoint`, may move the cursor."""
        return Network.from_arrays(self.make_checkpoint().arrays, self._recipe.activation)

    def copy_evaluated_network(self) -> Network:
        """Return a copy of the network that the last epoch's record measured.

        Allowed when an iteration has yielded that record: a moment later the copy that was
        evaluated may be overwritten by the next one.
        """
        arrays = in_pixel_order(self._evaluation.network.arrays(), self._steps.input_order)
        return Network.from_arrays(arrays, self._recipe.activation)

    def make_checkpoint(self) -> Checkpoint:
        """Return a copy of the run's whole state; allowed whenever an iteration has yielded.

        If the last steps turn out to be lost, the cursor moves back, and the checkpoint is that of
        the state before them.
        """
        self._synchronize()
        arrays = self._arrays(evaluated=self._evaluation.pending)
        return Checkpoint(
            self.cursor,
            in_pixel_order(arrays, self._steps.input_order),
            time.perf_counter() - self._record_time,
        )

    def complete_pending_record(self) -> Iterator[Progress]:
        """Complete the evaluation of the last finished epoch without further training.

        Yields progress after each part of it, with the record at its end; nothing if there is no
        such evaluation.
        """
        while self._evaluation.pending:
            yield self._advance_evaluation(PATIENCE_SECONDS)

    def _train_epoch(self) -> Iterator[Progress]:
        """Train on the batches of the epoch that are not done yet."""
        rng = random_stream(self._recipe.seed, Purpose.SHUFFLING, self._position.epoch)
        shuffled = rng.permutation(self._rows)
        size = self._recipe.batch_size
        while not self._position.epoch_is_done():
            start = self._position.batches_done * size
            self._train_batch(shuffled[start : start + size])
            yield self._advance_evaluation()
            if self._position.epoch_is_done():
                self._synchronize()

    def _train_batch(self, rows: Indices) -> None:
        position = self._position
        learning_rate = self._schedule(self._recipe.learning_rate, position.fraction)
        try:
            loss = self._steps.train_batch(
                rows, learning_rate, position.steps_done + 1, self._augmentation_stream()
            )
        except StepsLost as lost:
            position.rewind(lost.count)
            return
        self._check_finite(loss, position.epoch, position.batches_done + 1)
        position.advance()

    def _augmentation_stream(self) -> np.random.Generator | None:
        if self._recipe.augmentation is None:
            return None
        place = self._position.epoch, self._position.batches_done + 1
        return random_stream(self._recipe.seed, Purpose.AUGMENTATION, *place)

    def _synchronize(self) -> None:
        """Make the arrays agree with the cursor, which moves back if steps are lost."""
        try:
            self._steps.synchronize()
        except StepsLost as lost:
            self._position.rewind(lost.count)

    def _advance_evaluation(self, patience: float = 0.0) -> Progress:
        """Advance a pending evaluation; return the cursor and, if it is complete, the record."""
        scores = self._evaluation.advance(patience)
        return Progress(self.cursor, None if scores is None else self._complete_record(scores))

    def _complete_record(self, scores: Scores) -> Epoch:
        """Return the record of the last finished epoch, and begin to time the next one.

        Raises:
            Diverged: a loss is not finite.

        """
        train, test = scores
        number = self._position.epochs_done
        self._check_finite(train.loss + test.loss, number, self._position.batches_per_epoch)
        before, self._record_time = self._record_time, time.perf_counter()
        return Epoch(number, *train, *test, self._record_time - before)

    def _check_finite(self, loss: float, epoch: int, step: int) -> None:
        if not math.isfinite(loss):
            raise Diverged(epoch, step, self._recipe.learning_rate)

    def _arrays(self, *, evaluated: bool) -> Arrays:
        """Return the run's arrays, not copied; with the network under evaluation if `evaluated`."""
        arrays = self._steps.arrays()
        return with_evaluated(arrays, self._evaluation.network) if evaluated else arrays

    def _restore(self, checkpoint: Checkpoint) -> None:
        evaluated = has_evaluated(checkpoint.arrays)
        expected = self._arrays(evaluated=evaluated)
        self._position.move_to(checkpoint.cursor)
        check_arrays(checkpoint.arrays, {name: array.shape for name, array in expected.items()})
        self._record_time -= checkpoint.epoch_seconds
        arrays = self._write(checkpoint.arrays)
        if evaluated:
            self._steps.start_evaluation(evaluated_network(arrays, self._recipe.activation))

    def _write(self, saved: Arrays) -> Arrays:
        """Copy saved arrays to those of the run; return them in the order of the run's rows."""
        arrays = in_input_order(saved, self._steps.input_order)
        for name, own in self._steps.arrays().items():
            if name in arrays:  # a new network comes without state of the optimizer, which is 0
                np.copyto(own, arrays[name])
        return arrays


def initial_network(recipe: Recipe, n_in: int, classes: int) -> Network:
    """Return the network with which a run begins, as the seed of the recipe makes it."""
    return Network.random(
        (n_in, *recipe.hidden, classes),
        recipe.activation,
        recipe.initialization,
        recipe.initial_bias,
        random_stream(recipe.seed, Purpose.INITIALIZATION, 0),
    )
