"""A kept buffer changes no bit of a prediction."""

import numpy as np
import pytest

from mlp_core import ACTIVATIONS, Network, SingleRow, predict_probabilities, scaled


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [(784, 10), (784, 128, 10), (784, 17, 33, 7), (30, 64, 64, 3)])
def test_each_image_gets_the_bits_of_the_ordinary_forward_pass(
    sizes: tuple[int, ...], activation: str
) -> None:
    rng = np.random.default_rng(7)
    network = Network.random(sizes, activation, "glorot_uniform", 0.1, rng)
    single = SingleRow(network)
    images = rng.integers(0, 256, (200, sizes[0])).astype(np.uint8)
    images[rng.random(images.shape) < 0.8] = 0
    found = [single.probabilities(image) for image in images]  # each has an array of its own
    for image, probabilities in zip(images, found, strict=True):
        expected = predict_probabilities(network, scaled(image[np.newaxis]))
        assert probabilities.tobytes() == expected.tobytes()
        assert probabilities.shape == expected.shape
