"""The memory that a host has for jobs, and which queued job may start in what is left of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Sized(NamedTuple):
    """A job with its number, which orders the queue, and the bytes that its worker takes."""

    number: int
    bytes: int


@dataclass(frozen=True)
class Room:
    """The memory of a host, in bytes."""

    together: int
    """What its jobs may take together."""
    alone: int
    """What a job may take that runs there alone: at least as much."""

    def largest(self, running: Sequence[Sized], first: Sized) -> int:
        """Return how many bytes a job may take that starts now; nothing fits if it is negative.

        The first job of the queue waits until there is room for it. Meanwhile later ones may start
        if they leave it what it needs: then it starts when those have ended that ran before, so it
        waits for no job that was behind it, however many of them there are.

        Args:
            running: the jobs with a worker on this host.
            first: the oldest queued job that this host can take at all.

        """
        if not running:
            return self.alone
        free = self.together - sum(job.bytes for job in running)
        if first.bytes <= free:
            return free
        later = sum(job.bytes for job in running if job.number > first.number)
        return min(free, self.together - first.bytes - later)


UNLIMITED = Room(2**63 - 1, 2**63 - 1)
"""For queues whose jobs start nowhere."""
