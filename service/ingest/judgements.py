"""Judges the images of a set: polarity, MNIST's form, and copies.

What is needed of the pixels is kept when they are staged, so that nothing here reads them again.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.inference.image_decoding import MNIST_SIDE
from service.inference.image_normalization import mnist_boxes
from service.ingest.staging import SPLITS, RowFacts

TRAIN_CODE = SPLITS.index("train")
LEFT_OUT = len(SPLITS)
"""The code of a row that belongs to no split."""
FORM_SAMPLES = 2000
GREY_SAMPLES = 200
GREY_FROM = 90
"""Paper that is at least so light has a grey level; MNIST's is black."""
STANDS_OUT = 40
"""Ink is darker than its paper by more than this, and what is lighter by more is no paper."""
DIGIT_SHARE = 0.99
"""Where so many images have MNIST's form, the digit normaliser does not harm the others."""
Codes = NDArray[np.uint8]
Numbers = NDArray[np.intp]


def is_white_paper(rows: RowFacts, wanted: NDArray[np.bool_], values: int) -> bool:
    """Return whether images show dark ink on white paper.

    More than half of the pixels must be white and fewer than that black: photos have neither, and
    pictures of white on black the reverse.

    Args:
        rows: of the set.
        wanted: the rows that are looked at.
        values: the number of pixels of an image, times its channels.

    """
    white = int(rows.white[wanted].sum(dtype=np.int64))
    black = int(rows.black[wanted].sum(dtype=np.int64))
    return bool(white > np.count_nonzero(wanted) * values / 2 and black < white)


def is_grey_paper(images: NDArray[np.uint8]) -> bool:
    """Return whether nine of ten images show dark ink on grey paper, as photographs do.

    The paper takes most of such a picture, some of it is clearly darker, and hardly anything
    lighter: photos of things have both.

    Args:
        images: of grey levels, (n, pixels).

    """
    paper = np.median(images, axis=1, keepdims=True)
    ink = (images < paper - STANDS_OUT).mean(axis=1)
    lighter = (images > paper + STANDS_OUT).mean(axis=1)
    shows_ink = (paper[:, 0] >= GREY_FROM) & (ink > 0.003) & (ink < 0.35) & (lighter < 0.02)
    return bool(shows_ink.mean() >= 0.9)


def sampled(wanted: NDArray[np.bool_], most: int = FORM_SAMPLES) -> NDArray[np.bool_]:
    """Return up to so many of the wanted rows, from everywhere among them."""
    rows = np.flatnonzero(wanted)
    some = np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.intp)
    result = np.zeros_like(wanted)
    result[rows[some]] = True
    return result


def share_of_digit_form(images: NDArray[np.uint8]) -> float:
    """Return the share of images, uint8 (n, 784) of white on black, that have MNIST's form."""
    return float(mnist_boxes(images.reshape(-1, MNIST_SIDE, MNIST_SIDE))[1].mean())


@dataclass(frozen=True)
class Copies:
    """Images that are there more than once: pairs of rows, (n, 2), the copy first."""

    duplicates: Numbers
    """Rows of one split and label, each with the first row like it."""
    leaks: Numbers
    """Rows to test or validate on, each with the first training row like it."""
    two_labels: Numbers
    """Rows with another label than the first row of the same picture."""
    needless: Numbers
    """(n,): training rows that copy an earlier training row, or a row to test or validate on."""


def copies_in(digests: NDArray[np.uint64], labels: Codes, splits: Codes) -> Copies:
    """Return which images are copies of others, bit by bit.

    Args:
        digests: (n, 2), of each row.
        labels: of each row.
        splits: of each row; those that are `LEFT_OUT` are not looked at.

    """
    rows, group = _repeated(digests, np.flatnonzero(splits != LEFT_OUT))
    first = rows[_starts(group)][group]
    is_train = splits[rows] == TRAIN_CODE
    train = _first_in(group, rows, is_train)
    held_out = _first_in(group, rows, ~is_train)
    same = np.lexsort((rows, labels[rows], splits[rows], group))
    again = np.zeros(len(rows), np.bool_)
    again[1:] = True
    for kind in (group[same], splits[rows][same], labels[rows][same]):
        again[1:] &= kind[1:] == kind[:-1]
    heads = rows[same][np.maximum.accumulate(np.where(again, 0, np.arange(len(rows))))]
    duplicates = np.stack((rows[same], heads), axis=1)[again]
    leaks = ~is_train & (train >= 0)
    differs = labels[rows] != labels[first]
    needless = is_train & ((held_out >= 0) | (rows != train))
    return Copies(
        _by_row(duplicates),
        _by_row(np.stack((rows, train), axis=1)[leaks]),
        _by_row(np.stack((rows, first), axis=1)[differs]),
        np.sort(rows[needless]),
    )


def _repeated(digests: NDArray[np.uint64], rows: Numbers) -> tuple[Numbers, Numbers]:
    """Return the rows whose digest others have too, with numbers of groups of equal ones.

    Rows of a group follow one another, in their own order.
    """
    order = rows[np.lexsort((digests[rows, 1], digests[rows, 0]))]
    sorted_digests = digests[order]
    is_new = np.ones(len(order), np.bool_)
    is_new[1:] = (sorted_digests[1:] != sorted_digests[:-1]).any(axis=1)
    group = np.cumsum(is_new) - 1
    is_repeated = np.bincount(group)[group] > 1 if len(group) else is_new
    kept = group[is_repeated]
    return order[is_repeated], np.unique(kept, return_inverse=True)[1].reshape(-1)


def _starts(group: Numbers) -> Numbers:
    return np.unique(group, return_index=True)[1]


def _first_in(group: Numbers, rows: Numbers, where: NDArray[np.bool_]) -> Numbers:
    """Return for each row the first row of its group for which `where` holds; -1 if none does."""
    first = np.full(int(group.max(initial=-1)) + 1, -1, np.intp)
    first[group[where][::-1]] = rows[where][::-1]  # of equal places, the last assignment stays
    return first[group]


def _by_row(pairs: Numbers) -> Numbers:
    return pairs[np.argsort(pairs[:, 0], kind="stable")]
