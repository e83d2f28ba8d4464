import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from mlp_core.loss import balanced_weights, cross_entropy, softmax
from tests.support import oracles


def losses_and_gradient(
    logits: ArrayLike, labels: list[int], dtype: Any = np.float32
) -> tuple[NDArray[Any], NDArray[Any]]:
    logits = np.array(logits, dtype)
    losses, d_logits = np.empty(len(logits), dtype), np.empty_like(logits)
    cross_entropy(logits, np.array(labels), losses, d_logits)
    return losses, d_logits


def test_equal_logits_have_the_loss_of_a_uniform_guess() -> None:
    losses, d_logits = losses_and_gradient([[7, 7, 7, 7]], [2])
    assert losses[0] == pytest.approx(math.log(4))
    assert d_logits.tolist() == [[0.25, 0.25, -0.75, 0.25]]


def test_an_example_with_logarithms_agrees_with_a_calculation_by_hand() -> None:
    # exp gives 1 : 2 : 5, so the probabilities are 1/8, 2/8, 5/8.
    losses, d_logits = losses_and_gradient([[0, math.log(2), math.log(5)]], [1])
    assert losses[0] == pytest.approx(math.log(4))
    assert d_logits[0] == pytest.approx([0.125, -0.75, 0.625])


def test_logits_of_a_thousand_neither_overflow_nor_lose_the_loss() -> None:
    losses, d_logits = losses_and_gradient([[1000, -1000], [1000, -1000], [-1000, 0]], [0, 1, 0])
    assert losses.tolist() == [0, 2000, 1000]
    assert d_logits.tolist() == [[0, 0], [1, -1], [-1, 1]]


def test_gradient_agrees_with_finite_differences(rng: np.random.Generator) -> None:
    logits, labels = rng.standard_normal((5, 4)), [0, 3, 1, 1, 2]
    _, d_logits = losses_and_gradient(logits, labels, np.float64)

    def loss(at: list[NDArray[Any]]) -> float:
        return float(losses_and_gradient(at[0], labels, np.float64)[0].sum())

    oracles.check_gradient(loss, [d_logits], [logits], rng)


def test_a_wrong_gradient_is_detected(rng: np.random.Generator) -> None:
    logits, labels = rng.standard_normal((5, 4)), [0, 3, 1, 1, 2]
    _, d_logits = losses_and_gradient(logits, labels, np.float64)
    d_logits[2, 1] += 0.01
    with pytest.raises(AssertionError, match=r"analytic=.*numeric="):
        oracles.check_gradient(
            lambda at: float(losses_and_gradient(at[0], labels, np.float64)[0].sum()),
            [d_logits],
            [logits],
            rng,
        )


def test_logits_are_not_changed() -> None:
    logits = np.array([[1, 2]], np.float32)
    cross_entropy(logits, np.array([0]), np.empty(1, np.float32), np.empty_like(logits))
    assert logits.tolist() == [[1, 2]]


def test_softmax_turns_logits_into_probabilities() -> None:
    P = np.array([[0, math.log(3)], [1000, -1000], [-1000, -1000]], np.float32)
    softmax(P)
    expected = np.array([[0.25, 0.75], [1, 0], [0.5, 0.5]])
    np.testing.assert_allclose(P, expected, rtol=1e-6)


def test_with_balanced_weights_all_classes_have_the_same_sum() -> None:
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1, 3], np.uint8)
    assert balanced_weights(labels, 4).tolist() == [0.375, 1.125, 0, 2.25]
