"""Softmax and its cross-entropy; logits of any finite size are safe."""

import numpy as np

from mlp_core.arrays import Labels, Matrix, Vector


def softmax(logits: Matrix) -> None:
    """Turn logits (batch, classes) into probabilities, in place."""
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)


def cross_entropy(logits: Matrix, labels: Labels, losses: Vector, d_logits: Matrix) -> None:
    """Fill `losses` and `d_logits`, in place, by log-sum-exp.

    With P the softmax of the logits, a row's loss is -log P[label] and its gradient P, less 1 at
    the label.

    Args:
        logits: (batch, classes); stays as it is.
        labels: (batch,), 0 <= label < classes.
        losses: (batch,), becomes the loss of each row in nats; ln(classes) means "knows nothing".
        d_logits: (batch, classes), becomes d losses.sum() / d logits.

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
