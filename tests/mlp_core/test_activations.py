import math

import numpy as np
import pytest

from mlp_core import ACTIVATIONS
from tests.support import oracles

Z = np.array([[-20, -3, -0.5, 0, 1e-3, 0.5, 3, 20]], np.float32)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_follows_its_formula(name: str) -> None:
    H = Z.copy()
    ACTIVATIONS[name].apply(H)
    expected = oracles.each(oracles.ACTIVATION[name], Z[0].astype(np.float64))
    np.testing.assert_allclose(H[0], expected, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slope_is_the_derivative_of_the_activation(name: str) -> None:
    H, dH = Z.copy(), np.full_like(Z, 3)
    ACTIVATIONS[name].apply(H)
    ACTIVATIONS[name].apply_slope(H, dH)
    expected = 3 * oracles.each(oracles.SLOPE[name], Z[0].astype(np.float64))
    np.testing.assert_allclose(dH[0], expected, atol=1e-6)


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_bounded_activations_are_safe_for_the_largest_floats(name: str) -> None:
    largest = np.finfo(np.float32).max
    H = np.array([[-largest, -1000, 0, 1000, largest]], np.float32)
    ACTIVATIONS[name].apply(H)
    low, middle = (0, 0.5) if name == "sigmoid" else (-1, 0)
    assert H.tolist() == [[low, low, middle, 1, 1]]


def test_sigmoid_of_ln_3_is_three_quarters() -> None:
    H = np.array([[math.log(3)]], np.float32)
    ACTIVATIONS["sigmoid"].apply(H)
    assert H[0, 0] == pytest.approx(0.75)
