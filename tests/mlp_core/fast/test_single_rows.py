"""Predicting images together changes no bit of what each of them gets alone."""

import numpy as np
import pytest

from mlp_core import ACTIVATIONS, Network, predict_probabilities, predict_single_rows, scaled


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [(784, 10), (784, 128, 10), (784, 17, 33, 7), (30, 64, 64, 3)])
def test_each_image_gets_the_bits_of_the_ordinary_forward_pass(
    sizes: tuple[int, ...], activation: str
) -> None:
    rng = np.random.default_rng(7)
    network = Network.random(sizes, activation, "glorot_uniform", 0.1, rng)
    images = rng.integers(0, 256, (200, sizes[0])).astype(np.uint8)
    images[rng.random(images.shape) < 0.8] = 0
    expected = np.concatenate(
        [predict_probabilities(network, scaled(it[np.newaxis])) for it in images]
    )
    for together in (1, 3, 200):
        found = [
            predict_single_rows(network, part)
            for part in np.split(images[: together * (200 // together)], 200 // together)
        ]
        assert np.concatenate(found).tobytes() == expected[: len(found) * together].tobytes()
