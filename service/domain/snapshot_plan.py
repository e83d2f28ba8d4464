"""Decides after which epochs a job keeps its network, from the spec and the limits alone."""

from collections.abc import Iterator
from dataclasses import dataclass

FLOAT_BYTES = 4


@dataclass(frozen=True)
class SnapshotLimits:
    """The most that a job keeps; the fields are the settings `snapshots` and `snapshot_bytes`."""

    count: int = 24
    bytes: int = 16 * 1024**2


DEFAULT_LIMITS = SnapshotLimits()


@dataclass(frozen=True)
class SnapshotPlan:
    """Which epochs keep their network."""

    epochs: frozenset[int] = frozenset()
    """The numbers of the epochs that keep it whatever their accuracy."""
    keeps_best: bool = False
    """Whether the epoch of the highest test accuracy keeps it too."""


NO_SNAPSHOTS = SnapshotPlan()


def snapshot_plan(epochs: int, parameters: int, limits: SnapshotLimits) -> SnapshotPlan:
    """Return the plan of a job with so many epochs and so many weights and biases.

    One place is for the best epoch and one for the last. The others are for epochs that lie ever
    further apart, because a network changes most at the beginning.
    """
    count = min(limits.count, limits.bytes // (FLOAT_BYTES * parameters))
    if count < 1:
        return NO_SNAPSHOTS
    return SnapshotPlan(frozenset(_spaced(epochs, count - 1)), keeps_best=True)


def _spaced(last: int, count: int) -> Iterator[int]:
    """Yield up to `count` numbers from 1 to `last`, in about a geometric sequence.

    Numbers can't lie closer than 1. Where that makes the first steps longer than their share, the
    later ones are shorter.
    """
    number = 0
    for left in range(min(count, last), 1, -1):
        ratio = (last / number) ** (1 / left) if number else 0
        number = max(number + 1, round(number * ratio))
        yield number
    if count:
        yield last
