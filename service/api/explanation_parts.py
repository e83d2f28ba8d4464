"""Writes what `return` asks for beside the predictions as values of JSON."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.inference.explain import Explanation
from service.inference.predict import PredictedBatch

DIGITS = 6
"""Significant digits of the numbers; a float32 has hardly more."""


def parts_of(batch: PredictedBatch, wanted: Collection[str]) -> dict[str, Sequence[Any]]:
    """Return the wanted parts by their names, each with a value for each image."""
    parts: dict[str, Sequence[Any]] = {}
    if "probabilities" in wanted:
        parts["probabilities"] = rounded(batch.probabilities)
    if found := batch.explanation:
        if not {"votes", "contributions"}.isdisjoint(wanted):
            parts["rival"] = found.digits[:, 1].tolist()
        if "activations" in wanted:
            parts["activations"] = _activations(found)
        if "votes" in wanted:
            parts["votes"] = rounded(found.votes)
        if "contributions" in wanted:
            parts["contributions"] = _contributions(found)
    return parts


def _activations(found: Explanation) -> list[list[list[float]]]:
    """Return for each image the activations of each hidden layer."""
    layers = [rounded(H) for H in found.activations]
    return [[rows[image] for rows in layers] for image in range(len(found.digits))]


def _contributions(found: Explanation) -> list[dict[str, Any]]:
    columns = (
        found.digits.tolist(),
        rounded(found.pixels),
        rounded(found.biases),
        rounded(found.differences),
    )
    return [
        {
            "for": digit,
            "against": rival,
            "pixels": pixels,
            "bias": bias,
            "difference": difference,
            "exact": found.exact,
        }
        for (digit, rival), pixels, bias, difference in zip(*columns, strict=True)
    ]


def rounded(numbers: NDArray[np.float32]) -> list[Any]:
    """Return numbers with six significant digits, as nested lists of the array's shape.

    They are rounded in float64: a float32 is written with up to 17 digits, rounded or not.
    """
    doubles = numbers.astype(np.float64)
    with np.errstate(divide="ignore"):
        exponents = np.floor(np.log10(np.abs(doubles)))
    exponents[doubles == 0] = 0
    scale = 10.0 ** (DIGITS - 1 - exponents)
    found: list[Any] = (np.rint(doubles * scale) / scale + 0.0).tolist()  # + 0.0 turns -0.0 to 0.0
    return found
