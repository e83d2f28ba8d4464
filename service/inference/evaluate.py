"""Evaluates networks on whole splits of data sets, row by row, and keeps the last results."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from mlp_core import Blocks, DataLayout, Split, evaluate_rows, in_blocks, similar_rows
from service.domain.errors import NetworkDiverged
from service.inference import calibration
from service.inference.calibration import Calibration
from service.inference.classification_metrics import roc_auc
from service.inference.loaded_model import LoadedModel

KEPT_BYTES = 64 * 1024**2
"""Evaluations in memory may take this much; one of MNIST's test images takes 0.7 MB. The newest one
stays, whatever its size."""

Labels = NDArray[np.uint8]
Key = tuple[str, ...]


@dataclass(frozen=True)
class Evaluation:
    """What a network says about each row of a split; arrays are (rows,) unless stated."""

    labels: Labels
    logits: NDArray[np.float32]
    """(rows, classes), with the bits of an evaluation during training."""
    loss: float
    """Mean cross-entropy in nats, with the bits of the record of an epoch."""
    accuracy: float

    @property
    def classes(self) -> int:
        classes: int = self.logits.shape[1]
        return classes

    @cached_property
    def predicted(self) -> Labels:
        """The most probable label, the lowest of equals."""
        found: Labels = self.logits.argmax(axis=1).astype(np.uint8)
        return found

    @cached_property
    def second(self) -> Labels:
        """The next one; the label itself if there is only one class."""
        order = (-self.logits).argsort(axis=1, kind="stable")
        found: Labels = order[:, min(1, self.classes - 1)].astype(np.uint8)
        return found

    @cached_property
    def is_right(self) -> NDArray[np.bool_]:
        """Which rows the network reads."""
        right: NDArray[np.bool_] = self.predicted == self.labels
        return right

    @cached_property
    def log_totals(self) -> NDArray[np.float64]:
        """The logarithm by which each row's logits exceed those of its probabilities."""
        return log_totals(self.logits)

    @cached_property
    def confidence(self) -> NDArray[np.float64]:
        """The probability of the predicted label."""
        return self.probabilities_of(self.predicted)

    def probabilities_of(self, labels: Labels) -> NDArray[np.float64]:
        """Return the probability of one label for each row."""
        chosen = self.logits[np.arange(len(labels)), labels]
        return np.exp(chosen - self.log_totals)

    def probabilities(self, label: int) -> NDArray[np.float64]:
        """Return the probabilities of one label for all rows."""
        return np.exp(self.logits[:, label] - self.log_totals)

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """How many rows of each class (rows) get each label (columns)."""
        cells = self.labels.astype(np.int64) * self.classes + self.predicted
        counts: NDArray[np.int64] = np.bincount(cells, minlength=self.classes**2)
        return counts.reshape(self.classes, self.classes)

    @cached_property
    def ranked(self) -> list[float]:
        """Share of rows whose label is among the k most probable ones, for k = 1, 2, …"""
        own = self.logits[np.arange(len(self.labels)), self.labels]
        ranks = np.zeros(len(self.labels), np.intp)
        for label, logits in enumerate(self.logits.T):
            ranks += (logits > own) | ((logits == own) & (label < self.labels))
        counts = np.bincount(ranks, minlength=self.classes)
        shares: list[float] = (counts.cumsum() / len(self.labels)).tolist()
        return shares

    @cached_property
    def brier(self) -> float:
        """Mean squared distance of probabilities and truth, summed over classes: 0 to 2."""
        squares = np.zeros(len(self.labels))
        for label in range(self.classes):
            squares += (self.probabilities(label) - (self.labels == label)) ** 2
        return float(squares.mean())

    @cached_property
    def roc_aucs(self) -> list[float | None]:
        """The area under the ROC curve of each class against all others."""
        each = range(self.classes)
        return [roc_auc(self.probabilities(label), self.labels == label) for label in each]

    def calibration(self, bins: int) -> Calibration:
        """Return how far the probabilities can be trusted."""
        return calibration.calibration(self.confidence, self.is_right, bins)

    @property
    def nbytes(self) -> int:
        """The memory that it takes, roughly, with what is computed later."""
        return self.logits.nbytes + 32 * len(self.labels)

    def encoded(self) -> bytes:
        """Return it as a safetensors file."""
        score = np.array([self.loss, self.accuracy])
        arrays = {"labels": self.labels, "logits": self.logits, "score": score}
        return bytes(save({name: np.ascontiguousarray(it) for name, it in arrays.items()}))

    @classmethod
    def decoded(cls, data: bytes) -> Self:
        """Return the evaluation that `encoded` wrote."""
        arrays = load(data)
        loss, accuracy = arrays["score"].tolist()
        return cls(arrays["labels"], arrays["logits"], loss, accuracy)


