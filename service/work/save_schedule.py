"""Decides when a worker gives a heartbeat and when it saves a checkpoint."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Intervals:
    """The times between a worker's writes to the store; all in seconds, except `save_factor`."""

    heartbeat: float = 0.5
    """The time between two heartbeats."""
    epoch_lead: float = 0.25
    """A heartbeat comes this much earlier if it has finished epochs to record."""
    first_save: float = 0.5
    """The time from the beginning of training to the first save."""
    save: float = 2.0
    """The least time from the end of one save to the next."""
    save_factor: float = 20.0
    """The next save waits this many times as long as the last one took, so that saving takes at
    most a twentieth of the time."""
    failed_factor: float = 3.0
    """After a save that failed, the next try waits this many times as long as that took, so that a
    store that does not answer takes at most a quarter of the time."""


DEFAULT_INTERVALS = Intervals()


class SaveSchedule:
    """Keeps the times at which the next heartbeat and the next save are due."""

    def __init__(self, intervals: Intervals, now: float) -> None:
        self._intervals = intervals
        self._next_heartbeat = now + intervals.heartbeat
        self._next_save = now + intervals.first_save

    def is_save_due(self, now: float) -> bool:
        return now >= self._next_save

    def is_heartbeat_due(self, now: float, *, has_epochs: bool) -> bool:
        lead = self._intervals.epoch_lead if has_epochs else 0
        return now >= self._next_heartbeat - lead

    def note_heartbeat(self, now: float) -> None:
        """Plan the next heartbeat after one that was given, or that failed."""
        self._next_heartbeat = now + self._intervals.heartbeat

    def note_save(self, started: float, now: float) -> None:
        """Plan the next save, and the next heartbeat, which the save has replaced."""
        self.note_heartbeat(now)
        took = now - started
        self._next_save = now + max(self._intervals.save, self._intervals.save_factor * took)

    def note_failed_save(self, started: float, now: float) -> None:
        """Plan another try; the heartbeat stays due, because it may succeed where a save fails."""
        wait = self._intervals.failed_factor * (now - started)
        self._next_save = now + max(self._intervals.save, wait)
