"""Judges whether a network has learned anything, by what is right without learning."""

import math
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

LUCK = 1 / 300
"""The chance that guesses count as learning, at most: 11 of 12 right among two classes still count,
which guesses reach in one of 315 sets. With 1 in 10 000, not even 12 of 12 would."""
LEAST_GAIN = 0.1
"""The part of what the baseline gets wrong that a network must get right. Random weights are not
guesses: on MNIST's test set, where the baseline is 0.1135, 1 660 networks that were never trained
scored up to 0.254, all but one of them less than the 0.2022 that this demands."""
PRECISION = 1e-9
"""The terms of a sum that are smaller parts of it are left out."""


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
        gain = LEAST_GAIN * (1 - self.accuracy)
        return max(self.accuracy + gain, self._least_right() / self.rows)

    def _least_right(self) -> int:
        """Return how many right answers guesses reach with a probability of `LUCK` at most.

        Every guess is right with the baseline's probability: no answers that ignore the images do
        better. In a set that is too small for that, it is all of them.
        """
        candidates = range(math.ceil(self.accuracy * self.rows), self.rows)
        found = bisect_left(candidates, True, key=lambda right: self._tail(right) <= LUCK)
        return candidates[found] if found < len(candidates) else self.rows

    def _tail(self, right: int) -> float:
        """Return the probability that so many or more guesses are right: the binomial's tail."""
        share, rows = self.accuracy, self.rows
        ways = math.lgamma(rows + 1) - math.lgamma(right + 1) - math.lgamma(rows - right + 1)
        term = math.exp(ways + right * math.log(share) + (rows - right) * math.log1p(-share))
        total = 0.0
        while term > total * PRECISION:
            total += term
            term *= (rows - right) / (right + 1) * share / (1 - share)
            right += 1
        return total

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
