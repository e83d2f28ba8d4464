"""The rows of a set after they have been named and divided."""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.ingest.class_names import Classes
from service.ingest.judgements import LEFT_OUT, TRAIN_CODE, Copies, copies_in
from service.ingest.options import SplitOption
from service.ingest.source import Source
from service.ingest.splits import NONE, TEST, TRAIN
from service.ingest.staging import SPLITS, Staged

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class DividedRows:
    """All rows of a source, with their classes and splits."""

    source: Source
    staged: Staged
    classes: Classes
    labels: NDArray[np.uint8]
    of_split: dict[str, Mask]
    """Which rows belong to each split."""
    decided: SplitOption | str
    """How that was decided: `given`, `none`, or by chance."""

    @property
    def counts(self) -> dict[str, list[int]]:
        """The number of rows of each class, by split."""
        n_classes = len(self.classes.names)
        return {
            split: np.bincount(self.labels[mask], minlength=n_classes).tolist()
            for split, mask in self.of_split.items()
        }

    @property
    def used(self) -> Mask:
        """Whether each row belongs to a split."""
        return functools.reduce(np.logical_or, self.of_split.values())

    @property
    def held_out(self) -> int:
        """The number of rows to test or validate on that are not to train on too."""
        return int(np.count_nonzero(self.used & ~self.of_split[TRAIN]))

    def class_of(self, row: int) -> str:
        return self.classes.names[int(self.labels[row])]

    def place(self, row: int) -> str:
        """Return where a row is, as the source names it."""
        return self.source.place(int(self.staged.rows.numbers[row]))

    def copies(self) -> Copies:
        """Return which rows equal others."""
        splits = np.full(len(self.staged), LEFT_OUT, np.uint8)
        for split, mask in self.of_split.items():
            splits[mask] = SPLITS.index(split)
        if self.decided == NONE:  # each row is in both splits, and is no copy of itself
            splits[self.of_split[TRAIN]] = TRAIN_CODE
        return copies_in(self.staged.rows.digests, self.labels, splits)

    def without(self, needless: NDArray[np.intp]) -> "DividedRows":
        """Return the same without some training rows."""
        is_kept = np.ones(len(self.staged), np.bool_)
        is_kept[needless] = False
        changed = (TRAIN, TEST) if self.decided == NONE else (TRAIN,)
        of_split = self.of_split | {split: self.of_split[split] & is_kept for split in changed}
        return DividedRows(
            self.source, self.staged, self.classes, self.labels, of_split, self.decided
        )
