"""Live events: one reader of the database for all listeners, however many there are."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator

import structlog
from fastapi.concurrency import run_in_threadpool

from service.api.dependencies import News
from service.domain.errors import JobNotFound
from service.domain.job_state import FINAL
from service.store.jobs import JobStore

TICK_SECONDS = 0.25
logger = structlog.get_logger(__name__)

MAX_WAITING = 1000
"""Batches a slow listener may fall behind before it is sent away; it comes back by event id."""


class EventFeed:
    """Follows the jobs that anyone listens to."""

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs
        self._listeners: defaultdict[str, set[asyncio.Queue[News | None]]] = defaultdict(set)
        self._sent: dict[str, int] = {}  # number of the last event handed out, by job
        self._seen: dict[str, tuple[int, int, str]] = {}
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def follow(self, id_: str, history: News, after: int) -> AsyncGenerator[News]:
        """Yield `history`, then what is new about a job, until it is final or the server stops.

        Args:
            after: the number of the event that `history` begins behind.
        """
        job, events = history
        yield history
        if job.state in FINAL or self._closed:
            return
        last = events[-1].number if events else after
        queue: asyncio.Queue[News | None] = asyncio.Queue(MAX_WAITING)
        self._join(id_, queue)
        try:
            # A client may say any number; what it says must not hide events from other listeners.
            count, _, _ = (await run_in_threadpool(self._jobs.news, [id_])).get(id_, (0, 0, ""))
            last = min(last, count)
            # What happened between reading the history and joining is read once more.
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
            return  # deleted since the history was read
        finally:
            self._part(id_, queue)

    def close(self) -> None:
        """End all streams: the server is about to stop."""
        self._closed = True
        for queues in self._listeners.values():
            for queue in queues:
                _send(queue, None)
        if self._task:
            self._task.cancel()

    def _join(self, id_: str, queue: asyncio.Queue[News | None]) -> None:
        self._listeners[id_].add(queue)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._read())

    def _part(self, id_: str, queue: asyncio.Queue[News | None]) -> None:
        self._listeners[id_].discard(queue)
        if not self._listeners[id_]:
            for table in (self._listeners, self._sent, self._seen):
                table.pop(id_, None)

    async def _read(self) -> None:
        """Hand out what is new, as long as anyone listens."""
        while self._listeners:
            try:
                await self._tick()
            except Exception as exc:  # a failing database is tried again
                logger.warning("tail_failed", error=repr(exc))
            await asyncio.sleep(TICK_SECONDS)

    async def _tick(self) -> None:
        followed = list(self._sent)  # others may join while this waits
        news = await run_in_threadpool(self._jobs.news, followed)
        for id_ in followed:
            if id_ not in news:  # deleted
                self._tell(id_, None)
            elif news[id_] != self._seen.get(id_):
                job, events = await run_in_threadpool(
                    self._jobs.events, id_, self._sent.get(id_, 0)
                )
                if id_ not in self._sent:
                    continue  # its last listener has left meanwhile
                self._seen[id_] = news[id_]
                if events:
                    self._sent[id_] = events[-1].number
                self._tell(id_, (job, events))

    def _tell(self, id_: str, news: News | None) -> None:
        for queue in self._listeners.get(id_, ()):
            _send(queue, news)


def _send(queue: asyncio.Queue[News | None], news: News | None) -> None:
    if queue.full():
        while not queue.empty():
            queue.get_nowait()
        news = None
    queue.put_nowait(news)
