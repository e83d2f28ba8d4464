import math
from dataclasses import replace

import numpy as np
import pytest

from mlp_core import SCHEDULES, Dataset, Recipe, Training
from mlp_core.arrays import Indices
from mlp_core.steps import SingleProcessSteps
from tests.support.training_runs import epochs_of

RECIPE = Recipe(
    (4,), "tanh", "he_normal", 0.01, epochs=4, batch_size=128, learning_rate=0.01, optimizer="adamw"
)


class WatchedSteps(SingleProcessSteps):
    """Records the learning rate of each step."""

    def __init__(self, recipe: Recipe, dataset: Dataset) -> None:
        super().__init__(recipe, dataset)
        self.learning_rates: list[float] = []

    def train_batch(
        self,
        rows: Indices,
        learning_rate: float,
        number: int,
        rng: np.random.Generator | None = None,
    ) -> float:
        self.learning_rates.append(learning_rate)
        assert number == len(self.learning_rates)
        return super().train_batch(rows, learning_rate, number, rng)


def learning_rates(recipe: Recipe, dataset: Dataset) -> list[float]:
    steps = WatchedSteps(recipe, dataset)
    assert len(epochs_of(Training(recipe, dataset, steps=steps))) == recipe.epochs
    return steps.learning_rates


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_constant_schedule_keeps_the_learning_rate(optimizer: str, dataset: Dataset) -> None:
    assert learning_rates(replace(RECIPE, optimizer=optimizer), dataset) == [0.01] * 20


def test_a_cosine_schedule_falls_to_0_at_the_end(dataset: Dataset) -> None:
    seen = learning_rates(replace(RECIPE, schedule="cosine"), dataset)
    assert seen == pytest.approx([0.005 * (1 + math.cos(math.pi * t / 20)) for t in range(20)])
    assert SCHEDULES["cosine"](0.01, 1.0) == 0
