"""The forward pass for images of different requests."""

import numpy as np

from mlp_core.activations import ACTIVATIONS
from mlp_core.arrays import Matrix, Pixels, aligned_empty
from mlp_core.dataset import scaled
from mlp_core.loss import softmax
from mlp_core.network import Network


def predict_single_rows(network: Network, images: Pixels) -> Matrix:
    """Return the probabilities (n, classes) that `predict_probabilities` has for each image alone.

    A product with several rows has other bits than one with a single row, so each image gets its
    own products; everything else is done for all of them together.

    Args:
        network: not changed.
        images: (n, n_in).

    """
    activation = ACTIVATIONS[network.activation]
    H = scaled(images)
    for k, (W, b) in enumerate(zip(network.weights, network.biases, strict=True), start=1):
        Z = aligned_empty(len(H), len(b))
        for row in range(len(H)):
            np.matmul(H[row : row + 1], W, out=Z[row : row + 1])
        Z += b
        if k < len(network.weights):
            activation.apply(Z)
        H = Z
    softmax(H)
    return H
