"""Evaluates networks on whole splits of data sets, row by row, and keeps the last results."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlp_core import Split, predict_logits, scaled
from service.domain.errors import NetworkDiverged
from service.inference.loaded_model import LoadedModel

BLOCK = 500
"""Images per forward pass; as floats they fit into the processor's cache."""
KEPT = 24
"""Evaluations in memory; one of 10 000 rows takes 80 kB, and one of 60 000 half a megabyte."""

Labels = NDArray[np.uint8]
Key = tuple[str, str, str, str]


class Bin(NamedTuple):
    """The rows whose probability lies in one of several equal intervals."""

    start: float
    end: float
    rows: int
    confidence: float | None
    """The mean probability of the label that the network gives; None without rows."""
    accuracy: float | None


@dataclass(frozen=True)
class Evaluation:
    """What a network says about each row of a split; all arrays are (rows,)."""

    labels: Labels
    predicted: Labels
    """The most probable label, the lowest of equals."""
    second: Labels
    """The next one."""
    probabilities: NDArray[np.float32]
    """Of the predicted label."""
    loss: float
    """Mean cross-entropy in nats, computed in float64 from the logits."""
    classes: int

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """Which rows the network reads."""
        right: NDArray[np.bool_] = self.predicted == self.labels
        return right

    @property
    def accuracy(self) -> float:
        return float(self.is_right.mean())

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """How many rows of each class (rows) get each label (columns)."""
        cells = self.labels.astype(np.int64) * self.classes + self.predicted
        counts: NDArray[np.int64] = np.bincount(cells, minlength=self.classes**2)
        return counts.reshape(self.classes, self.classes)

    def calibration(self, bins: int) -> tuple[float, list[Bin]]:
        """Return the expected calibration error (Guo et al., 2017) and the bins behind it.

        The last bin includes probability 1. The error is the mean distance of confidence and
        accuracy, weighted by rows.
        """
        edges = np.linspace(0, 1, bins + 1)
        place = np.minimum((self.probabilities.astype(np.float64) * bins).astype(int), bins - 1)
        rows = np.bincount(place, minlength=bins)
        confident = np.bincount(place, self.probabilities, bins)
        right = np.bincount(place, self.is_right, bins)
        error = float(np.abs(confident - right).sum() / len(self.labels))
        return error, [
            Bin(start, end, n, sure / n if n else None, correct / n if n else None)
            for start, end, n, sure, correct in zip(
                *(array.tolist() for array in (edges[:-1], edges[1:], rows, confident, right)),
                strict=True,
            )
        ]


class Evaluations:
    """The last evaluations, by network, data set and split: facts that never change.

    Who may ask for one is decided by who may see the network, which the caller has loaded.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, Evaluation] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, model: LoadedModel, dataset: str, name: str, split: Split) -> Evaluation:
        """Return the evaluation of a network on a split, computed unless it is kept.

        Raises:
            NetworkDiverged: the network's outputs are not finite.

        """
        # Before training, networks of one seed have the same weights, whatever their activation.
        key = model.checkpoint.sha256, model.network.activation, dataset, name
        with self._lock:
            if found := self._kept.get(key):
                self._kept.move_to_end(key)
                return found
        made = evaluate(model, split)
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return made


def evaluate(model: LoadedModel, split: Split) -> Evaluation:
    """Return what a network says about each row of a split.

    Raises:
        NetworkDiverged: the network's outputs are not finite.

    """
    parts = [
        _evaluate_block(model, split.images[at : at + BLOCK], split.labels[at : at + BLOCK])
        for at in range(0, len(split), BLOCK)
    ]
    predicted, second, probabilities, losses = map(np.concatenate, zip(*parts, strict=True))
    labels = np.array(split.labels, np.uint8)
    classes = model.network.sizes[-1]
    loss = float(losses.mean())
    return Evaluation(labels, predicted, second, probabilities, loss, classes)


def _evaluate_block(
    model: LoadedModel, images: NDArray[np.uint8], labels: Labels
) -> tuple[Labels, Labels, NDArray[np.float32], NDArray[np.float64]]:
    """Return predicted labels, the second ones, probabilities of the first, and losses."""
    with np.errstate(over="ignore", invalid="ignore"):
        logits = predict_logits(model.network, scaled(images))
    if not np.isfinite(logits).all():
        raise NetworkDiverged(model.job)
    rows = np.arange(len(labels))
    order = (-logits).argsort(axis=1, kind="stable")[:, :2].astype(np.uint8)
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    totals = np.exp(shifted).sum(axis=1)
    losses = np.log(totals) - shifted[rows, labels]
    first, second = order[:, 0], order[:, -1]
    return first, second, (1 / totals).astype(np.float32), losses
