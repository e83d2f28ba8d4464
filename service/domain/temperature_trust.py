"""Whether a temperature can be trusted, by what it was fitted on and what came of it."""

from typing import Literal

HOTTEST, COLDEST = 20.0, 0.05
"""Bounds of a temperature: a network that is always right would want 0."""
FEWEST_ROWS = 20
"""With fewer images, chance decides the temperature."""
CLOSE_TO_BOUND = 1.01

Doubt = Literal["few rows", "one class", "at its bound"]


def doubt_about(temperature: float, rows: int, classes: int) -> Doubt | None:
    """Return why a temperature serves for no predictions; None if it does.

    Args:
        temperature: by which logits are divided.
        rows: on which it was fitted.
        classes: of which these rows are.

    """
    if rows < FEWEST_ROWS:
        return "few rows"
    if classes < 2:
        return "one class"
    if COLDEST * CLOSE_TO_BOUND < temperature < HOTTEST / CLOSE_TO_BOUND:
        return None
    return "at its bound"
