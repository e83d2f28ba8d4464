"""When a network has learned something, against numbers found by other ways."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from mlp_core import Network
from service.domain.baseline import Baseline
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


@pytest.mark.parametrize("rows", [12, 30, 100, 319, 10_000])
@pytest.mark.parametrize("share", [0.1, 1 / 3, 0.5, 0.9])
def test_guesses_count_in_at_most_one_of_300_sets(share: float, rows: int) -> None:
    baseline = Baseline(round(share * rows) / rows, rows)
    right = np.arange(math.ceil(baseline.accuracy * rows), rows + 1)
    enough = binom.sf(right - 1, rows, baseline.accuracy) <= 1 / 300
    lucky = right[np.argmax(enough)] / rows if enough.any() else 1.0
    gain = baseline.accuracy + 0.1 * (1 - baseline.accuracy)
    assert baseline.least == max(gain, lucky)


def test_guesses_that_follow_the_classes_count_no_more_often() -> None:
    """They are right less often than those that always say the most frequent class."""
    chance = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], (6, 4, 2))
    guesses = chance.permuted(np.tile(labels, (100_000, 1)), axis=1)
    scores = (guesses == labels).mean(axis=1)
    assert np.mean(scores >= Baseline.of(labels).least) < 1 / 300


@pytest.mark.parametrize(
    ("right", "rows", "classes"),
    [(11, 12, 2), (10, 12, 3), (14, 16, 2), (30, 40, 2), (7, 20, 10), (3, 3, 2)],
)
def test_few_test_images_are_enough_to_have_learned(right: int, rows: int, classes: int) -> None:
    assert Baseline(1 / classes, rows).is_beaten_by(right / rows)


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
