"""When a network has learned something, against numbers found by other ways."""

from typing import Any

import numpy as np
import pytest

from mlp_core import Network
from service.domain.baseline import Baseline, advice
from service.store.datasets import DatasetStore

SHARE_OF_ONES = 1135 / 10_000  # yann.lecun.com: the test set's most frequent digit


@pytest.fixture(scope="module")
def mnist() -> Baseline:
    return Baseline(SHARE_OF_ONES, 10_000)


def test_the_baseline_is_the_share_of_the_most_frequent_label(
    mnist: Baseline, dataset_store: DatasetStore
) -> None:
    assert Baseline.of(dataset_store.open("mnist").test.labels) == mnist
    assert Baseline.of(np.array([2, 0, 2, 1], np.uint8)) == Baseline(0.5, 4)


@pytest.mark.parametrize("accuracy", [0.0, 0.0892, 0.0980, 0.1135, 0.15, 0.2])
def test_what_needs_no_learning_does_not_count(mnist: Baseline, accuracy: float) -> None:
    assert not mnist.is_beaten_by(accuracy)


@pytest.mark.parametrize("accuracy", [0.21, 0.3, 0.925, 1.0])
def test_what_needs_learning_counts(mnist: Baseline, accuracy: float) -> None:
    assert mnist.is_beaten_by(accuracy)


def test_guessing_almost_never_counts_however_small_the_set_is() -> None:
    chance = np.random.default_rng(1)
    for rows in (30, 100, 1000, 10_000):
        scores = chance.binomial(rows, 0.25, 100_000) / rows
        baseline = Baseline(0.25, rows)
        assert np.mean(scores >= baseline.least) < 1e-4


def test_untrained_networks_do_not_count(mnist: Baseline, dataset_store: DatasetStore) -> None:
    """Their accuracies spread more than guesses: up to 0.25 on all test images."""
    test = dataset_store.open("mnist").test
    X = test.images.astype(np.float32) / 255
    accuracies = [
        np.mean(np.argmax(X @ network.weights[0], axis=1) == test.labels)
        for seed in range(100)
        for network in [_untrained(seed)]
    ]
    assert max(accuracies) > mnist.accuracy + 5 * 0.0032, "the standard error alone would not do"
    assert not any(map(mnist.is_beaten_by, accuracies))


def _untrained(seed: int) -> Network:
    rng = np.random.default_rng(seed)
    return Network.random((784, 10), "relu", "he_normal", 0.01, rng)


def test_a_set_of_one_class_can_not_be_beaten_by_less_than_all() -> None:
    assert Baseline(1.0, 50).least == 1.0


@pytest.mark.parametrize(
    ("optimizer", "rate", "said"),
    [
        ("sgd", 5.0, "Try a lower learning_rate: it was 5, and 0.1 is usual with sgd."),
        ("sgd", 1e-9, "Try a higher learning_rate or more epochs: it was 1e-09, and 0.1 is"),
        ("sgd", 0.1, "Try another learning_rate than 0.1, another initialization or more epochs."),
        ("adamw", 0.1, "Try a lower learning_rate: it was 0.1, and 0.001 is usual with adamw."),
    ],
)
def test_the_advice_depends_on_the_learning_rate(optimizer: str, rate: float, said: str) -> None:
    spec: dict[str, Any] = {"learning_rate": rate, "optimizer": {"type": optimizer}}
    assert advice(spec).startswith(said)
