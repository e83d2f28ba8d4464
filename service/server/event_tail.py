"""Follows the events of all jobs for all listeners, with one look at the store in each tick."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

import structlog
from fastapi.concurrency import run_in_threadpool

from service.api.ticks import Listener, Saved, Tick
from service.domain.errors import StoreBroken
from service.domain.principal import Principal
from service.server.listener_queue import end_now
from service.store.event_log import JOB_EVENTS, EventLog, Logged
from service.store.hosts import Host
from service.store.job_counts import Counts
from service.store.stored_job import StoredJob

POLL_SECONDS = 0.25
PING_SECONDS = 10.0
MAX_EVENTS = 500
"""Most events in a tick; if there are more, the next tick follows at once."""
MAX_QUEUED = 240
"""Most ticks that may wait for a slow listener, a minute's. Beyond that its stream ends, and its
client reconnects behind the last event that it has."""
COUNTED = (*JOB_EVENTS, "deleted")
"""The types of events that may change how many jobs are in a state."""

logger = structlog.get_logger(__name__)


class EventTail:
    """Looks at the store as long as somebody listens, and hands every tick to all listeners."""

    def __init__(
        self,
        log: EventLog,
        count: Callable[[], Counts],
        checks: Mapping[str, Callable[[], bool]],
        hosts: Callable[[], Sequence[Host] | None] = lambda: None,
    ) -> None:
        """Create a tail; nothing is read before somebody listens.

        Args:
            log: the events of all jobs.
            count: counts the jobs of all owners.
            checks: the conditions for the service to be ready, by name.
            hosts: returns the hosts; None if there are no others.

        """
        self._hosts = hosts
        self._log, self._count, self._checks = log, count, checks
        self._listeners: set[Listener] = set()
        self._starting = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._next_ping = 0.0
        self._closed = False

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    @property
    def is_polling(self) -> bool:
        return self._task is not None and not self._task.done()

    async def join(self, principal: Principal) -> Listener:
        """Begin to listen; `leave` must follow.

        Raises:
            StoreBroken: the store can't be read, or the server is about to stop.

        """
        async with self._starting:  # the first of those who come together reads for all
            if not self.is_polling:
                self._latest = await run_in_threadpool(self._first)
                self._next_ping = time.monotonic() + PING_SECONDS
        if self._closed:
            raise StoreBroken("the server is about to stop")
        listener = Listener(principal, self._latest, asyncio.Queue(MAX_QUEUED))
        self._listeners.add(listener)
        if not self.is_polling:
            self._task = asyncio.create_task(self._poll())
        return listener

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    def close(self) -> None:
        """End all streams, because the server is about to stop."""
        self._closed = True
        for listener in list(self._listeners):
            self._end(listener)
        if self._task:
            self._task.cancel()

    async def _poll(self) -> None:
        while self._listeners:
            if len(self._latest.logged.events) < MAX_EVENTS:
                await asyncio.sleep(POLL_SECONDS)
            try:
                await self._end_invalid()
                before = self._latest
                self._latest = await run_in_threadpool(self._next, before)
            except Exception as exc:  # try again, also if the database fails
                logger.warning("event_tail_failed", error=repr(exc))
                await asyncio.sleep(POLL_SECONDS)
            else:
                self._publish(before, self._latest)

    def _publish(self, before: Tick, tick: Tick) -> None:
        if not tick.is_news_after(before):
            return
        for listener in list(self._listeners):
            if listener.queue.full():
                self._end(listener)
            else:
                listener.queue.put_nowait(tick)

    def _end(self, listener: Listener) -> None:
        """End a stream, whose listener does not get what is queued."""
        end_now(listener.queue)
        self.leave(listener)

    async def _end_invalid(self) -> None:
        """End the streams of keys that are no longer valid, or can't be looked up."""
        for listener in list(self._listeners):
            try:
                valid = await listener.principal.still_valid()
            except StoreBroken:  # the client reconnects, and gets 503 until the store works again
                valid = False
            if not valid:
                self._end(listener)

    def _first(self) -> Tick:
        cursor = self._log.newest()
        nothing, active = self._log.news(cursor, 0)
        kept = self._log.newest_kept([job.id for job in active])
        counts, checks, hosts = self._count(), self._checked(), self._hosts()
        return Tick(nothing, cursor, active, [], kept, counts, checks, hosts)

    def _next(self, before: Tick) -> Tick:
        """Look at the store, in a thread."""
        logged, active = self._log.news(before.cursor, MAX_EVENTS)
        pings = time.monotonic() >= self._next_ping
        if pings:
            self._next_ping = time.monotonic() + PING_SECONDS
        saved = _saved(before, logged, active)
        kept = {**before.kept, **self._log.newest_kept([job.id for job in saved])}
        is_counted = any(event.type in COUNTED for event in logged.events)
        return Tick(
            logged,
            logged.events[-1].seq if logged.events else before.cursor,
            active,
            [Saved(job, kept.get(job.id) != before.kept.get(job.id)) for job in saved],
            {job.id: kept[job.id] for job in active if job.id in kept},
            self._count() if is_counted else before.counts,
            self._checked() if pings else before.checks,
            self._hosts() if pings else before.hosts,
            pings,
        )

    def _checked(self) -> dict[str, bool]:
        return {name: check() for name, check in self._checks.items()}


def _saved(before: Tick, logged: Logged, active: list[StoredJob]) -> list[StoredJob]:
    """Return the jobs that have, or had until now, a worker and have a newer checkpoint."""
    known = {job.id: job.checkpoint for job in before.active}
    ended = [job for job in logged.jobs.values() if job.id in known]
    found = {job.id: job for job in (*ended, *active)}
    return [job for job in found.values() if job.checkpoint and job.checkpoint != known.get(job.id)]
