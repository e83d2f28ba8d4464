"""What a temperature does to the probabilities of an evaluation (Guo et al., 2017)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.domain.temperature_trust import Doubt, doubt_about
from service.inference.calibration import calibration, temperature
from service.inference.evaluate import Evaluation, log_totals

VALIDATION, EVEN_ROWS = "validation", "even rows"


@dataclass(frozen=True)
class Tempered:
    """A temperature, and how far probabilities can be trusted without it and with it."""

    temperature: float
    """The number by which the logits are divided; above 1 if the network was too sure of itself."""
    fitted_on: str
    """Other rows than those that are measured."""
    fitted_rows: int
    rows: int
    ece_before: float
    ece_after: float
    loss_before: float
    loss_after: float
    doubt: Doubt | None
    """Why predictions do not use the temperature; None if they may."""


def tempered(found: Evaluation, bins: int, validation: Evaluation | None) -> Tempered:
    """Fit a temperature on some rows, and measure it on others.

    Args:
        found: the rows to measure; without a validation set, the temperature is fitted on every
            second one and measured on the rest.
        bins: number of intervals of probability.
        validation: the validation set of the data set, if it has one.

    """
    if validation is not None:
        fitted = validation.logits, validation.labels
        logits, labels = found.logits, found.labels
    else:
        fitted = found.logits[::2], found.labels[::2]
        odd = slice(1, None, 2) if len(found.labels) > 1 else slice(None)
        logits, labels = found.logits[odd], found.labels[odd]
    value = temperature(*fitted)
    before, after = (_measured(logits, labels, t, bins) for t in (1.0, value))
    return Tempered(
        temperature=value,
        fitted_on=EVEN_ROWS if validation is None else VALIDATION,
        fitted_rows=len(fitted[1]),
        rows=len(labels),
        ece_before=before[0],
        ece_after=after[0],
        loss_before=before[1],
        loss_after=after[1],
        doubt=doubt_about(value, len(fitted[1]), len(np.unique(fitted[1]))),
    )


def _measured(
    logits: NDArray[np.float32], labels: NDArray[np.uint8], divisor: float, bins: int
) -> tuple[float, float]:
    """Return calibration error and mean loss of the rows at a temperature."""
    scaled = logits / np.float64(divisor)
    totals = log_totals(scaled)
    losses = totals - scaled[np.arange(len(labels)), labels]
    confidence = np.exp(scaled.max(axis=1) - totals)
    found = calibration(confidence, scaled.argmax(axis=1) == labels, bins)
    return found.ece, float(losses.mean())
