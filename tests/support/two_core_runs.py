"""Runs that two processes train, and what can be seen of the second process from outside."""

import functools
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlp_core import Checkpoint, Dataset, Epoch, Progress, Recipe, Split, Training, lay_out
from mlp_core.parallel.split_steps import split_keeps_bits
from mlp_core.parallel.step_runner import TwoCoreSteps
from tests.support.training_runs import epochs_of

RECIPE = Recipe((64,), "relu", "he_normal", 0.01, epochs=3, batch_size=128, learning_rate=0.1)
RECIPES = {
    "sgd": RECIPE,
    "momentum and l2": replace(RECIPE, activation="sigmoid", momentum=0.9, l2=0.01),
    "nesterov": replace(RECIPE, hidden=(100,), momentum=0.9, nesterov=True),
    "class weights": replace(RECIPE, class_weights=(1.0, 0.25, 3.0)),
    "adamw": replace(
        RECIPE, activation="tanh", optimizer="adamw", weight_decay=0.1, schedule="cosine"
    ),
}
SLICES = 3 * (5 + 2 + 1)  # batches, the last a short one; two of three blocks; the record


@functools.cache
def sparse_digits() -> Dataset:
    """3 classes of 400 pixels, 50 of them rarely above 0."""
    rng = np.random.default_rng(7)

    def split(rows: int) -> Split:
        labels = rng.integers(0, 3, rows, dtype=np.uint8)
        images = rng.integers(0, 160, (rows, 400), dtype=np.uint8)
        images[np.arange(rows), labels] += 95
        images[:, 350:] *= rng.random((rows, 50)) < 0.004
        return Split(images, labels)

    return Dataset("made up", split(600), split(1470), 3, (20, 20))


@functools.cache
def keeps_bits() -> bool:
    """Whether this processor's BLAS keeps the bits of products that are split."""
    return all(split_keeps_bits(128, n_in, 64, 3) for n_in in (350, 400))


class TwoCoreRun(Training):
    """A training for which a core is idle whenever `is_idle` says so."""

    def __init__(
        self,
        recipe: Recipe = RECIPE,
        checkpoint: Checkpoint | None = None,
        is_idle: Callable[[], bool] = lambda: True,
    ) -> None:
        dataset = sparse_digits()
        self.steps = TwoCoreSteps(recipe, dataset, lay_out(dataset), is_idle)
        super().__init__(recipe, dataset, checkpoint, self.steps)

    @property
    def second(self) -> int:
        """The process id of the second process."""
        process_id = self.steps.second_process_id
        assert process_id, "there is no second process"
        return process_id


class Outcome:
    """All that a run leaves, except for times."""

    def __init__(self, arrays: dict[str, NDArray[Any]], epochs: Iterable[Epoch]) -> None:
        self.arrays = arrays
        self.epochs = [(epoch.number, epoch.train_loss, epoch.test_loss) for epoch in epochs]

    def __eq__(self, other: object) -> bool:
        """Compare bits or, where split products have other bits, numbers up to rounding."""
        assert isinstance(other, Outcome)
        assert self.arrays.keys() == other.arrays.keys()
        assert len(self.epochs) == len(other.epochs)
        compared = [(np.array(self.epochs), np.array(other.epochs))]
        compared += [(array, other.arrays[name]) for name, array in self.arrays.items()]
        return all(
            np.array_equal(a, b) if keeps_bits() else np.allclose(a, b, rtol=1e-3, atol=1e-4)
            for a, b in compared
        )


def outcome(
    training: Training, slices: Iterable[Progress] | None = None, epochs: Iterable[Epoch] = ()
) -> Outcome:
    """Train to the end: the remaining slices, if the iteration has begun; after these epochs."""
    records = [*epochs, *epochs_of(training if slices is None else slices)]
    return Outcome(training.make_checkpoint().arrays, records)


@functools.cache
def undisturbed(recipe: Recipe = RECIPE) -> Outcome:
    """What one process alone leaves."""
    return outcome(Training(recipe, sparse_digits()))


def process_state(pid: int) -> tuple[str, int]:
    """The state of a process, and how long it has computed, in ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[11]) + int(fields[12])


def ends(pid: int) -> bool:
    """Whether a process ends, within 20 s."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if process_state(pid)[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    assert ends(pid)
