"""AdamW and the learning rate's schedule; SGD is tested with whole runs in test_training.py."""

import math
from dataclasses import replace

import numpy as np
import pytest

from mlp_core import Recipe, Training, optimizers
from mlp_core.network import Network
from mlp_core.optimizers import SGD, SLICE, AdamW
from tests.support import oracles

RECIPE = Recipe(
    (4,), "tanh", "he_normal", 0.01, epochs=4, batch_size=128, learning_rate=0.01, optimizer="adamw"
)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_adamw_follows_the_formulas(weight_decay, rng):
    network = Network.random((7, 5, 3), "relu", "he_normal", 0.1, rng)
    theta = [a.astype(np.float64) for a in network.arrays().values()]
    optimizer = AdamW(network, weight_decay, 0.9, 0.999)
    state = {}
    for t in range(1, 21):
        gradients = [rng.standard_normal(a.shape) for a in theta]
        given = network.zeros()
        for target, g in zip(given.arrays().values(), gradients, strict=True):
            target[...] = g
        optimizer.step(network, given, 0.05, t)
        oracles.adamw(theta, gradients, state, t, 0.05, weight_decay)
    for array, expected in zip(network.arrays().values(), theta, strict=True):
        np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-5)


def test_slices_change_nothing(rng):
    network = Network.random((SLICE // 4, 6, 2), "relu", "he_normal", 0.1, rng)
    W, dW = network.weights[0].copy(), rng.standard_normal((SLICE // 4, 6), dtype=np.float32)
    gradients = network.zeros()
    np.copyto(gradients.weights[0], dW)
    AdamW(network, 0.0, 0.9, 0.999).step(network, gradients, 0.01, 1)
    np.testing.assert_allclose(W - network.weights[0], 0.01 * np.sign(dW), atol=1e-5)


OPTIMIZERS = {
    "momentum": lambda network: SGD(network, momentum=0.9),
    "nesterov": lambda network: SGD(network, momentum=0.9, nesterov=True),
    "adamw": lambda network: AdamW(network, 0.0, 0.9, 0.97),
}


def after_a_long_night(kind):
    """Weights, and what is kept, after a step with gradients, 5000 without and one with again."""
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
            kept = np.concatenate([array.ravel() for array in optimizer.arrays().values()])
    return np.concatenate([W.ravel() for W in network.flat]), kept


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_what_decays_is_forgotten_before_it_is_slow(kind, monkeypatch):
    weights, kept = after_a_long_night(kind)
    assert not kept.any()
    monkeypatch.setattr(optimizers, "FAINT", 0.0)
    same, stuck = after_a_long_night(kind)
    assert np.array_equal(weights, same)
    smallest = np.finfo(np.float32).smallest_normal
    assert stuck.any()
    assert np.abs(stuck).min() < smallest


def test_sums_of_gradients_are_kept_beside_the_layers(dataset):
    names = list(Training(RECIPE, dataset).checkpoint().arrays)
    layers = ["layers.1.weight", "layers.1.bias", "layers.2.weight", "layers.2.bias"]
    assert names == [*layers, *(f"first.{n}" for n in layers), *(f"second.{n}" for n in layers)]


def rates(recipe, dataset):
    training = Training(recipe, dataset)
    seen, step = [], training._crew.steps._optimizer.step

    def watched(parameters, gradients, rate, number):
        seen.append(rate)
        assert number == len(seen)
        step(parameters, gradients, rate, number)

    training._crew.steps._optimizer.step = watched
    assert len([epoch for epoch in training if epoch]) == recipe.epochs
    return seen


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_constant_rate_stays(optimizer, dataset):
    assert rates(replace(RECIPE, optimizer=optimizer), dataset) == [0.01] * 20


def test_a_cosine_falls_to_nothing_at_the_end(dataset):
    seen = rates(replace(RECIPE, schedule="cosine"), dataset)
    assert seen == pytest.approx([0.005 * (1 + math.cos(math.pi * t / 20)) for t in range(20)])


def test_adamw_learns_the_made_up_classes(dataset):
    epochs = [epoch for epoch in Training(replace(RECIPE, epochs=12), dataset) if epoch]
    assert epochs[-1].test_accuracy > 0.7
    assert epochs[-1].train_loss < epochs[0].train_loss
