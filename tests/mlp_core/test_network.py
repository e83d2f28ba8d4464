from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlp_core import (
    ACTIVATIONS,
    INITIALIZATIONS,
    CheckpointError,
    Network,
    ShapeError,
    predict_probabilities,
)
from mlp_core.loss import cross_entropy
from mlp_core.network import Parameters, backward, forward
from tests.support import oracles
from tests.support.training_runs import pairs

DEPTHS = {0: (4, 3), 1: (4, 5, 3), 2: (4, 6, 5, 3), 3: (4, 5, 7, 6, 3)}


def small_network(
    rng: np.random.Generator, sizes: tuple[int, ...] = (4, 5, 3), activation: str = "relu"
) -> Network:
    return Network.random(sizes, activation, "he_normal", 0.01, rng)


def in_float64(network: Network) -> Network:
    """Return the network in float64, where finite differences are larger than rounding errors."""
    weights, biases = (
        tuple(np.asarray(array, np.float64) for array in kind)
        for kind in (network.weights, network.biases)
    )
    return Network(weights, biases, network.activation)  # type: ignore[arg-type]  # not float32


def loss_and_gradients(
    network: Network, X: NDArray[Any], labels: NDArray[Any]
) -> tuple[float, Parameters]:
    """Return the mean loss and the gradients, computed in the precision of the arrays."""
    dtype, rows = X.dtype, len(X)
    outputs = tuple(np.empty((rows, n), dtype) for n in network.sizes[1:])
    d_outputs = tuple(np.empty_like(Z) for Z in outputs)
    losses, gradients = np.empty(rows, dtype), network.zeros()
    forward(network, X, outputs)
    cross_entropy(outputs[-1], labels, losses, d_outputs[-1])
    d_outputs[-1][:] /= rows
    backward(network, X, outputs, d_outputs, gradients)
    return float(losses.mean()), gradients


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_agree_with_finite_differences(
    activation: str, depth: int, rng: np.random.Generator
) -> None:
    network = in_float64(small_network(rng, DEPTHS[depth], activation))
    X, labels = rng.random((8, 4)), rng.integers(0, 3, 8)
    _, gradients = loss_and_gradients(network, X, labels)
    layers = len(network.weights)

    def loss(arrays: list[NDArray[Any]]) -> float:
        moved = Network(tuple(arrays[:layers]), tuple(arrays[layers:]), activation)
        return loss_and_gradients(moved, X, labels)[0]

    oracles.check_gradient(loss, gradients.flat, network.flat, rng)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_agree_with_the_row_by_row_reference(
    activation: str, depth: int, rng: np.random.Generator
) -> None:
    network = small_network(rng, DEPTHS[depth], activation)
    X, labels = rng.random((8, 4), dtype=np.float32), rng.integers(0, 3, 8)
    loss, gradients = loss_and_gradients(network, X, labels)
    expected, _ = oracles.evaluate(pairs(network), activation, X, labels)
    assert loss == pytest.approx(expected)
    rows = [
        oracles.row_gradients(pairs(network), activation, x, label)
        for x, label in zip(X, labels, strict=True)
    ]
    for k, (dW, db) in enumerate(zip(gradients.weights, gradients.biases, strict=True)):
        np.testing.assert_allclose(dW, np.mean([row[k][0] for row in rows], axis=0), atol=1e-6)
        np.testing.assert_allclose(db, np.mean([row[k][1] for row in rows], axis=0), atol=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_predictions_agree_with_the_row_by_row_reference(
    activation: str, rng: np.random.Generator
) -> None:
    network = small_network(rng, (4, 5, 6, 3), activation)
    X = rng.random((9, 4), dtype=np.float32)
    P = predict_probabilities(network, X)
    expected = [oracles.row_probabilities(pairs(network), activation, x) for x in X]
    np.testing.assert_allclose(P, expected, rtol=1e-5)
    assert P.dtype == np.float32
    assert P.flags.c_contiguous


@pytest.mark.parametrize(
    "X", [np.zeros((2, 5), np.float32), np.zeros(4, np.float32), np.zeros((2, 4))]
)
def test_images_that_do_not_fit_are_refused_with_both_shapes(
    X: NDArray[np.float32], rng: np.random.Generator
) -> None:
    with pytest.raises(ShapeError, match=r"X: expected float32 \(n, 4\), found float") as refusal:
        predict_probabilities(small_network(rng), X)
    assert str(X.shape) in str(refusal.value)


@pytest.mark.parametrize("initialization", INITIALIZATIONS)
def test_a_new_network_is_float32_with_equal_biases(
    initialization: str, rng: np.random.Generator
) -> None:
    sizes = (6, 5, 4, 3)
    network = Network.random(sizes, "tanh", initialization, 0.01, rng)
    assert network.sizes == sizes
    assert [W.shape for W in network.weights] == list(pairwise(sizes))
    assert all((b == np.float32(0.01)).all() for b in network.biases)
    assert {array.dtype for array in network.flat} == {np.dtype(np.float32)}


def test_arrays_are_named_from_layer_1_and_rebuild_the_network(rng: np.random.Generator) -> None:
    network = small_network(rng)
    arrays = network.arrays()
    assert {name: array.shape for name, array in arrays.items()} == {
        "layers.1.weight": (4, 5),
        "layers.1.bias": (5,),
        "layers.2.weight": (5, 3),
        "layers.2.bias": (3,),
    }
    again = Network.from_arrays(arrays | {"momentum.layers.1.weight": np.zeros(1)}, "relu")
    assert all(a is b for a, b in zip(network.flat, again.flat, strict=True))


@pytest.mark.parametrize(
    ("name", "array", "complaint"),
    [
        ("layers.2.bias", None, "names of arrays: expected .*'layers.2.bias'.*, found"),
        ("layers.3.weight", np.zeros((3, 2), np.float32), "names of arrays: expected .*layers.3.b"),
        ("layers.one", np.zeros(3, np.float32), "names of arrays: .* found .*'layers.one'"),
        ("layers.2.weight", np.zeros((4, 3), np.float32), r"\(5, 3\), found float32 \(4, 3\)"),
        ("layers.1.weight", np.zeros((4, 5)), r"float32 \(4, 5\), found float64 \(4, 5\)"),
        ("layers.1.weight", np.float32(1), r"layers.1.weight: expected float32 \(1, 5\), found"),
        ("layers.1.bias", np.zeros((5, 1), np.float32), r"layers.1.bias: expected float32 \(5,\)"),
    ],
)
def test_arrays_that_do_not_form_a_network_are_refused(
    name: str, array: NDArray[Any] | None, complaint: str, rng: np.random.Generator
) -> None:
    arrays = small_network(rng).arrays()
    if array is None:
        del arrays[name]
    else:
        arrays[name] = array
    with pytest.raises(CheckpointError, match=complaint):
        Network.from_arrays(arrays, "relu")


def test_an_empty_set_of_arrays_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"expected .*layers\.1\.weight.*, found"):
        Network.from_arrays({}, "relu")
