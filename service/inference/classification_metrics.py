"""The figures of a classifier, from its confusion matrix and from its probabilities.

They are those of scikit-learn, with None where a figure has nothing to divide by. In a confusion
matrix (classes, classes), rows are the true classes and columns what the network says.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

NORMAL_QUANTILE = 1.959963984540054
"""97.5 % of a standard normal distribution lie below it."""
EXACT_BELOW = 25
"""With fewer differences than this, McNemar's test is computed exactly."""


@dataclass(frozen=True)
class ClassFigures:
    """How well one class is read, or the mean of all classes."""

    precision: float | None
    """Share of the rows read as this class that are of it."""
    recall: float | None
    """Share of the rows of this class that are read."""
    f1: float | None
    """Harmonic mean of both."""


def by_class(counts: Counts) -> list[ClassFigures]:
    """Return the figures of each class."""
    right = np.diag(counts).tolist()
    support, predicted = counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist()
    return [
        ClassFigures(_share(hits, said), _share(hits, rows), _share(2 * hits, rows + said))
        for hits, rows, said in zip(right, support, predicted, strict=True)
    ]


def macro(figures: Iterable[ClassFigures]) -> ClassFigures:
    """Return the mean over the classes that have a figure."""
    return _averaged([(each, 1) for each in figures])


def weighted(figures: Iterable[ClassFigures], support: Iterable[int]) -> ClassFigures:
    """Return the mean over the classes that have a figure, weighted by their rows."""
    return _averaged(list(zip(figures, support, strict=True)))


def balanced_accuracy(figures: Iterable[ClassFigures]) -> float | None:
    """Return the mean recall of the classes that have rows."""
    return macro(figures).recall


def kappa(counts: Counts) -> float | None:
    """Return Cohen's kappa: accuracy above chance; None if chance alone would be right always."""
    rows = int(counts.sum())
    right = int(np.trace(counts))
    by_chance = _exact_sum(counts.sum(axis=1), counts.sum(axis=0))  # times rows
    return _share(right * rows - by_chance, rows**2 - by_chance)


def mcc(counts: Counts) -> float:
    """Return Matthews' correlation coefficient; 0 if all rows have one class or one answer."""
    rows, right = int(counts.sum()), int(np.trace(counts))
    shown, said = counts.sum(axis=1), counts.sum(axis=0)
    together = right * rows - _exact_sum(shown, said)
    spread = (rows**2 - _exact_sum(shown, shown)) * (rows**2 - _exact_sum(said, said))
    return together / math.sqrt(spread) if spread else 0.0


def wilson_interval(right: int, rows: int) -> tuple[float, float]:
    """Return the bounds between which an accuracy lies with 95 % confidence (Wilson, 1927)."""
    z, share = NORMAL_QUANTILE, right / rows
    middle = share + z**2 / (2 * rows)
    half = z * math.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    whole = 1 + z**2 / rows
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)


def roc_auc(scores: Floats, positive: NDArray[np.bool_]) -> float | None:
    """Return how often a positive row has a higher score than a negative one; ties count half.

    None if there are no positive rows, or no others.
    """
    above, below = np.sort(scores[positive]), np.sort(scores[~positive])
    if not len(above) or not len(below):
        return None
    lower = np.searchsorted(below, above, "left").sum(dtype=np.int64)
    not_higher = np.searchsorted(below, above, "right").sum(dtype=np.int64)
    return int(lower + not_higher) / (2 * len(above) * len(below))


@dataclass(frozen=True)
class McNemar:
    """Whether two classifiers differ by more than chance, from the rows that only one reads."""

    method: str
    """`exact`, or `chi-squared` with the correction for continuity."""
    statistic: float
    p_value: float


def mcnemar(only_first: int, only_second: int) -> McNemar:
    """Return McNemar's test, given how many rows only the first, or only the second, reads."""
    different = only_first + only_second
    if different < EXACT_BELOW:
        least = min(only_first, only_second)
        tail = sum(math.comb(different, k) for k in range(least + 1)) / 2**different
        return McNemar("exact", float(least), min(1.0, 2 * tail))
    statistic = (abs(only_first - only_second) - 1) ** 2 / different
    return McNemar("chi-squared", statistic, math.erfc(math.sqrt(statistic / 2)))


def _exact_sum(first: Counts, second: Counts) -> int:
    """Return the sum of products, which may exceed 64 bits when it is multiplied later."""
    return int(first @ second)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _averaged(weights: list[tuple[ClassFigures, int]]) -> ClassFigures:
    return ClassFigures(
        _mean([(each.precision, weight) for each, weight in weights]),
        _mean([(each.recall, weight) for each, weight in weights]),
        _mean([(each.f1, weight) for each, weight in weights]),
    )


def _mean(weighted_values: list[tuple[float | None, int]]) -> float | None:
    known = [(value, weight) for value, weight in weighted_values if value is not None]
    whole = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / whole if whole else None
