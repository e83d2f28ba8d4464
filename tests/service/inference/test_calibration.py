"""Calibration by bins, and the temperature that improves it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from service.domain.temperature_trust import doubt_about
from service.inference.calibration import calibration, temperature
from service.inference.evaluate import Evaluation
from service.inference.tempering import tempered


@pytest.mark.parametrize("bins", [2, 10, 15, 100])
def test_bins_are_those_of_a_histogram(bins: int) -> None:
    """They are half open, and the last one has probability 1: there is no bin behind it."""
    rng = np.random.default_rng(1)
    sure = np.concatenate([rng.beta(4, 1, 3000), np.ones(200), np.linspace(0, 1, bins + 1)])
    right = rng.random(len(sure)) < sure
    found = calibration(sure, right, bins)
    counts, edges = np.histogram(sure, bins, (0, 1))
    assert [each.count for each in found.bins] == counts.tolist()
    assert [each.start for each in found.bins] == edges[:-1].tolist()
    assert [each.end for each in found.bins] == edges[1:].tolist()
    gaps = []
    for number, each in enumerate(found.bins):
        inside = (sure >= edges[number]) & ((sure < edges[number + 1]) | (number == bins - 1))
        if not inside.any():
            assert (each.confidence, each.accuracy) == (None, None)
            continue
        assert each.confidence == pytest.approx(sure[inside].mean())
        assert each.accuracy == pytest.approx(right[inside].mean())
        gaps.append((inside.mean(), abs(sure[inside].mean() - right[inside].mean())))
    assert found.ece == pytest.approx(sum(share * gap for share, gap in gaps))
    assert found.mce == pytest.approx(max(gap for _, gap in gaps))


def test_a_worked_example() -> None:
    found = calibration(np.array([0.6, 0.9, 1.0]), np.array([True, True, False]), 2)
    assert found.ece == pytest.approx(abs(2.5 - 2) / 3)
    assert found.bins[0].count == 0


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_the_temperature_is_that_with_which_the_labels_were_drawn(true: float) -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(40_000, 4)).astype(np.float32) * 3
    noise = rng.gumbel(size=logits.shape)
    labels = (logits / true + noise).argmax(axis=1).astype(np.uint8)
    assert temperature(logits, labels) == pytest.approx(true, rel=0.05)


def test_the_temperature_has_the_lowest_loss() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(500, 3)).astype(np.float32) * 6
    labels = rng.integers(0, 3, 500, dtype=np.uint8)

    def loss(t: float) -> float:
        Z = logits.astype(float) / t
        return float((np.log(np.exp(Z).sum(axis=1)) - Z[np.arange(500), labels]).mean())

    found = temperature(logits, labels)
    assert found > 3, "the labels have nothing to do with the logits"
    if found < 19:
        assert loss(found) <= min(loss(found * 0.99), loss(found * 1.01))


def test_a_network_that_is_always_right_has_the_lowest_temperature() -> None:
    labels = np.array([0, 1, 2] * 5, np.uint8)
    assert temperature(np.eye(3, dtype=np.float32)[labels], labels) == pytest.approx(0.05, rel=1e-3)


def evaluation_of(labels: NDArray[np.uint8], spread: float = 3) -> Evaluation:
    """Return what a network says that is right about two of three images."""
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(len(labels), 3)).astype(np.float32)
    logits[np.arange(len(labels)), labels] += spread
    return Evaluation(labels, logits, 0.0, 0.0)


@pytest.mark.parametrize(
    ("labels", "spread", "doubt"),
    [
        ([0, 1, 2] * 30, 1.0, None),
        ([0, 1] * 20, 1.0, "one class"),  # every second image is of the first class
        ([0, 1, 2] * 12, 1.0, "few rows"),
        ([0, 0, 1, 1, 2, 2] * 10, 1e4, "at its bound"),
        ([0, 0, 1, 1, 2, 2] * 10, -1e4, "at its bound"),
    ],
)
def test_a_temperature_is_doubted_by_what_it_was_fitted_on(
    labels: list[int], spread: float, doubt: str | None
) -> None:
    found = tempered(evaluation_of(np.array(labels, np.uint8), spread), 15, None)
    assert found.doubt == doubt


@pytest.mark.parametrize(
    ("temperature", "rows", "classes", "doubt"),
    [
        (1.0, 20, 2, None),
        (0.0506, 20, 2, None),
        (19.7, 20, 2, None),
        (1.0, 19, 2, "few rows"),
        (1.0, 20, 1, "one class"),
        (0.05, 20, 2, "at its bound"),
        (19.9, 20, 2, "at its bound"),
    ],
)
def test_the_limits_of_trust(temperature: float, rows: int, classes: int, doubt: str) -> None:
    assert doubt_about(temperature, rows, classes) == doubt
