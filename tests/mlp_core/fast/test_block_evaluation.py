"""Evaluation in blocks without black columns gives the scores of the plain evaluation."""

import numpy as np
import pytest

from mlp_core import (
    BLOCK_ROWS,
    Dataset,
    Network,
    Score,
    evaluate,
    evaluate_rows,
    lay_out,
    scaled,
)
from mlp_core.fast.block_evaluation import BlockEvaluation
from mlp_core.metrics import Scores
from tests.support import oracles
from tests.support.sparse_images import IMAGES, N_IN, split_of
from tests.support.training_runs import pairs


def evaluated(network: Network, dataset: Dataset) -> Scores:
    """Return the scores; check that they come after one slice for each block."""
    layout = lay_out(dataset)
    evaluation = BlockEvaluation(network, layout)
    evaluation.start(in_layout_order(network, layout.order.tolist()))
    for _ in range(layout.block_count):
        assert evaluation.pending
        assert evaluation.advance() is None
    scores = evaluation.advance()
    assert scores is not None
    assert not evaluation.pending
    assert evaluation.advance() is None
    return scores


def in_layout_order(network: Network, order: list[int]) -> Network:
    W, *others = network.weights
    return Network((W[order], *others), network.biases, network.activation)


def assert_close(score: Score, expected: tuple[float, float]) -> None:
    assert score.loss == pytest.approx(expected[0], rel=1e-6)
    assert score.accuracy == pytest.approx(expected[1], abs=1e-12)


@pytest.mark.parametrize("n_out", [3, 16])
@pytest.mark.parametrize("kind", IMAGES)
def test_scores_agree_with_the_reference_whatever_is_black(
    kind: str, n_out: int, rng: np.random.Generator
) -> None:
    train, test = (split_of(IMAGES[kind](rng, rows), rng) for rows in (BLOCK_ROWS + 1, 40))
    network = Network.random((N_IN, n_out, 3), "tanh", "glorot_uniform", 0.01, rng)
    for split, score in zip(
        (train, test), evaluated(network, Dataset(kind, train, test, 3)), strict=True
    ):
        X = scaled(split.images)
        assert_close(score, oracles.evaluate(pairs(network), "tanh", X, split.labels))


@pytest.mark.parametrize("rows", [1, BLOCK_ROWS - 1, BLOCK_ROWS, 2 * BLOCK_ROWS + 9])
def test_scores_agree_with_the_plain_evaluation_whatever_the_blocks(
    rows: int, rng: np.random.Generator
) -> None:
    train, test = (
        split_of(rng.integers(0, 256, (n, N_IN), dtype=np.uint8), rng) for n in (rows, 7)
    )
    network = Network.random((N_IN, 4, 3), "sigmoid", "he_normal", 0.01, rng)
    for split, score in zip(
        (train, test), evaluated(network, Dataset("any", train, test, 3)), strict=True
    ):
        assert_close(score, evaluate(network, split))


def test_the_evaluated_network_is_a_copy(rng: np.random.Generator) -> None:
    split = split_of(rng.integers(0, 256, (50, N_IN), dtype=np.uint8), rng)
    network = Network.random((N_IN, 4, 3), "relu", "he_normal", 0.01, rng)
    evaluation = BlockEvaluation(network, lay_out(Dataset("any", split, split, 3)))
    evaluation.start(network)
    before = network.copy()
    for array in network.flat:
        array += 1
    copies = zip(evaluation.network.flat, before.flat, strict=True)
    assert all(np.array_equal(own, array) for own, array in copies)


@pytest.mark.parametrize("kind", IMAGES)
def test_an_evaluation_by_itself_has_the_bits_of_one_in_training(
    rng: np.random.Generator, kind: str
) -> None:
    train, test_split = (split_of(IMAGES[kind](rng, rows), rng) for rows in (40, BLOCK_ROWS + 1))
    dataset = Dataset(kind, train, test_split, 3)
    network = Network.random((N_IN, 4, 3), "tanh", "glorot_uniform", 0.01, rng)
    layout = lay_out(dataset)
    logits, test = evaluate_rows(network, layout.test, layout.order)
    assert test == evaluated(network, dataset)[1]
    assert test.accuracy == (logits.argmax(axis=1) == layout.test.labels).mean()
    again, same = evaluate_rows(in_layout_order(network, layout.order.tolist()), layout.test)
    assert same == test
    assert again.tobytes() == logits.tobytes()
