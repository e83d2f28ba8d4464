"""Feeds all event streams from one reader of the database, however many clients listen."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Set

import structlog
from fastapi.concurrency import run_in_threadpool

from service.api.dependencies import News
from service.domain.errors import JobNotFound
from service.domain.job_state import FINAL
from service.server.listener_queue import put_or_end
from service.store.jobs import JobStore

POLL_SECONDS = 0.25
MAX_QUEUED = 1000
"""Most batches of news that may wait for a slow listener. Beyond that its stream ends, and its
client reconnects with the id of the last event that it has."""

logger = structlog.get_logger(__name__)


class EventFeed:
    """Polls the jobs that have listeners, and sends them what is new."""

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs
        self._listeners: defaultdict[str, set[asyncio.Queue[News | None]]] = defaultdict(set)
        self._sent: dict[str, int] = {}  # number of the last event passed on, by job
        self._seen: dict[str, tuple[int, int, str]] = {}  # what the last poll found, by job
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def followed(self) -> Set[str]:
        """Ids of the jobs about which any state is kept; each of them has a listener."""
        return self._listeners.keys() | self._sent.keys() | self._seen.keys()

    @property
    def is_polling(self) -> bool:
        return self._task is not None and not self._task.done()

    async def follow(self, id_: str, history: News, after: int) -> AsyncGenerator[News]:
        """Yield `history`, then what is new about a job, until it is final or the server stops.

        Args:
            id_: the job.
            history: the job, and its events after number `after`.
            after: number of the last event that the client has.
        """
        job, events = history
        yield history
        if job.state in FINAL or self._closed:
            return
        last = events[-1].number if events else after
        queue: asyncio.Queue[News | None] = asyncio.Queue(MAX_QUEUED)
        self._join(id_, queue)
        try:
            # Clients may send any number; it must not hide events from other listeners.
            count, _, _ = (await run_in_threadpool(self._jobs.news, [id_])).get(id_, (0, 0, ""))
            last = min(last, count)
            # Read again what happened between reading the history and joining.
            news: News | None = await run_in_threadpool(self._jobs.events, id_, last)
            while news is not None:
                job, events = news
                fresh = [event for event in events if event.number > last]
                last = fresh[-1].number if fresh else last
                self._sent.setdefault(id_, last)
                yield job, fresh
                if job.state in FINAL:
                    return
                news = await queue.get()
        except JobNotFound:
            return  # it was deleted after the history was read
        finally:
            self._leave(id_, queue)

    def close(self) -> None:
        """End all streams, because the server is about to stop."""
        self._closed = True
        for queues in self._listeners.values():
            for queue in queues:
                put_or_end(queue, None)
        if self._task:
            self._task.cancel()

    def _join(self, id_: str, queue: asyncio.Queue[News | None]) -> None:
        self._listeners[id_].add(queue)
        if not self.is_polling:
            self._task = asyncio.create_task(self._poll())

    def _leave(self, id_: str, queue: asyncio.Queue[News | None]) -> None:
        self._listeners[id_].discard(queue)
        if not self._listeners[id_]:
            for table in (self._listeners, self._sent, self._seen):
                table.pop(id_, None)

    async def _poll(self) -> None:
        """Send listeners what is new, as long as there are any."""
        while self._listeners:
            try:
                await self._poll_once()
            except Exception as exc:  # try again, also if the database fails
                logger.warning("event_feed_failed", error=repr(exc))
            await asyncio.sleep(POLL_SECONDS)

    async def _poll_once(self) -> None:
        followed = list(self._sent)  # others may join in the meantime
        news = await run_in_threadpool(self._jobs.news, followed)
        for id_ in followed:
            if id_ not in news:  # deleted
                self._publish(id_, None)
            elif news[id_] != self._seen.get(id_):
                job, events = await run_in_threadpool(
                    self._jobs.events, id_, self._sent.get(id_, 0)
                )
                if id_ not in self._sent:
                    continue  # its last listener has left in the meantime
                self._seen[id_] = news[id_]
                if events:
                    self._sent[id_] = events[-1].number
                self._publish(id_, (job, events))

    def _publish(self, id_: str, news: News | None) -> None:
        for queue in self._listeners.get(id_, ()):
            put_or_end(queue, news)
