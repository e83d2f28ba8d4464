"""Loss and accuracy of a network on a whole split.

This is the plain computation; training uses a faster one (fast/block_evaluation.py) that skips
black pixels and agrees except for rounding.
"""

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

import numpy as np

from mlp_core.arrays import Labels, Matrix, Vector
from mlp_core.dataset import Split, scaled
from mlp_core.errors import ShapeError
from mlp_core.loss import cross_entropy
from mlp_core.network import Network, empty_outputs, forward

ROWS_PER_PASS = 1000  # bounds the memory that an evaluation takes


class Score(NamedTuple):
    """Loss and accuracy of a network on a split."""

    loss: float  # mean cross-entropy in nats
    accuracy: float  # fraction of rows whose largest logit is that of their label, in [0, 1]


Scores: TypeAlias = tuple[Score, Score]
"""The score on the training split and the score on the test split."""


class Totals(NamedTuple):
    """The contribution of some rows to the score of their split."""

    loss: float  # sum of the losses in nats
    correct: int  # rows whose largest logit is that of their label


def totals(logits: Matrix, labels: Labels, losses: Vector) -> Totals:
    """Sum up the losses (rows,) and the correct predictions of some rows."""
    loss = float(losses.sum(dtype="float64"))  # float32 is too coarse for the sum over a split
    return Totals(loss, int((logits.argmax(axis=1) == labels).sum()))


def score(parts: Iterable[tuple[float, float]], rows: int) -> Score:
    """Return the score of a split of `rows` rows from the totals of its parts, added in order."""
    loss, correct = 0.0, 0
    for part_loss, part_correct in parts:
        loss += part_loss
        correct += int(part_correct)
    return Score(loss / rows, correct / rows)


def evaluate(network: Network, split: Split) -> Score:
    """Return mean loss in nats and accuracy in [0, 1] of a network on a split.

    Raises:
        ShapeError: the width of the images is not the network's number of inputs.

    """
    n_in, *_ = network.sizes
    if split.images.shape[1] != n_in:
        raise ShapeError("images", f"(n, {n_in})", split.images.shape)
    starts = range(0, len(split), ROWS_PER_PASS)
    passes = (slice(start, start + ROWS_PER_PASS) for start in starts)
    parts = [_pass(network, scaled(split.images[rows]), split.labels[rows]) for rows in passes]
    return score(parts, len(split))


def _pass(network: Network, X: Matrix, labels: Labels) -> Totals:
    outputs = empty_outputs(network.sizes, len(X))
    forward(network, X, outputs)
    logits, losses = outputs[-1], np.empty(len(X), np.float32)
    cross_entropy(logits, labels, losses, np.empty_like(logits))
    return totals(logits, labels, losses)
