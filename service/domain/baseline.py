"""Judges whether a network has learned anything, by what is right without learning."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

LEAST_STANDARD_ERRORS = 5.0
"""Chance exceeds the baseline by so many standard errors once in three million tests."""
LEAST_GAIN = 0.1
"""The part of what the baseline gets wrong that a network must get right. Random weights are not
guesses: on MNIST's test set, where the baseline is 0.1135, 1 660 networks that were never trained
scored up to 0.254, all but one of them less than the 0.2022 that this demands."""
USUAL_LEARNING_RATE = {"sgd": 0.1, "adamw": 0.001}


@dataclass(frozen=True)
class Baseline:
    """The accuracy of always giving the most frequent answer, on a set of `rows` images."""

    accuracy: float
    rows: int

    @classmethod
    def of(cls, labels: np.ndarray) -> "Baseline":
        """Return the baseline of a set with these labels."""
        return cls(int(np.bincount(labels).max()) / len(labels), len(labels))

    @property
    def least(self) -> float:
        """The accuracy from which on a network has learned something."""
        error = math.sqrt(self.accuracy * (1 - self.accuracy) / self.rows)
        gain = LEAST_GAIN * (1 - self.accuracy)
        return min(1.0, self.accuracy + max(LEAST_STANDARD_ERRORS * error, gain))

    def is_beaten_by(self, accuracy: float) -> bool:
        """Return whether an accuracy on the set shows that something was learned."""
        return accuracy >= self.least

    def comparison(self, accuracy: float) -> str:
        """Return a sentence for people about a network that has learned nothing."""
        return (
            f"The network has learned nothing: its accuracy on the test set is {accuracy:.2%}. "
            f"Always giving the same answer gets {self.accuracy:.2%}, and anything below "
            f"{self.least:.2%} can be luck."
        )


def advice(spec: Mapping[str, Any]) -> str:
    """Return what to change in the spec of a network that has learned nothing."""
    rate, optimizer = spec["learning_rate"], spec["optimizer"]["type"]
    usual = USUAL_LEARNING_RATE[optimizer]
    known = f"it was {rate:g}, and {usual:g} is usual with {optimizer}"
    if rate > usual:
        return f"Try a lower learning_rate: {known}."
    if rate < usual:
        return f"Try a higher learning_rate or more epochs: {known}."
    return f"Try another learning_rate than {rate:g}, another initialization or more epochs."
