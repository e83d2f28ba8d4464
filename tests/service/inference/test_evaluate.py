"""Evaluations row by row: ties, absent classes, saturation, divergence, and what is kept."""

from functools import partial

import numpy as np
import pytest

from mlp_core import Network, Split
from mlp_core import evaluate as plain_score
from service.domain.errors import NetworkDiverged
from service.inference import evaluate as module
from service.inference.evaluate import Evaluation, Evaluations, Rows, evaluate
from service.inference.loaded_model import LoadedModel
from service.store.checkpoints import CheckpointRef
from service.store.stored_dataset import MNIST

PIXELS = Split(np.eye(3, dtype=np.uint8)[[0, 1, 2, 0, 1]] * 255, np.array([0, 1, 0, 1, 1], "u1"))
"""Each image has one white pixel, so the logits are the rows of the weights."""


def rows_of(split: Split) -> Rows:
    return Rows.of_split(split)


ROWS = rows_of(PIXELS)


def model(weights: object, sha256: str = "a", activation: str = "relu") -> LoadedModel:
    W = np.array(weights, np.float32)
    network = Network((W,), (np.zeros(W.shape[1], np.float32),), activation)
    saved = CheckpointRef("job_1", 1, 1, 0, "key", 1, sha256)
    return LoadedModel("job_1", "mnist", MNIST.manifest, saved, network, network.arrays())


def test_of_equal_logits_the_lowest_label_is_the_answer() -> None:
    found = evaluate(model([[1, 1, 1], [0, 2, 2], [0, 0, 5]]), ROWS)
    assert found.predicted.tolist() == [0, 1, 2, 0, 1]
    assert found.second.tolist() == [1, 2, 0, 1, 2]
    assert found.confidence[:1] == pytest.approx(1 / 3)


def test_a_class_without_rows_or_answers_is_counted_as_zero() -> None:
    found = evaluate(model([[9, 0, 0], [0, 9, 0], [9, 0, 0]]), rows_of(PIXELS))
    assert found.confusion.tolist() == [[2, 0, 0], [1, 2, 0], [0, 0, 0]]


def test_the_loss_of_a_sure_mistake_is_finite_and_exact() -> None:
    """In float32 the probability of the label would be 0, and its logarithm infinite."""
    found = evaluate(model([[500, 0, 0]] * 3), rows_of(PIXELS))
    assert found.loss == pytest.approx(3 / 5 * 500)
    assert found.calibration(10).bins[-1].count == 5, "probability 1 is in the last bin"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_network_that_has_diverged_is_refused(bad: float) -> None:
    with pytest.raises(NetworkDiverged):
        evaluate(model([[bad, 0, 0], [0, 0, 0], [0, 0, 0]]), rows_of(PIXELS))


def test_rows_are_in_their_order_whatever_the_order_of_the_blocks() -> None:
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (2500, 3), dtype=np.uint8)
    split = Split(images, rng.integers(0, 3, 2500, dtype=np.uint8))
    network = model(rng.normal(size=(3, 3)))
    found = evaluate(network, rows_of(split))
    logits = images / 255 @ network.network.weights[0].astype(float)
    np.testing.assert_allclose(found.logits, logits, atol=1e-5)
    assert found.labels.tolist() == split.labels.tolist()
    expected = plain_score(network.network, split)
    assert found.accuracy == expected.accuracy
    assert found.loss == pytest.approx(expected.loss, rel=1e-6)


def test_labels_of_another_data_set_are_those_of_the_network() -> None:
    """Its classes have the same names in another order."""
    weights = np.eye(3) * 9
    own = evaluate(model(weights), rows_of(PIXELS))
    order = np.array([2, 0, 1], np.uint8)
    other = Split(PIXELS.images, np.argsort(order).astype("u1")[PIXELS.labels])
    found = evaluate(model(weights), rows_of(other), order)
    assert found.labels.tolist() == PIXELS.labels.tolist()
    assert found.confusion.tolist() == own.confusion.tolist()
    assert found.logits.tolist() == own.logits.tolist()


def test_the_last_evaluations_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[str] = []

    def counted(model: LoadedModel) -> Evaluation:
        computed.append(model.checkpoint.sha256)
        return evaluate(model, ROWS)

    weights = np.eye(3)
    monkeypatch.setattr(module, "KEPT_BYTES", 2 * evaluate(model(weights), ROWS).nbytes)
    kept = Evaluations()
    for sha256 in "abacab":
        network = model(weights, sha256)
        kept.of(network, ("mnist", "test"), partial(counted, network))
    assert computed == ["a", "b", "c", "b"], "`a` was used last when `c` came"


def test_an_evaluation_survives_as_a_file_with_all_its_bits() -> None:
    found = evaluate(model(np.eye(3)), ROWS)
    again = Evaluation.decoded(found.encoded())
    assert again.logits.tobytes() == found.logits.tobytes()
    assert again.labels.tolist() == found.labels.tolist()
    assert (again.loss, again.accuracy) == (found.loss, found.accuracy)
    assert again.confusion.tolist() == found.confusion.tolist()


def test_an_evaluation_tells_how_many_rows_are_done() -> None:
    images = np.zeros((2500, 3), np.uint8)
    noted: list[int] = []
    evaluate(model(np.eye(3)), rows_of(Split(images, np.zeros(2500, np.uint8))), note=noted.append)
    assert noted == sorted(set(noted))
    assert (len(noted) > 1, noted[-1]) == (True, 2500)


def test_equal_weights_with_another_activation_are_another_network() -> None:
    """Before training, networks of one seed and one initialization have the same weights."""
    kept = Evaluations()
    networks = [model(np.eye(3), activation=it) for it in ("relu", "tanh")]
    relu, tanh = (kept.of(it, ("mnist", "test"), partial(evaluate, it, ROWS)) for it in networks)
    assert relu is not tanh


def test_each_split_has_an_evaluation_of_its_own() -> None:
    kept, network = Evaluations(), model(np.eye(3))
    one = kept.of(network, ("mnist", "test"), partial(evaluate, network, ROWS))
    half = partial(evaluate, network, rows_of(Split(PIXELS.images[:2], PIXELS.labels[:2])))
    other = kept.of(network, ("mnist", "train"), half)
    assert (len(one.labels), len(other.labels)) == (5, 2)
    assert kept.of(network, ("mnist", "test"), half) is one
