import math

import numpy as np
import pytest

from mlp_core import INITIALIZATIONS


def test_he_normal_has_the_standard_deviation_of_its_formula(rng: np.random.Generator) -> None:
    W = INITIALIZATIONS["he_normal"](rng, 800, 500)
    assert W.std() == pytest.approx(math.sqrt(2 / 800), rel=0.01)
    assert abs(W.mean()) < 4 * math.sqrt(2 / 800) / math.sqrt(W.size)
    within_one_deviation = (np.abs(W) < math.sqrt(2 / 800)).mean()
    assert within_one_deviation == pytest.approx(0.6827, abs=0.005)


def test_glorot_uniform_fills_its_interval_evenly(rng: np.random.Generator) -> None:
    W = INITIALIZATIONS["glorot_uniform"](rng, 400, 200)
    limit = math.sqrt(6 / 600)
    assert np.abs(W).max() <= limit
    counts, _ = np.histogram(W, bins=10, range=(-limit, limit))
    np.testing.assert_allclose(counts, W.size / 10, rtol=0.05)