@dataclass(frozen=True)
class Rows:
    """A split, and its rows in blocks of similar ones."""

    split: Split
    blocks: Blocks
    places: NDArray[np.intp]
    """(rows,), which row of the split is at each place of the blocks."""
    columns: NDArray[np.intp]
    """(pixels,), which pixel is at each place of the layout."""

    @classmethod
    def of_layout(cls, split: Split, layout: DataLayout, blocks: Blocks) -> Self:
        """Return the rows of a split whose blocks a layout has."""
        return cls(split, blocks, layout.row_order(split), layout.order)

    @classmethod
    def of_split(cls, split: Split) -> Self:
        """Return the rows of a split for which there is no layout."""
        columns = np.arange(split.images.shape[1])
        return cls(split, in_blocks(split), similar_rows(split), columns)

    def relabelled(self, labels: Labels | None) -> Self:
        """Return the rows with each label replaced by `labels[label]`."""
        if labels is None:
            return self
        split = Split(self.split.images, labels[self.split.labels])
        return replace(
            self, split=split, blocks=replace(self.blocks, labels=labels[self.blocks.labels])
        )


class Evaluations:
    """The last evaluations by what they are about: facts that never change.

    Who may ask for one is decided by who may see the network, which the caller has loaded.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, Evaluation] = OrderedDict()
        self._lock = threading.Lock()

    def of(
        self, model: LoadedModel, about: Iterable[str], make: Callable[[], Evaluation]
    ) -> Evaluation:
        """Return the evaluation of a network on some rows, made unless it is kept.

        Args:
            model: the network.
            about: what tells these rows from all others, such as the digest of their data set.
            make: returns the evaluation.

        """
        # Before training, networks of one seed have the same weights, whatever their activation.
        key = (model.checkpoint.sha256, model.network.activation, *about)
        with self._lock:
            if found := self._kept.get(key):
                self._kept.move_to_end(key)
                return found
        made = make()
        with self._lock:
            self._kept[key] = made
            size = sum(each.nbytes for each in self._kept.values())
            while size > KEPT_BYTES and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                size -= dropped.nbytes
        return made


def evaluate(
    model: LoadedModel,
    rows: Rows,
    labels: Labels | None = None,
    note: Callable[[int], object] = lambda _: None,
) -> Evaluation:
    """Return what a network says about each row.

    Args:
        model: the network.
        rows: the rows.
        labels: the network's label for each label of the rows; None if they are the same.
        note: called with the number of rows that are done, time and again.

    Raises:
        NetworkDiverged: the network's outputs are not finite.

    """
    asked = rows.relabelled(labels)
    with np.errstate(over="ignore", invalid="ignore"):
        found, score = evaluate_rows(model.network, asked.blocks, asked.columns, note)
    if not np.isfinite(found).all():
        raise NetworkDiverged(model.job)
    logits = np.empty_like(found)
    logits[asked.places] = found
    return Evaluation(np.array(asked.split.labels), logits, score.loss, score.accuracy)


def log_totals(logits: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithm of each row's sum of exponentials."""
    highest = logits.max(axis=1).astype(np.float64)
    totals = np.zeros(len(logits))
    for column in logits.T:
        totals += np.exp(column - highest)
    found: NDArray[np.float64] = highest + np.log(totals)
    return found
