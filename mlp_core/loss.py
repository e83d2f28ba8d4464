"""Softmax and its cross-entropy, safe for logits of any finite size."""

import numpy as np

from mlp_core.arrays import Labels, Matrix, Vector


def balanced_weights(labels: Labels, classes: int) -> Vector:
    """Return weights (classes,) with which each class counts as much as any other.

    A class of n_c of the n rows has n / (classes * n_c), as in scikit-learn, and an absent one 0.

    Args:
        labels: (n,), of the whole training set.
        classes: the number of classes.

    """
    counts = np.bincount(labels, minlength=classes)
    weights = np.zeros(classes)
    np.divide(len(labels), classes * counts, out=weights, where=counts > 0)
    return weights.astype(np.float32)


def weight_rows(d_logits: Matrix, weights: Vector, scale: float) -> None:
    """Turn the gradient of summed losses into that of their weighted mean, in place.

    The loss of a batch is then sum(w * losses) / sum(w), as in PyTorch's CrossEntropyLoss. If the
    weights of all rows are 0, so is the gradient.

    Args:
        d_logits: (batch, classes), the gradient of the sum of the losses.
        weights: (batch,), the weight of each row.
        scale: a factor for all rows.

    """
    total = float(weights.sum())
    d_logits *= (weights * (scale / total if total else 0.0))[:, np.newaxis]


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
