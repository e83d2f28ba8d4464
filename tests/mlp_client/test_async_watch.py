"""Waiting for jobs with asyncio, and the events of a job with both clients."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import httpx2
import pytest

from mlp_client import (
    AsyncJobHandle,
    JobFailed,
    NotFoundError,
    WaitTimeout,
)
from mlp_client.records import Event
from tests.support.fake_service import (
    NOW,
    FakeService,
    Stream,
    epoch_message,
    make_epoch,
    make_job,
    message,
    state_message,
)

T = TypeVar("T")
DONE = make_job("job_1", "succeeded", done=3)


pytestmark = pytest.mark.usefixtures("quick_polls")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def job_of(service: FakeService, job_id: str = "job_1") -> AsyncJobHandle:
    return await service.async_client().jobs.get(job_id)


def test_wait_returns_the_job_in_its_final_state() -> None:
    service = FakeService()
    service.add(make_job("job_1"), [epoch_message(1, 3), DONE, state_message("succeeded", 6)])

    async def use() -> None:
        job = await job_of(service)
        assert await job.wait() is job
        assert job.metrics.final == make_epoch(3)

    run(use())


def test_a_broken_stream_is_resumed_after_the_last_event() -> None:
    service = FakeService()
    broken: Stream = [epoch_message(1, 3), message("progress", "{"), httpx2.ReadError("reset")]
    service.add(make_job("job_1"), broken, [DONE, state_message("succeeded", 6)])

    async def use() -> list[int]:
        job = await job_of(service)
        return [seen.progress.epochs_done async for seen in job.watch()]

    assert run(use()) == [0, 1, 0, 3]  # read, sent, read again from the fake, sent
    ids = [it.headers.get("Last-Event-ID") for it in service.requests if "events" in it.url.path]
    assert ids == [None, "3"]


def test_all_jobs_are_waited_for_before_a_failure_is_raised() -> None:
    service = FakeService()
    service.add(make_job("job_1", "failed", message="diverged"))
    service.add(make_job("job_2"), [make_job("job_2", "succeeded", done=3)])

    async def use() -> list[str]:
        client = service.async_client()
        jobs = [await client.jobs.get("job_1"), await client.jobs.get("job_2")]
        with pytest.raises(JobFailed, match="diverged"):
            await client.wait_all(jobs)
        return [job.state for job in jobs]

    assert run(use()) == ["failed", "succeeded"]


def test_wait_times_out_and_nothing_continues_in_the_background() -> None:
    service = FakeService()
    service.add(make_job("job_1", "paused"))
    service.add(make_job("job_2", "succeeded"))

    async def use() -> int:
        client = service.async_client()
        jobs = [await client.jobs.get(name) for name in ("job_1", "job_2")]
        began = time.monotonic()
        with pytest.raises(WaitTimeout) as caught:
            await client.wait_all(jobs, timeout=0.1)
        assert caught.value.jobs == ("job_1",)
        assert time.monotonic() - began < 10
        return len(asyncio.all_tasks())

    assert run(use()) == 1


def test_a_cancelled_wait_ends_and_leaves_the_job() -> None:
    service = FakeService()
    service.add(make_job("job_1", "paused"))

    async def use() -> int:
        waiting = asyncio.create_task((await job_of(service)).wait())
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return len(asyncio.all_tasks())

    assert run(use()) == 1
    assert not any("cancel" in path for path in service.paths())


def test_deleting_the_job_ends_the_waiting() -> None:
    service = FakeService()
    service.add(make_job("job_1", "paused"))

    async def use() -> None:
        job = await job_of(service)
        await job.delete()
        with pytest.raises(NotFoundError, match="There is no job 'job_1'"):
            await job.wait()

    run(use())


def test_waiting_for_no_jobs_ends_immediately() -> None:
    run(FakeService().async_client().wait_all([]))


# --- Events ---


class Finished(FakeService):
    """A service that answers as the true one when there are no more events."""

    def open_stream(self, request: httpx2.Request, job_id: str) -> httpx2.Response:
        return super().open_stream(request, job_id) if self.streams else httpx2.Response(204)


def eventful() -> FakeService:
    """A service whose first stream breaks, and which sends what no client knows."""
    service = Finished()
    broken: Stream = [
        numbered("state", 1, state="running"),
        message("progress", {"epochs_done": 0}),
        numbered("epoch", 2, epoch=1),
        httpx2.ReadError("reset"),
    ]
    rest = [numbered("confetti", 3), message("epoch", "{", 4), numbered("state", 5, state="failed")]
    service.add(make_job("job_1"), broken, rest)
    return service


def numbered(event: str, number: int, **data: Any) -> bytes:
    return message(event, {**data, "at": NOW.isoformat()}, number)


EVENTS = [
    Event(number=1, type="state", at=NOW, data={"state": "running"}),
    Event(number=2, type="epoch", at=NOW, data={"epoch": 1}),
    Event(number=5, type="state", at=NOW, data={"state": "failed"}),
]


def test_events_come_in_order_until_there_are_no_more_with_both_clients() -> None:
    assert list(eventful().client().jobs.get("job_1").events()) == EVENTS

    async def use() -> list[Event]:
        return [event async for event in (await job_of(eventful())).events()]

    assert run(use()) == EVENTS


def test_events_start_after_a_number_and_continue_after_the_last_one() -> None:
    service = eventful()
    list(service.client().jobs.get("job_1").events(after=7))
    ids = [it.headers["Last-Event-ID"] for it in service.requests if "events" in it.url.path]
    assert ids == ["7", "2", "5"]


def test_events_of_a_deleted_job_are_not_found() -> None:
    service = FakeService()
    service.add(make_job("job_1"))
    job = service.client().jobs.get("job_1")
    job.delete()
    with pytest.raises(NotFoundError):
        list(job.events())
