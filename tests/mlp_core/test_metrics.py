import math

import numpy as np
import pytest

from mlp_core import Dataset, Network, ShapeError, Split, evaluate, scaled
from mlp_core.metrics import ROWS_PER_PASS, score
from tests.support import oracles
from tests.support.training_runs import pairs


@pytest.mark.parametrize("rows", [1, ROWS_PER_PASS, ROWS_PER_PASS + 1, 2 * ROWS_PER_PASS + 9])
def test_evaluation_agrees_with_the_reference(rows: int, rng: np.random.Generator) -> None:
    network = Network.random((6, 4, 3), "tanh", "glorot_uniform", 0.01, rng)
    images = rng.integers(0, 256, (rows, 6), dtype=np.uint8)
    split = Split(images, rng.integers(0, 3, rows, dtype=np.uint8))
    loss, accuracy = evaluate(network, split)
    expected_loss, expected_accuracy = oracles.evaluate(
        pairs(network), "tanh", scaled(split.images), split.labels
    )
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    assert accuracy == expected_accuracy


def test_losses_of_a_split_are_summed_in_float64() -> None:
    arrays = {"layers.1.weight": (6, 3), "layers.1.bias": (3,)}
    network = Network.from_arrays({n: np.zeros(s, np.float32) for n, s in arrays.items()}, "relu")
    rows = ROWS_PER_PASS + 189
    split = Split(np.zeros((rows, 6), np.uint8), np.zeros(rows, np.uint8))
    each_loss = float(np.log(np.float32(3)))
    assert evaluate(network, split).loss == pytest.approx(each_loss, rel=1e-12)


def test_a_split_for_another_network_is_refused(dataset: Dataset, rng: np.random.Generator) -> None:
    network = Network.random((5, 3), "relu", "he_normal", 0.0, rng)
    with pytest.raises(ShapeError, match=r"images: expected \(n, 5\), found \(47, 6\)"):
        evaluate(network, dataset.test)


def test_a_score_is_the_mean_over_the_rows_of_all_parts() -> None:
    assert score([(3.0, 2), (math.pi, 1)], 10) == ((3 + math.pi) / 10, 0.3)
