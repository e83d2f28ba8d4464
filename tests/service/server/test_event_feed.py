"""The feed behind the event streams, over a fake store; ../api/test_events.py tests the streams."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import cast

import anyio
import pytest

from mlp_client.job_state import State
from service.api.dependencies import News
from service.domain.errors import JobNotFound
from service.server import event_feed
from service.server.broken_streams import IgnoreBrokenStream
from service.server.event_feed import EventFeed
from service.store.jobs import JobStore


class FakeJobs:
    """The part of a JobStore that an EventFeed needs, with one job."""

    def __init__(self, state: State = State.RUNNING) -> None:
        self.state = state
        self.list: list[SimpleNamespace] = []
        self.gone = False

    def add(self, state: State = State.RUNNING) -> None:
        self.list.append(SimpleNamespace(number=len(self.list) + 1))
        self.state = state

    def events(self, id_: str, after: int = 0) -> News:
        if self.gone:
            raise JobNotFound(id_)
        found = [event for event in self.list if event.number > after]
        return cast(News, (SimpleNamespace(state=self.state), found))

    def news(self, ids: Sequence[str]) -> dict[str, tuple[int, int, str]]:
        return {} if self.gone else dict.fromkeys(ids, (len(self.list), 0, self.state))


def feed_of(jobs: FakeJobs) -> EventFeed:
    return EventFeed(cast(JobStore, jobs))


async def numbers_of(stream: AsyncIterator[News]) -> list[int]:
    return [event.number async for _, events in stream for event in events]


async def end_of_polling(feed: EventFeed) -> None:
    async with asyncio.timeout(5):
        while feed.is_polling:  # noqa: ASYNC110  a feed has no event for this
            await asyncio.sleep(0.001)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_feed, "POLL_SECONDS", 0.001)


@pytest.mark.usefixtures("fast")
def test_events_between_history_and_joining_are_not_missed() -> None:
    jobs = FakeJobs()
    jobs.add()
    history = jobs.events("j")
    jobs.add()
    jobs.add(State.SUCCEEDED)
    assert asyncio.run(numbers_of(feed_of(jobs).follow("j", history, 0))) == [1, 2, 3]


@pytest.mark.usefixtures("fast")
def test_a_job_deleted_before_joining_ends_the_stream() -> None:
    jobs = FakeJobs()
    jobs.add()
    history = jobs.events("j")
    jobs.gone = True
    assert asyncio.run(numbers_of(feed_of(jobs).follow("j", history, 0))) == [1]


@pytest.mark.usefixtures("fast")
def test_a_closed_feed_gives_the_history_only() -> None:
    jobs = FakeJobs()
    jobs.add()
    closed = feed_of(jobs)
    closed.close()
    assert asyncio.run(numbers_of(closed.follow("j", jobs.events("j"), 0))) == [1]


@pytest.mark.usefixtures("fast")
def test_a_slow_listener_is_disconnected_and_misses_nothing_when_it_reconnects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_feed, "MAX_QUEUED", 3)
    jobs = FakeJobs()

    async def listen() -> tuple[int, list[int]]:
        feed = feed_of(jobs)
        stream = feed.follow("j", jobs.events("j"), 0)
        got = [await anext(stream), await anext(stream)]
        for _ in range(20):  # it reads nothing meanwhile
            jobs.add()
            await asyncio.sleep(0.01)
        got += [news async for news in stream]
        assert sum(len(events) for _, events in got) < 20
        last = max((event.number for _, events in got for event in events), default=0)
        jobs.add(State.SUCCEEDED)
        return last, await numbers_of(feed.follow("j", jobs.events("j", last), last))

    last, rest = asyncio.run(listen())
    assert rest == list(range(last + 1, 22))


@pytest.mark.usefixtures("fast")
def test_polling_stops_when_nobody_listens() -> None:
    jobs = FakeJobs()

    async def listen() -> EventFeed:
        feed = feed_of(jobs)
        stream = feed.follow("j", jobs.events("j"), 0)
        await anext(stream)
        await anext(stream)
        assert feed.followed == {"j"}
        assert feed.is_polling
        await stream.aclose()
        await end_of_polling(feed)
        return feed

    assert not asyncio.run(listen()).followed


@pytest.mark.usefixtures("fast")
def test_a_listener_that_leaves_during_a_poll_leaves_nothing_behind() -> None:
    reading, left = threading.Event(), threading.Event()

    class SlowJobs(FakeJobs):
        def events(self, id_: str, after: int = 0) -> News:
            if self.list:
                reading.set()
                assert left.wait(5)
            return super().events(id_, after)

    jobs = SlowJobs()

    async def overtake() -> EventFeed:
        feed = feed_of(jobs)
        stream = feed.follow("j", jobs.events("j"), 0)
        await anext(stream)
        await anext(stream)
        jobs.add()
        await asyncio.to_thread(reading.wait, 5)
        await stream.aclose()
        left.set()
        await end_of_polling(feed)
        return feed

    assert not asyncio.run(overtake()).followed
    assert reading.is_set()


# --- Clients that leave while an event is sent ---


def raise_together(*errors: Exception) -> None:
    """Run a request that raises these errors inside `IgnoreBrokenStream`."""

    async def app(_: object, __: object, ___: object) -> None:
        raise ExceptionGroup("a stream's tasks", list(errors))

    async def unused(*_: object) -> None:
        raise AssertionError

    asyncio.run(IgnoreBrokenStream(app)({}, unused, unused))  # type: ignore[arg-type]  # a coroutine


def test_a_client_that_leaves_while_an_event_is_sent_is_no_error() -> None:
    raise_together(anyio.BrokenResourceError())


def test_another_error_while_a_client_leaves_is_still_an_error() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        raise_together(anyio.BrokenResourceError(), OSError("the disk"))
    assert [type(error) for error in raised.value.exceptions] == [OSError]
