"""The tail behind the stream of all jobs; ../api/test_stream.py tests what is sent."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from service.api.ticks import Listener
from service.domain.errors import StoreBroken
from service.domain.principal import Principal
from service.server import event_tail
from service.server.event_tail import EventTail
from service.store.event_log import EventLog, Logged
from service.store.job_counts import count_jobs
from service.store.jobs import JobStore
from service.store.sql.database import Database
from service.store.stored_job import StoredJob
from tests.conftest import submit

ADMIN = Principal(None, frozenset({"admin"}))


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_tail, "POLL_SECONDS", 0.005)


@pytest.fixture
def tail(database: Database) -> EventTail:
    return EventTail(EventLog(database), lambda: count_jobs(database), {"fine": lambda: True})


async def numbers(listener: Listener, last: int) -> list[int]:
    """Return the numbers of the events that a listener gets, up to the last one or the end."""
    found: list[int] = []
    async with asyncio.timeout(10):
        while last not in found and (tick := await listener.queue.get()):
            found += [event.seq for event in tick.logged.events]
    return found


async def end_of_polling(tail: EventTail) -> None:
    async with asyncio.timeout(5):
        while tail.is_polling:  # noqa: ASYNC110  a tail has no event for this
            await asyncio.sleep(0.001)


def closed(tail: EventTail, use: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine function, and close the tail afterwards."""

    async def run() -> None:
        try:
            await use()
        finally:
            tail.close()

    asyncio.run(run())


def test_listeners_get_what_happens_after_they_came(tail: EventTail, jobs: JobStore) -> None:
    async def use() -> None:
        submit(jobs)
        early = await tail.join(ADMIN)
        assert early.start.cursor == 1
        submit(jobs)
        assert await numbers(early, 2) == [2]
        late = await tail.join(ADMIN)
        assert late.start.cursor == 2
        submit(jobs)
        assert await numbers(early, 3) == await numbers(late, 3) == [3]

    closed(tail, use)


def test_who_comes_during_a_look_misses_nothing_and_gets_nothing_twice(
    tail: EventTail, jobs: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    news, looking, go_on = EventLog.news, threading.Event(), threading.Event()

    def slow(log: EventLog, after: int, most: int) -> tuple[Logged, list[StoredJob]]:
        found = news(log, after, most)
        if found[0].events:
            looking.set()
            assert go_on.wait(10)
        return found

    monkeypatch.setattr(EventLog, "news", slow)

    async def use() -> None:
        first = await tail.join(ADMIN)
        submit(jobs)
        await asyncio.to_thread(looking.wait, 10)
        second = await tail.join(ADMIN)
        go_on.set()
        assert await numbers(first, 1) == [1]
        # The cursor is the one before the look, so the look brings the event.
        assert second.start.cursor == 0
        assert await numbers(second, 1) == [1]

    closed(tail, use)


def test_a_slow_listener_is_sent_away_and_the_others_get_everything(
    tail: EventTail, jobs: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_tail, "MAX_QUEUED", 5)

    async def use() -> None:
        slow, quick = await tail.join(ADMIN), await tail.join(ADMIN)
        got: list[int] = []
        for number in range(1, 11):
            submit(jobs)
            got += await numbers(quick, number)
        assert got == list(range(1, 11))
        assert await numbers(slow, 11) == []
        assert slow.queue.empty()
        assert tail.listeners == 1

    closed(tail, use)


def test_a_key_that_is_not_valid_any_more_ends_its_own_streams_only(
    tail: EventTail, jobs: JobStore
) -> None:
    answers = {"valid": True}

    async def still_valid() -> bool:
        return answers["valid"]

    async def broken() -> bool:
        raise StoreBroken("the keys can't be read")

    async def use() -> None:
        good = await tail.join(ADMIN)
        revoked = await tail.join(Principal("ada", frozenset({"read"}), still_valid))
        unknown = await tail.join(Principal("bob", frozenset({"read"}), broken))
        answers["valid"] = False
        submit(jobs)
        assert await numbers(good, 1) == [1]
        assert await numbers(unknown, 1) == []
        assert await numbers(revoked, 1) == []
        assert tail.listeners == 1

    closed(tail, use)


def test_nobody_is_let_in_while_the_server_stops(tail: EventTail) -> None:
    async def use() -> None:
        listener = await tail.join(ADMIN)
        tail.close()
        assert await numbers(listener, 1) == []
        with pytest.raises(StoreBroken, match="about to stop"):
            await tail.join(ADMIN)

    closed(tail, use)


def test_without_listeners_the_store_is_left_alone(
    tail: EventTail, jobs: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use() -> None:
        listener = await tail.join(ADMIN)
        assert tail.is_polling
        tail.leave(listener)
        await end_of_polling(tail)
        submit(jobs)
        again = await tail.join(ADMIN)
        assert again.start.cursor == 1

    closed(tail, use)


def test_many_events_are_looked_at_in_several_ticks_without_a_pause(
    tail: EventTail, jobs: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_tail, "MAX_EVENTS", 4)

    async def use() -> None:
        listener = await tail.join(ADMIN)
        for _ in range(18):
            submit(jobs)
        assert await numbers(listener, 18) == list(range(1, 19))

    closed(tail, use)
