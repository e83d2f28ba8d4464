"""What in an image, and which units of a network, speak for one digit and against another.

The difference of the logits of two digits is taken apart twice. By units: each unit of the last
hidden layer adds its output times the difference of its weights to the two digits (its *vote*), and
the biases of the output layer add the rest. By pixels: each pixel adds its ink times the gradient
of the difference. Linear networks and those of ReLU are linear around an image, so the pixels and
the biases of all layers add up to the difference; with other activations they tell only what a
little more ink would change.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlp_core import ACTIVATIONS, Network
from mlp_core.arrays import Matrix, Vector
from mlp_core.network import empty_outputs, forward

Labels = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a network prefers one digit to another, for each of n images."""

    digits: Labels
    """(n, 2): the digit that is explained, and its rival."""
    activations: tuple[Matrix, ...]
    """(n, units): the outputs of each hidden layer."""
    votes: Matrix
    """(n, units of the last hidden layer), (n, 0) without one."""
    pixels: Matrix
    """(n, n_in): what each pixel adds to the difference of the two logits."""
    biases: Vector
    """(n,): what all biases add to it."""
    differences: Vector
    """(n,): the logit of the digit minus that of its rival."""
    exact: bool
    """Whether pixels and biases add up to the difference."""

    @property
    def is_finite(self) -> bool:
        """Return whether all numbers are finite."""
        parts = (*self.activations, self.votes, self.pixels, self.biases)
        return all(bool(np.isfinite(part).all()) for part in parts)


def explain(
    network: Network,
    X: Matrix,
    probabilities: Matrix,
    digit: int | None = None,
    rival: int | None = None,
) -> Explanation:
    """Take the difference of two logits apart, for each image.

    Args:
        network: not changed.
        X: (n, n_in), the images.
        probabilities: (n, classes), what the network answers for them.
        digit: the digit to explain; by default the most probable one that is not the rival.
        rival: another one; by default the most probable one that is not the digit.

    """
    outputs = empty_outputs(network.sizes, len(X))
    forward(network, X, outputs)
    logits, hidden = outputs[-1], outputs[:-1]
    digits = _digits(_ranked(probabilities, logits), digit, rival)
    dX, dH, biases = _gradients(network, hidden, digits)
    return Explanation(
        digits,
        hidden,
        hidden[-1] * dH if hidden else np.empty((len(X), 0), np.float32),
        X * dX,
        biases,
        np.subtract(*(np.take_along_axis(logits, digits, axis=1).T)),
        exact=not hidden or network.activation == "relu",
    )


def _ranked(probabilities: Matrix, logits: Matrix) -> Labels:
    """Return the labels (n, classes) of each image, the answered one first, the others by logit.

    Probabilities may be too small to differ where logits still do.
    """
    scores = logits.copy()
    np.put_along_axis(scores, probabilities.argmax(axis=1)[:, None], np.inf, axis=1)
    return (-scores).argsort(axis=1, kind="stable")


def _digits(ranked: Labels, digit: int | None, rival: int | None) -> Labels:
    """Return the digit and its rival (n, 2); what is not given is the most probable other one."""
    rows = ranked.tolist()
    chosen = [_best(row, rival) if digit is None else digit for row in rows]
    others = [
        _best(row, of) if rival is None else rival for row, of in zip(rows, chosen, strict=True)
    ]
    return np.array([chosen, others], np.intp).T


def _best(labels: list[int], excluded: int | None) -> int:
    return next(label for label in labels if label != excluded)


def _gradients(
    network: Network, hidden: tuple[Matrix, ...], digits: Labels
) -> tuple[Matrix, Matrix, Vector]:
    """Return the gradient of the difference of two logits, and what the biases add to it.

    Returns:
        Its gradients by the images (n, n_in) and by the inputs of the output layer, and the sum of
        all biases (n,), each times its own gradient.

    """
    activation = ACTIVATIONS[network.activation]
    W, b = network.weights[-1], network.biases[-1]
    digit, rival = digits.T
    last = dH = (W[:, digit] - W[:, rival]).T
    biases = b[digit] - b[rival]
    for k in reversed(range(len(hidden))):
        dZ = dH.copy()
        activation.apply_slope(hidden[k].copy(), dZ)
        biases = biases + dZ @ network.biases[k]
        dH = dZ @ network.weights[k].T
    return dH, last, biases
