"""What the event tail tells its listeners: one tick for everybody, of which each sees its part."""

import asyncio
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from service.domain.principal import Principal
from service.store.event_log import Logged
from service.store.hosts import Host
from service.store.job_counts import Counts
from service.store.stored_job import StoredJob


class Saved(NamedTuple):
    """A job with a new checkpoint."""

    job: StoredJob
    kept: bool
    """Whether the network of an epoch was kept with it, which `job@epoch` names."""


@dataclass(frozen=True)
class Tick:
    """What one look at the store has found."""

    logged: Logged
    """The events since the tick before."""
    cursor: int
    """Number of the last event that there was."""
    active: list[StoredJob]
    """The jobs with a worker."""
    saved: list[Saved]
    """The newest checkpoints that were not in the tick before."""
    kept: Mapping[str, int]
    """The newest epoch whose network is kept, of jobs with a worker that have any."""
    counts: Counts
    checks: Mapping[str, bool]
    """Whether each check of `/readyz` passes; looked at every few seconds."""
    hosts: Sequence[Host] | None = None
    """The hosts, looked at as seldom; None if the server trains all jobs itself."""
    pings: bool = False
    """Whether it is time to show that the stream lives."""
    made: dict[Hashable, Any] = field(default_factory=dict, repr=False)
    """Texts for listeners who see the same."""

    def is_news_after(self, before: "Tick") -> bool:
        """Return whether anybody may see a difference to the tick before."""
        return (
            bool(self.logged.events or self.saved or self.pings)
            or self.active != before.active
            or (self.counts, self.checks) != (before.counts, before.checks)
        )

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what `make` returns, which is called for the first listener with this key."""
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]


@dataclass(frozen=True, eq=False)
class Listener:
    """A client of the stream of all jobs, while it is connected."""

    principal: Principal
    start: Tick
    """The last tick before it came; the queue has all ticks after it."""
    queue: asyncio.Queue[Tick | None]
    """None ends the stream."""
