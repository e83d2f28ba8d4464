"""Finds the rows of a stored set that a report doubts: copies, blank images and rare classes."""

from collections.abc import Mapping
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from mlp_core import Split
from service.ingest.doubts import RARE
from service.ingest.judgements import Numbers, copies_in
from service.ingest.splits import TRAIN
from service.ingest.staging import SPLITS, row_digests

AT_ONCE = 4096


class Misfit(StrEnum):
    """Why a row is doubted, as reports call it."""

    LEAK = "leak"
    DUPLICATES = "duplicates"
    TWO_LABELS = "two_labels"
    BLANK = "blank"
    RARE_CLASS = "rare_class"


Place = tuple[str, int]
"""A split, and a row of it."""


def misfits_in(splits: Mapping[str, Split], misfit: Misfit) -> list[tuple[Place, ...]]:
    """Return the rows that are doubted, each before the one that it equals, if that is why.

    Args:
        splits: of the set, by name. Where all rows are to train and to test on, one of the two,
            for no row is a copy of itself.
        misfit: why they are doubted.

    """
    names = [name for name in SPLITS if name in splits]
    ends = np.cumsum([len(splits[name].labels) for name in names])

    def place(row: int) -> Place:
        at = int(np.searchsorted(ends, row, side="right"))
        return names[at], row - (int(ends[at - 1]) if at else 0)

    doubted = _rows(splits, names, misfit)
    return [tuple(place(row) for row in rows) for rows in doubted.tolist()]


def _rows(splits: Mapping[str, Split], names: list[str], misfit: Misfit) -> Numbers:
    """Return numbers of rows, (n, 1) or (n, 2), counted through all splits."""
    labels = np.concatenate([splits[name].labels for name in names])
    codes = np.repeat(
        np.array([SPLITS.index(name) for name in names], np.uint8),
        [len(splits[name].labels) for name in names],
    )
    if misfit == Misfit.RARE_CLASS:
        counts = np.bincount(labels[codes == SPLITS.index(TRAIN)], minlength=256)
        is_rare = (counts[labels] < RARE) & (codes == SPLITS.index(TRAIN))
        return np.flatnonzero(is_rare)[:, None]
    images = [splits[name].images for name in names]
    if misfit == Misfit.BLANK:
        return np.flatnonzero(np.concatenate([_blank(each) for each in images]))[:, None]
    copies = copies_in(np.concatenate([_digests(each) for each in images]), labels, codes)
    pairs = {
        Misfit.LEAK: copies.leaks,
        Misfit.DUPLICATES: copies.duplicates,
        Misfit.TWO_LABELS: copies.two_labels,
    }
    return pairs[misfit]


def _blank(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    is_blank = np.empty(len(images), np.bool_)
    for start in range(0, len(images), AT_ONCE):
        part = images[start : start + AT_ONCE]
        is_blank[start : start + AT_ONCE] = (part == part[:, :1]).all(axis=1)
    return is_blank


def _digests(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return row_digests(np.asarray(images))
