"""Explanations, compared with float64 and with what changes when the ink changes."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlp_core import Network, predict_probabilities
from mlp_core.network import Parameters
from service.inference.explain import Explanation, explain
from tests.support.oracles import Pairs, row_passes

SIZES = {"linear": (784, 10), "one layer": (784, 32, 10), "three layers": (784, 24, 18, 12, 10)}


def network_of(sizes: tuple[int, ...], activation: str = "relu") -> Network:
    """Return a network with weights and biases that all differ from 0."""
    rng = np.random.default_rng(len(sizes))
    weights = [rng.normal(0, 1.4 / n_in**0.5, (n_in, n_out)) for n_in, n_out in pairwise(sizes)]
    biases = [rng.normal(0, 0.3, n_out) for n_out in sizes[1:]]
    W, b = (tuple(each.astype(np.float32) for each in kind) for kind in (weights, biases))
    return Network(W, b, activation)


def images(n: int = 6) -> NDArray[np.float32]:
    rng = np.random.default_rng(9)
    return np.where(rng.random((n, 784)) < 0.8, 0, rng.random((n, 784))).astype(np.float32)


def doubles(network: Parameters) -> Pairs:
    pairs = zip(network.weights, network.biases, strict=True)
    return [(W.astype(np.float64), b.astype(np.float64)) for W, b in pairs]


def explained(network: Network, X: NDArray[np.float32], *digits: int | None) -> Explanation:
    return explain(network, X, predict_probabilities(network, X), *digits)


def difference(network: Network, x: NDArray[Any], digit: int, rival: int) -> float:
    logits = row_passes(doubles(network), network.activation, x)[0][-1]
    return float(logits[digit] - logits[rival])


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("digits", [(None, None), (3, 8), (4, None), (None, 2)])
def test_pixels_and_biases_of_a_relu_network_add_up_to_the_difference_of_the_logits(
    sizes: tuple[int, ...], digits: tuple[int | None, int | None]
) -> None:
    network, X = network_of(sizes), images()
    found = explained(network, X, *digits)
    assert found.exact
    for at, (digit, rival) in enumerate(found.digits.tolist()):
        expected = difference(network, X[at], digit, rival)
        total = float(found.pixels[at].astype(np.float64).sum() + found.biases[at])
        assert total == pytest.approx(expected, abs=1e-4)
        assert found.differences[at] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_a_contribution_is_the_ink_times_what_more_ink_changes(activation: str) -> None:
    network, X = network_of(SIZES["three layers"], activation), images(1)
    found = explained(network, X, 5, 1)
    assert found.exact == (activation == "relu")
    assert not found.pixels[0, X[0] == 0].any()
    for pixel in np.flatnonzero(X[0])[::20]:
        step = np.zeros(784)
        step[pixel] = 1e-6
        ahead, behind = (difference(network, X[0] + sign * step, 5, 1) for sign in (1, -1))
        slope = (ahead - behind) / 2e-6
        assert found.pixels[0, pixel] == pytest.approx(X[0, pixel] * slope, abs=1e-5)


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_activations_and_votes_are_those_of_float64(activation: str) -> None:
    network, X = network_of(SIZES["three layers"], activation), images()
    found = explained(network, X)
    W, b = doubles(network)[-1]
    for at, (digit, rival) in enumerate(found.digits.tolist()):
        H = row_passes(doubles(network), activation, X[at])[1][1:-1]
        for layer, expected in zip(found.activations, H, strict=True):
            np.testing.assert_allclose(layer[at], expected, atol=1e-5)
        votes = H[-1] * (W[:, digit] - W[:, rival])
        np.testing.assert_allclose(found.votes[at], votes, atol=1e-5)
        total = votes.sum() + b[digit] - b[rival]
        assert total == pytest.approx(difference(network, X[at], digit, rival), abs=1e-9)


def test_without_hidden_layers_there_are_no_activations_and_no_votes() -> None:
    found = explained(network_of(SIZES["linear"]), images())
    assert (found.activations, found.votes.shape) == ((), (6, 0))


def test_a_digit_that_is_not_given_is_the_most_probable_other_one() -> None:
    network, X = network_of(SIZES["one layer"]), images(1)
    first, second = np.argsort(-predict_probabilities(network, X)[0])[:2].tolist()
    third = next(digit for digit in range(10) if digit not in (first, second))
    expected = {
        (None, None): [first, second],
        (third, None): [third, first],
        (first, None): [first, second],
        (None, first): [second, first],
        (None, second): [first, second],
        (second, third): [second, third],
    }
    for digits, pair in expected.items():
        assert explained(network, X, *digits).digits.tolist() == [pair]


def test_the_rival_is_told_by_its_logit_where_all_other_probabilities_are_zero() -> None:
    network, X = network_of(SIZES["linear"]), np.zeros((1, 784), np.float32)
    network.biases[0][:] = [0, 0, 0, 500, 0, 0, 0, 0, 9, 0]
    assert predict_probabilities(network, X)[0, 8] == 0
    assert explained(network, X).digits.tolist() == [[3, 8]]


def test_the_answered_digit_is_explained_even_if_the_logits_of_another_pass_say_otherwise() -> None:
    network, X = network_of(SIZES["linear"]), np.zeros((1, 784), np.float32)
    network.biases[0][:] = [0, 0, 0, 5, 0, 0, 0, 0, 5.0001, 0]
    answered = np.eye(10, dtype=np.float32)[[3]]
    assert explain(network, X, answered).digits.tolist() == [[3, 8]]


def test_explaining_changes_neither_the_network_nor_the_images() -> None:
    network, X = network_of(SIZES["three layers"]), images()
    before = [array.tobytes() for array in (*network.flat, X)]
    explained(network, X)
    assert [array.tobytes() for array in (*network.flat, X)] == before
