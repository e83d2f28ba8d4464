"""AdamW and the moments of all optimizers; test_training.py tests SGD with whole runs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlp_core import Dataset, Network, Recipe, Training, optimizers
from mlp_core.optimizers import CHUNK, SGD, AdamW, Optimizer
from tests.support import oracles
from tests.support.training_runs import epochs_of

RECIPE = Recipe(
    (4,), "tanh", "he_normal", 0.01, epochs=4, batch_size=128, learning_rate=0.01, optimizer="adamw"
)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_adamw_follows_the_formulas(weight_decay: float, rng: np.random.Generator) -> None:
    network = Network.random((7, 5, 3), "relu", "he_normal", 0.1, rng)
    theta: list[NDArray[Any]] = [a.astype(np.float64) for a in network.arrays().values()]
    optimizer = AdamW(network, weight_decay, 0.9, 0.999)
    state: dict[int, tuple[NDArray[Any], NDArray[Any]]] = {}
    for t in range(1, 21):
        gradients = [rng.standard_normal(a.shape) for a in theta]
        given = network.zeros()
        for target, g in zip(given.arrays().values(), gradients, strict=True):
            target[...] = g
        optimizer.step(network, given, 0.05, t)
        oracles.adamw(theta, gradients, state, t, 0.05, weight_decay)
    for array, expected in zip(network.arrays().values(), theta, strict=True):
        np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-5)


def test_an_array_of_several_chunks_is_updated_everywhere(rng: np.random.Generator) -> None:
    network = Network.random((CHUNK // 4, 6, 2), "relu", "he_normal", 0.1, rng)
    W, dW = network.weights[0].copy(), rng.standard_normal((CHUNK // 4, 6), dtype=np.float32)
    gradients = network.zeros()
    np.copyto(gradients.weights[0], dW)
    AdamW(network, 0.0, 0.9, 0.999).step(network, gradients, 0.01, 1)
    np.testing.assert_allclose(W - network.weights[0], 0.01 * np.sign(dW), atol=1e-5)


OPTIMIZERS: dict[str, Callable[[Network], Optimizer]] = {
    "momentum": lambda network: SGD(network, momentum=0.9),
    "nesterov": lambda network: SGD(network, momentum=0.9, nesterov=True),
    "adamw": lambda network: AdamW(network, 0.0, 0.9, 0.97),
}


def after_many_steps_without_gradients(kind: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the weights, and the state before the last step; only two steps have gradients."""
    rng = np.random.default_rng(3)
    network = Network.random((7, 5, 3), "relu", "he_normal", 0.1, rng)
    optimizer = OPTIMIZERS[kind](network)
    for number in range(1, 5003):
        gradients = network.zeros()
        if number in (1, 5002):
            for dW in gradients.flat:
                dW[...] = rng.standard_normal(dW.shape)
        optimizer.step(network, gradients, 0.1, number)
        if number == 5001:
            state = np.concatenate([array.ravel() for array in optimizer.arrays().values()])
    return np.concatenate([W.ravel() for W in network.flat]), state


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_moments_are_set_to_0_before_they_become_subnormal(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, flushed = after_many_steps_without_gradients(kind)
    assert not flushed.any()
    monkeypatch.setattr(optimizers, "TINY", 0.0)
    same_weights, subnormal = after_many_steps_without_gradients(kind)
    assert np.array_equal(weights, same_weights)
    assert subnormal.any()
    assert np.abs(subnormal).min() < np.finfo(np.float32).smallest_normal


LAYERS = ("layers.1.weight", "layers.1.bias", "layers.2.weight", "layers.2.bias")


@pytest.mark.parametrize(
    ("recipe", "moments"),
    [
        (RECIPE, ("first", "second")),
        (replace(RECIPE, optimizer="sgd", momentum=0.9), ("momentum",)),
        (replace(RECIPE, optimizer="sgd"), ()),
    ],
)
def test_a_checkpoint_holds_the_state_of_the_optimizer(
    recipe: Recipe, moments: tuple[str, ...], dataset: Dataset
) -> None:
    names = list(Training(recipe, dataset).make_checkpoint().arrays)
    assert names == [*LAYERS, *(f"{moment}.{name}" for moment in moments for name in LAYERS)]


def test_adamw_learns_the_made_up_classes(dataset: Dataset) -> None:
    first, *_, last = epochs_of(Training(replace(RECIPE, epochs=12), dataset))
    assert last.test_accuracy > 0.7
    assert last.train_loss < first.train_loss
