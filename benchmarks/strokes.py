"""Digits as people write them: several forms of each digit, and random styles of handwriting."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Stroke = NDArray[np.float64]
"""(n, 2), with x to the right and y down. A form is about 60 wide and 100 high."""

# Points on a smooth curve of the pen; `!` marks a corner, `|` lifts the pen. Common forms lead:
# the k-th is written 1/k as often as the first.
FORMS = {
    0: [
        "32,2 10,14 2,50 12,86 30,98 50,84 58,50 48,14 30,2",
        "44,8 22,4 5,30 4,66 20,96 42,92 57,62 54,26 40,6 26,8",
        "30,0 14,20 10,52 16,84 30,99 44,82 50,50 44,18 28,1",
        "32,2 10,14 2,50 12,86 30,98 50,84 58,50 48,14 30,2 | 50,14 10,86",
    ],
    1: [
        "30,0 30,100",
        "34,0 30,50 28,100",
        "12,24 32,2! 32,100",
        "12,22 32,2! 32,97 | 10,98 54,98",
        "6,42 36,1! 36,100",
    ],
    2: [
        "5,24 14,5 34,1 52,14 50,36 30,64 3,97! 58,97",
        "6,22 18,4 40,2 54,18 46,44 26,74 10,94 2,89 7,80 20,84 38,96 58,90",
        "8,20 28,2 52,12 44,40 6,96! 28,92 44,98 60,94",
    ],
    3: [
        "6,14 24,2 48,8 50,32 26,46! 52,58 54,82 32,98 4,88",
        "6,4 54,4! 26,40! 50,52 56,76 38,97 4,90",
        "8,12 30,1 50,14 44,38 24,49 17,44 27,42 50,56 52,82 30,99 6,86",
        "6,16 26,2 50,16 44,40 28,47 48,58 54,80 30,99 4,84",
    ],
    4: [
        "14,2 4,58! 58,58 | 44,24 42,100",
        "42,0 2,66! 58,66 | 42,0 42,100",
        "8,2 6,40 16,54 36,52 48,40 | 50,2 46,100",
        "34,0 4,62! 60,60 | 42,34 38,100",
    ],
    5: [
        "12,4 10,44! 34,38 54,56 52,82 30,98 4,90 | 12,4 54,4",
        "52,4 14,5! 10,44! 32,36 54,54 52,82 30,98 4,88",
        "52,3 26,4 12,20 18,42 44,52 54,74 38,96 6,92",
        "14,10 11,46! 36,40 54,58 50,84 28,98 4,90 | 18,5 58,2",
    ],
    6: [
        "44,2 18,26 4,60 10,90 32,98 52,84 50,62 30,54 8,68",
        "40,0 8,58 8,86 28,99 50,88 52,66 34,56 10,70",
        "54,12 36,2 12,22 3,62 14,94 40,97 56,78 44,56 20,58 6,74",
    ],
    7: [
        "4,5 56,5! 22,100",
        "4,5 56,5! 22,100 | 14,52 50,50",
        "4,8 30,5 56,5! 34,46 26,100",
        "5,20 6,4! 57,4! 24,100",
        "5,20 6,4! 57,4! 24,100 | 18,50 52,48",
    ],
    8: [
        "50,14 30,1 10,16 20,40 44,58 52,82 30,99 8,84 16,58 42,40 52,18 44,8",
        "30,2 12,12 12,34 30,46 48,34 48,12 30,2 | 30,46 6,60 6,88 30,99 54,88 54,60 30,46",
        "48,6 24,3 12,20 28,44 50,66 46,92 22,98 8,80 22,56 46,36 54,10",
    ],
    9: [
        "50,14 28,2 8,16 10,42 30,50 48,36 51,10! 48,100",
        "52,20 32,2 10,14 8,38 26,50 46,40 53,14 52,60 40,94 10,92",
        "48,20 30,3 8,18 10,44 30,52 46,40 48,20 | 50,4 46,100",
        "50,22 36,2 12,10 8,36 26,46 46,32 51,16! 30,100",
    ],
}  # fmt: skip


@dataclass(frozen=True)
class Hand:
    """A person's handwriting, whatever the digit."""

    slant: float
    """Tangent of the angle to the right."""
    turn: float
    """Radians by which the lines of writing climb or fall."""
    breadth: float
    """The factor by which digits are wider than their forms."""
    balance: float
    """Above 1 the upper part of a digit is small, below 1 the lower part."""
    bend: float
    """How far the middle of a digit leans to the right."""
    carelessness: float
    """Standard deviation of the position of a point."""
    haste: float
    """Length along the curve over which corners are rounded and turns are cut short."""
    tremble: float
    """How much the pen shakes; 0 is a steady hand."""

    @classmethod
    def random(cls, rng: np.random.Generator) -> "Hand":
        return cls(
            slant=rng.normal(0.1, 0.16),
            turn=rng.normal(0, 0.06),
            breadth=rng.lognormal(0, 0.17),
            balance=rng.lognormal(0, 0.13),
            bend=rng.normal(0, 3),
            carelessness=rng.uniform(0.8, 4.2),
            haste=rng.uniform(0, 5) ** 2,
            tremble=rng.uniform(0, 0.8) ** 2,
        )

    def write(self, digit: int, rng: np.random.Generator) -> list[Stroke]:
        """Write a digit in one of its forms, as curves of points about 1 apart."""
        forms = FORMS[digit]
        often = 1 / np.arange(1, len(forms) + 1)
        form = str(rng.choice(forms, p=often / often.sum()))
        return [self._stroke(stroke.split(), rng) for stroke in form.split("|")]

    def _stroke(self, words: list[str], rng: np.random.Generator) -> Stroke:
        points = np.array([[float(n) for n in word.rstrip("!").split(",")] for word in words])
        points += rng.normal(0, self.carelessness, points.shape)
        corners = [k for k, word in enumerate(words) if word.endswith("!")]
        ends = [0, *corners, len(points) - 1]
        parts = [_curve(points[a : b + 1]) for a, b in itertools.pairwise(ends)]
        return self._styled(_rounded(np.concatenate(parts), self.haste), rng)

    def _styled(self, curve: Stroke, rng: np.random.Generator) -> Stroke:
        x, y = curve.T / 100
        y = np.sign(y) * np.abs(y) ** self.balance
        x = (x - 0.3) * self.breadth + self.slant * (0.5 - y) + self.bend / 100 * np.sin(np.pi * y)
        c, s = math.cos(self.turn), math.sin(self.turn)
        written = 100 * np.stack([c * x - s * (y - 0.5), s * x + c * (y - 0.5)], axis=1)
        shake = rng.normal(0, 1, (len(curve) + 12, 2))
        return written + self.tremble * 6 * _averaged(shake, np.hanning(15)[1:-1])


