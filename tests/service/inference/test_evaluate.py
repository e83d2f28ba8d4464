"""Evaluations row by row: ties, absent classes, saturation, divergence, and what is kept."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mlp_core import Network, Split
from service.domain.errors import NetworkDiverged
from service.inference import evaluate as module
from service.inference.evaluate import Evaluation, Evaluations, evaluate
from service.inference.loaded_model import LoadedModel
from service.store.checkpoints import CheckpointRef

PIXELS = Split(np.eye(3, dtype=np.uint8)[[0, 1, 2, 0, 1]] * 255, np.array([0, 1, 0, 1, 1], "u1"))
"""Each image has one white pixel, so the logits are the rows of the weights."""


def model(weights: object, sha256: str = "a", activation: str = "relu") -> LoadedModel:
    W = np.array(weights, np.float32)
    network = Network((W,), (np.zeros(W.shape[1], np.float32),), activation)
    saved = CheckpointRef("job_1", 1, 1, 0, "key", 1, sha256)
    return LoadedModel("job_1", "mnist", saved, network, network.arrays())


def test_of_equal_logits_the_lowest_label_is_the_answer() -> None:
    found = evaluate(model([[1, 1, 1], [0, 2, 2], [0, 0, 5]]), PIXELS)
    assert found.predicted.tolist() == [0, 1, 2, 0, 1]
    assert found.second.tolist() == [1, 2, 0, 1, 2]
    assert found.probabilities[:1] == pytest.approx(1 / 3)


def test_a_class_without_rows_or_answers_is_counted_as_zero() -> None:
    found = evaluate(model([[9, 0, 0], [0, 9, 0], [9, 0, 0]]), PIXELS)
    assert found.confusion.tolist() == [[2, 0, 0], [1, 2, 0], [0, 0, 0]]


def test_the_loss_of_a_sure_mistake_is_finite_and_exact() -> None:
    """In float32 the probability of the label would be 0, and its logarithm infinite."""
    found = evaluate(model([[500, 0, 0]] * 3), PIXELS)
    assert found.loss == pytest.approx(3 / 5 * 500)
    assert found.calibration(10)[1][-1].rows == 5, "probability 1 is in the last bin"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_network_that_has_diverged_is_refused(bad: float) -> None:
    with pytest.raises(NetworkDiverged):
        evaluate(model([[bad, 0, 0], [0, 0, 0], [0, 0, 0]]), PIXELS)


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    split = Split(rng.integers(0, 256, (25, 3), dtype=np.uint8), np.tile(PIXELS.labels, 5))
    weights = rng.normal(size=(3, 3))
    whole = evaluate(model(weights), split)
    monkeypatch.setattr(module, "BLOCK", 4)
    parts = evaluate(model(weights), split)
    assert whole.predicted.tolist() == parts.predicted.tolist()
    np.testing.assert_allclose(whole.probabilities, parts.probabilities, rtol=1e-6)


def test_the_last_evaluations_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[str] = []

    def counted(model: LoadedModel, split: Split) -> Evaluation:
        computed.append(model.checkpoint.sha256)
        return evaluate(model, split)

    monkeypatch.setattr(module, "evaluate", counted)
    monkeypatch.setattr(module, "KEPT", 2)
    kept, weights = Evaluations(), np.eye(3)
    for sha256 in "abacab":
        kept.of(model(weights, sha256), "mnist", "test", PIXELS)
    assert computed == ["a", "b", "c", "b"], "`a` was used last when `c` came"


def test_equal_weights_with_another_activation_are_another_network() -> None:
    """Before training, networks of one seed and one initialization have the same weights."""
    kept = Evaluations()
    relu = kept.of(model(np.eye(3), activation="relu"), "mnist", "test", PIXELS)
    tanh = kept.of(model(np.eye(3), activation="tanh"), "mnist", "test", PIXELS)
    assert relu is not tanh


def test_each_split_has_an_evaluation_of_its_own() -> None:
    kept, network = Evaluations(), model(np.eye(3))
    one = kept.of(network, "mnist", "test", PIXELS)
    half: NDArray[np.uint8] = PIXELS.images[:2]
    other = kept.of(network, "mnist", "train", Split(half, PIXELS.labels[:2]))
    assert (len(one.labels), len(other.labels)) == (5, 2)
    assert kept.of(network, "mnist", "test", PIXELS) is one
