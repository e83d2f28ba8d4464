"""How far probabilities can be trusted, and the temperature that makes them more trustworthy."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.domain.temperature_trust import COLDEST, HOTTEST

Floats = NDArray[np.float64]

STEPS = 60
CLOSE = 1e-10


@dataclass(frozen=True, slots=True)
class Bin:
    """The rows whose confidence lies in one of several equal intervals."""

    start: float
    end: float
    """Belongs to the next bin, except for 1."""
    count: int
    confidence: float | None
    """The mean probability of the label that the network gives; None without rows."""
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """The distance of confidence and accuracy (Guo et al., 2017)."""

    ece: float
    """Its mean, weighted by rows."""
    mce: float
    """The largest one of a bin with rows."""
    bins: list[Bin]


def calibration(confidence: Floats, is_right: NDArray[np.bool_], bins: int) -> Calibration:
    """Sort rows by their confidence in [0, 1] into equal bins, the last of which includes 1."""
    edges = np.linspace(0, 1, bins + 1)
    place = np.minimum(np.searchsorted(edges, confidence, "right") - 1, bins - 1)
    counts = np.bincount(place, minlength=bins).tolist()
    sums = np.bincount(place, confidence, bins).tolist()
    rights = np.bincount(place, is_right, bins).tolist()
    found = [
        Bin(start, end, n, sure / n if n else None, right / n if n else None)
        for start, end, n, sure, right in zip(
            edges[:-1].tolist(), edges[1:].tolist(), counts, sums, rights, strict=True
        )
    ]
    gaps = [abs(sure - right) for sure, right in zip(sums, rights, strict=True)]
    worst = max(gap / n for gap, n in zip(gaps, counts, strict=True) if n)
    return Calibration(math.fsum(gaps) / len(confidence), worst, found)


def temperature(logits: NDArray[np.float32], labels: NDArray[np.uint8]) -> float:
    """Return the temperature T with the lowest cross-entropy of softmax(logits / T).

    The cross-entropy is convex in 1 / T, so Newton's method finds the minimum; where a step would
    leave the interval in which it must lie, the interval is halved instead.
    """
    Z = logits.astype(np.float64)
    Z -= Z.max(axis=1, keepdims=True)
    of_label = float(Z[np.arange(len(labels)), labels].mean())
    low, high, beta = 1 / HOTTEST, 1 / COLDEST, 1.0
    for _ in range(STEPS):
        slope, curvature = _derivatives(Z, beta, of_label)
        # Rows that are all read surely have no slope, and the least temperature is theirs.
        low, high = (beta, high) if slope <= 0 else (low, beta)
        step = slope / curvature if curvature > 0 else math.inf
        following = beta - step if low < beta - step < high else math.sqrt(low * high)
        if abs(following - beta) < CLOSE * beta:
            break
        beta = following
    return 1 / beta


def _derivatives(Z: Floats, beta: float, of_label: float) -> tuple[float, float]:
    """Return the first two derivatives of the mean cross-entropy by the inverse temperature."""
    weights = np.exp(beta * Z)
    weights /= weights.sum(axis=1, keepdims=True)
    means = (weights * Z).sum(axis=1)
    squares = (weights * Z * Z).sum(axis=1)
    return float(means.mean()) - of_label, float((squares - means**2).mean())
