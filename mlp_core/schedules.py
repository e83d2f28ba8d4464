"""Schedules of the learning rate over a whole run."""

import math
from collections.abc import Callable
from typing import TypeAlias

Schedule: TypeAlias = Callable[[float, float], float]
"""Takes the initial learning rate and the fraction of all steps done; returns the next step's."""


def constant(learning_rate: float, fraction: float) -> float:
    del fraction
    return learning_rate


def cosine(learning_rate: float, fraction: float) -> float:
    """Half a period of a cosine, down to 0 after the last step (Loshchilov and Hutter, 2017)."""
    return learning_rate * (1 + math.cos(math.pi * fraction)) / 2


SCHEDULES: dict[str, Schedule] = {"constant": constant, "cosine": cosine}
