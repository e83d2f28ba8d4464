"""Skipping black columns changes only rounding, and never the bits of a resumed run."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mlp_core import DataLayout, Dataset, Network, Recipe, Training, scaled
from mlp_core.fast.sparse_input import FirstLayer
from tests.support import oracles
from tests.support.sparse_images import IMAGES, one_live_row, split_of
from tests.support.training_runs import epochs_of, pairs, shuffled_batches

# 120 rows are a batch of 80 and one of 40; with a batch size of 55, the last batch has 10 rows.
RECIPE = Recipe((8,), "relu", "he_normal", 0.01, epochs=2, batch_size=80, learning_rate=0.1)
OPTIONS: list[dict[str, Any]] = [
    {},
    {"l2": 0.05},
    {"momentum": 0.8},
    {"momentum": 0.8, "nesterov": True, "l2": 0.05},
]


def assert_follows_the_reference(dataset: Dataset, recipe: Recipe, **options: Any) -> None:
    training = Training(replace(recipe, **options), dataset)
    start = pairs(training.copy_network())
    *_, epoch = epochs_of(training)
    batches = shuffled_batches(dataset.train, recipe)
    end = oracles.train(start, recipe.activation, batches, recipe.learning_rate, **options)
    for (W, b), (expected_W, expected_b) in zip(pairs(training.copy_network()), end, strict=True):
        np.testing.assert_allclose(W, expected_W, atol=5e-6)
        np.testing.assert_allclose(b, expected_b, atol=5e-6)
    for part, loss in ((dataset.train, epoch.train_loss), (dataset.test, epoch.test_loss)):
        expected, _ = oracles.evaluate(end, recipe.activation, scaled(part.images), part.labels)
        assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(options) or "plain")
@pytest.mark.parametrize("kind", IMAGES)
def test_training_follows_the_reference_whatever_is_black(
    kind: str, options: dict[str, Any], rng: np.random.Generator
) -> None:
    train, test = (split_of(IMAGES[kind](rng, rows), rng) for rows in (120, 40))
    assert_follows_the_reference(Dataset(kind, train, test, 3), RECIPE, **options)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "+".join(options) or "plain")
@pytest.mark.parametrize("hidden", [(), (7, 5)])
@pytest.mark.parametrize("batch_size", [1, 55])
def test_training_follows_the_reference_whatever_the_sizes(
    hidden: tuple[int, ...], batch_size: int, options: dict[str, Any], rng: np.random.Generator
) -> None:
    train, test = (split_of(one_live_row(rng, rows), rng) for rows in (120, 40))
    recipe = replace(RECIPE, hidden=hidden, batch_size=batch_size, activation="tanh", epochs=1)
    assert_follows_the_reference(Dataset("rare", train, test, 3), recipe, **options)


def test_the_narrow_network_is_that_of_the_live_columns(rng: np.random.Generator) -> None:
    shares = np.array([0.0, 0.0, 0.0, 0.9, 1.0])
    layout = DataLayout(np.arange(5), shares, *[None] * 4)  # type: ignore[arg-type]  # unused here
    first = FirstLayer(layout, 2, 4, all_usual=False)
    first.W[:] = rng.random((5, 2))
    network = Network((first.W,), (np.zeros(2, np.float32),), "relu")
    pixels = np.array([[0, 51, 0, 255, 0], [0, 0, 0, 102, 0]], np.uint8)
    X, live = first.gather_inputs(pixels)
    assert live.tolist() == [1]
    np.testing.assert_allclose(X, np.array([[1, 0, 0.2], [0.4, 0, 0]]))
    narrow = first.gather_network(network, live).weights[0]
    assert np.array_equal(narrow, first.W[[3, 4, 1]])
    narrow += 1  # as a step would
    before = first.W.copy()
    first.scatter_weights(live)
    assert np.array_equal(first.W - before, [[0, 0], [1, 1], [0, 0], [0, 0], [0, 0]])
