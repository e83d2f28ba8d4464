"""Softmax and its cross-entropy, safe for logits of any finite size."""

import numpy as np

from mlp_core.arrays import Labels, Matrix, Vector


def softmax(logits: Matrix) -> None:
    """Turn logits (batch, classes) into probabilities, in place."""
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)


def cross_entropy(logits: Matrix, labels: Labels, losses: Vector, d_logits: Matrix) -> None:
    """Fill `losses` and `d_logits`, in place, by log-sum-exp.

    With P the softmax of the logits, the loss of a row is -log P[label], and its gradient is P with
    1 subtracted at the label.

    Args:
        logits: (batch, classes); not changed.
        labels: (batch,), 0 <= label < classes.
        losses: (batch,), filled with the loss of each row in nats; a uniform guess has ln(classes).
        d_logits: (batch, classes), filled with d losses.sum() / d logits.

    """
    correct = np.arange(len(labels)), labels
    np.subtract(logits, logits.max(axis=1, keepdims=True), out=d_logits)
    correct_logits = d_logits[correct]
    np.exp(d_logits, out=d_logits)
    totals = d_logits.sum(axis=1)
    np.log(totals, out=losses)
    losses -= correct_logits
    d_logits /= totals[:, np.newaxis]
    d_logits[correct] -= 1