def _curve(points: Stroke) -> Stroke:
    """Return a Catmull-Rom spline through the points; through two points a straight line."""
    before, after = 2 * points[0] - points[1], 2 * points[-1] - points[-2]
    padded = np.vstack([before, points, after])
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        t = np.linspace(0, 1, max(2, int(np.hypot(*(c - b)))), endpoint=False)[:, None]
        cubic = (3 * b - a - 3 * c + d) * t + 2 * a - 5 * b + 4 * c - d
        pieces.append(b + 0.5 * t * (c - a + t * cubic))
    return np.vstack([*pieces, points[-1:]])


def _rounded(curve: Stroke, length: float) -> Stroke:
    """Return the curve with each point moved to the mean of its neighbours along `length`."""
    n = min(int(length / 2), len(curve) // 2)
    if n < 1:
        return curve
    # Each end is extended by the point reflection of the curve, so that the ends stay in place.
    before, after = 2 * curve[0] - curve[n:0:-1], 2 * curve[-1] - curve[-2 : -n - 2 : -1]
    return _averaged(np.vstack([before, curve, after]), np.ones(2 * n + 1))


def _averaged(points: Stroke, weights: NDArray[np.float64]) -> Stroke:
    return np.stack([np.convolve(p, weights / weights.sum(), "valid") for p in points.T], axis=1)
