"""The fleet: hosts that a cluster starts while jobs wait.

Nobody stops them: each ends by itself when it has had nothing to do for a while.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import structlog

from service.domain.errors import StoreBroken
from service.store.job_counts import Demand
from service.work.clock import Clock

BUSY_SECONDS = 1.0
"""How often the fleet is looked at while jobs wait."""
IDLE_SECONDS = 5.0
"""How often otherwise; the bell wakes it at once."""
LEAST_SECONDS = 0.25
"""The shortest time between two looks, however often the bell rings."""
AFTER_ERRORS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds until the next look, by the number of looks that have failed in a row."""
AFTER_FAILED_HOSTS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds until the next start, by how often hosts have failed without a quiet minute between."""
LARGE_SECONDS = 300.0
"""A job that needs more memory than every host so far has may fit one that the cluster starts; if
not, it causes a start no more often than this."""
QUIET_SECONDS = 60.0
JOIN_SECONDS = 1.0
"""The process may end while the cluster owes it an answer."""

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class FleetHost:
    """A host that the cluster knows."""

    number: int
    is_live: bool
    """Whether it runs, or waits for a place to run."""
    failure: str = ""
    """Why it has ended, unless it ended by itself."""


class Fleet(Protocol):
    """Hosts with the numbers 1, 2, 3, … on a cluster, which name their places on a node.

    All methods raise OSError if the cluster can't be reached or refuses.
    """

    def hosts(self) -> dict[str, FleetHost]:
        """Return the hosts that the cluster knows by their names, live ones and ended ones."""
        ...

    def start(self, number: int) -> None:
        """Start a host, which gets a name that no host before had."""
        ...

    def forget(self, name: str) -> None:
        """Delete what the cluster keeps about a host that has ended."""
        ...


@dataclass(frozen=True)
class FleetSize:
    """How large the fleet may become."""

    slots: int
    """How many jobs each host trains at the same time."""
    most: int
    """How many hosts there may be."""

    def wanted(self, demand: Demand) -> int:
        """Return how many hosts there should be; no host is missing while no job waits."""
        if not demand.queued:
            return 0
        return min(self.most, -(-(demand.queued + demand.running) // self.slots))


class FleetSizer:
    """Starts the hosts that are missing, in a thread of its own.

    So a cluster that is slow, or out of reach, never keeps the dispatchers waiting. What it says of
    its hosts decides about no job: only heartbeats do. If two lead for a moment, there may be a
    host too many until it has been idle for long enough.
    """

    def __init__(
        self,
        fleet: Fleet,
        size: FleetSize,
        count: Callable[[int], Demand],
        is_leading: Callable[[], bool],
        clock: Clock = time,
    ) -> None:
        """Create it; nothing happens before `start` or `step`.

        Args:
            fleet: the hosts.
            size: how many there may be.
            count: returns how many jobs wait and run; no more of each than its argument.
            is_leading: asks whether this process sizes the fleet; it may raise StoreBroken.
            clock: the module `time`, or a test's replacement for it.

        """
        self._fleet, self._size, self._count = fleet, size, count
        self._is_leading, self._clock = is_leading, clock
        self._may_have_hosts = True
        """Whether the cluster may know hosts; while it does not, an idle fleet asks it nothing."""
        self._next_for_large = clock.monotonic()
        """When a host may be started to see whether it has room for a large job."""
        self._errors = self._failures = 0
        self._last_failure = self._next_start = clock.monotonic()
        self._ended: dict[str, float] = {}
        """When hosts were seen to have ended: a cluster may tell of them again for a while."""
        self._woken, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="fleet", daemon=True)

    def start(self) -> None:
        """Look at the queue and at the fleet from time to time."""
        self._thread.start()

    def wake(self) -> None:
        """Look now, because a job has been queued."""
        self._woken.set()

    def stop(self) -> None:
        """Start no more hosts; those that run go on."""
        self._stopped.set()
        self._woken.set()

    def join(self) -> None:
        """Wait a moment for a look that is under way, after `stop`."""
        self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._woken.clear()
            seconds = self.try_step()
            at_least = seconds if self._errors else LEAST_SECONDS
            if not self._stopped.wait(at_least):
                self._woken.wait(seconds - at_least)

    def try_step(self) -> float:
        """Look once; return the seconds until the next look."""
        try:
            seconds = self.step()
        except (StoreBroken, OSError) as exc:
            seconds = _delay(AFTER_ERRORS, self._errors)
            self._errors += 1
            logger.warning("fleet_unreachable", error=str(exc), seconds_to_wait=seconds)
        else:
            self._errors = 0
        return seconds

    def step(self) -> float:
        """Start the hosts that are missing, and forget those that have ended.

        Returns:
            The seconds until the next look.

        Raises:
            StoreBroken: the database can't be read.
            OSError: the cluster can't be reached or refuses.

        """
        if not self._is_leading():
            self._may_have_hosts = True
            return IDLE_SECONDS
        demand = self._count(self._size.slots * self._size.most)
        wanted = self._size.wanted(demand)
        if demand.large and self._clock.monotonic() >= self._next_for_large:
            wanted = max(1, wanted)
        if wanted or self._may_have_hosts:
            self._fill(wanted)
        return BUSY_SECONDS if demand.queued else IDLE_SECONDS

    def _fill(self, wanted: int) -> None:
        found = self._fleet.hosts()
        self._note_failures(found)
        self._forget(name for name, host in found.items() if not host.is_live)
        live = [host.number for host in found.values() if host.is_live]
        self._may_have_hosts = bool(found)
        if self._clock.monotonic() < self._next_start:
            return
        free = (number for number in range(1, self._size.most + 1) if number not in live)
        for number, _ in zip(free, range(wanted - len(live)), strict=False):
            self._may_have_hosts = True
            self._fleet.start(number)
            self._next_for_large = self._clock.monotonic() + LARGE_SECONDS
            logger.info("fleet_host_started", number=number, wanted=wanted, live=len(live))

    def _note_failures(self, found: dict[str, FleetHost]) -> None:
        """Wait ever longer before the next start if hosts fail one after another."""
        now = self._clock.monotonic()
        ended = [name for name, host in found.items() if not host.is_live]
        failed = [name for name in ended if found[name].failure and name not in self._ended]
        for name in failed:
            logger.warning("fleet_host_failed", name=name, why=found[name].failure)
        known = self._ended | dict.fromkeys(ended, now)
        self._ended = {name: at for name, at in known.items() if now - at < QUIET_SECONDS}
        if now - self._last_failure > QUIET_SECONDS:
            self._failures = 0
        if failed:
            self._next_start = now + _delay(AFTER_FAILED_HOSTS, self._failures)
            self._failures += 1
            self._last_failure = now

    def _forget(self, ended: Iterable[str]) -> None:
        """Forget hosts; if the cluster refuses, the next look tries again."""
        for name in ended:
            try:
                self._fleet.forget(name)
            except OSError as exc:
                logger.warning("fleet_host_unforgotten", name=name, error=str(exc))
                return
            logger.info("fleet_host_ended", name=name)


def _delay(delays: tuple[float, ...], failures: int) -> float:
    return delays[min(failures, len(delays) - 1)]
