"""Divides the rows of a set into those to train on and those to test on."""

import numpy as np
from numpy.typing import NDArray

from service.ingest.options import SplitOption
from service.ingest.refusal import unusable
from service.ingest.staging import SPLITS, UNNAMED

TRAIN, VALIDATION, TEST = SPLITS
GIVEN, NONE = "given", "none"
Mask = NDArray[np.bool_]
Codes = NDArray[np.uint8]


def divided(
    named: Codes, labels: Codes, option: SplitOption | str | None
) -> tuple[dict[str, Mask], SplitOption | str]:
    """Return which rows belong to each split, and how that was decided.

    If the source names splits, rows of which it says nothing are for training. A source all of
    whose rows are of one split, such as MNIST's test files alone, is divided by chance.

    Args:
        named: the split of each row by the source: places in `SPLITS`, or `UNNAMED`.
        labels: the class of each row.
        option: how to divide the rows; None looks at what the source says.

    Raises:
        Unusable: nothing is left to train on, or to test on.

    """
    if option == NONE:
        return {split: np.ones(len(named), np.bool_) for split in (TRAIN, TEST)}, NONE
    if isinstance(option, SplitOption):
        return _by_chance(labels, option), option
    given = _given(named)
    if len(given) > 1 and TRAIN in given:
        return given, GIVEN
    if option == GIVEN or len(given) > 1:
        only = " and ".join(f"`{split}`" for split in given)
        raise unusable(
            "no_split",
            f"All of its rows belong to {only}.",
            hint="Send rows to train on and rows to test on, or set the option `split` to "
            '{"test": 0.2} to divide these.',
        )
    return _by_chance(labels, SplitOption()), SplitOption()


def _given(named: Codes) -> dict[str, Mask]:
    rows = {
        TRAIN: (named == SPLITS.index(TRAIN)) | (named == UNNAMED),
        VALIDATION: named == SPLITS.index(VALIDATION),
        TEST: named == SPLITS.index(TEST),
    }
    found = {split: mask for split, mask in rows.items() if mask.any()}
    if TEST not in found and VALIDATION in found:
        found[TEST] = found.pop(VALIDATION)
    return found


def _by_chance(labels: Codes, option: SplitOption) -> dict[str, Mask]:
    draw = np.random.default_rng(option.seed)
    groups = [np.arange(len(labels))]
    if option.stratify:
        groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    test = np.zeros(len(labels), np.bool_)
    for group in groups:
        test[draw.permutation(group)[: _share(len(group), option.test)]] = True
    if not test.any():
        raise unusable(
            "too_few_images",
            f"There are too few images to test on some of them: {len(labels)}.",
            hint="Some class needs two images or more; or set the option `split` to `none`, to "
            "test on the images that the network was trained on.",
        )
    return {TRAIN: ~test, TEST: test}


def beyond(train: Mask, labels: Codes, most: int, seed: int) -> NDArray[np.intp]:
    """Return the training rows that are left out, so that each class has `most` of them at most.

    They are drawn by chance. With an equal seed, fewer rows are a part of more of them.

    Args:
        train: whether each row is to train on.
        labels: the class of each row.
        most: how many of a class stay.
        seed: of the draw.

    """
    draw = np.random.default_rng(seed)
    classes = [np.flatnonzero(train & (labels == label)) for label in np.unique(labels[train])]
    return np.sort(np.concatenate([draw.permutation(rows)[most:] for rows in classes]))


def _share(rows: int, share: float) -> int:
    """Return how many of some rows are to test on: one is always left to train on."""
    return min(rows - 1, max(1, round(share * rows))) if rows > 1 else 0
