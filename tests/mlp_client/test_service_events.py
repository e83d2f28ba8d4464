"""Following all jobs of a server, over broken connections and to the end of the key."""

import asyncio
from itertools import islice

import pytest

from mlp_client import AsyncClient, Client
from mlp_client.errors import KeyRefused
from mlp_client.job_changes import POLL_SECONDS
from mlp_client.service_events import ServiceEvent
from tests.support.fake_service import FakeService, make_job, message, problem
from tests.support.server_process import Server

HELLO = {"instance": "5d0f", "web": "", "cursor": 7, "reset": True, "system": {}}
EPOCH = {"job": "job_1", "epoch": 1, "test_accuracy": 0.9, "test_loss": 0.3}
STREAMS = (
    [message("hello", HELLO, 7), message("epoch", EPOCH, 9), message("progress", {})],
    [message("ping", {}, 12), message("epoch", EPOCH, "x")],  # type: ignore[arg-type]  # damaged
    [message("job", {"id": "job_1", "deleted": True}, 13)],
)
EXPECTED = [("hello", 7), ("epoch", 9), ("progress", 9), ("job", 13)]


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("watch", "async_watch"):
        monkeypatch.setattr(f"mlp_client.{module}.job_changes.POLL_SECONDS", POLL_SECONDS / 100)


def service_that_ends() -> FakeService:
    """A service whose stream breaks twice; then the key is revoked."""
    service = FakeService()
    service.streams.extend(STREAMS)
    return service


def resumed_at(service: FakeService) -> list[str | None]:
    asked = [it for it in service.requests if it.url.path == "/v1/events"]
    return [it.headers.get("Last-Event-ID") for it in asked]


def revoke_after(service: FakeService, event: ServiceEvent) -> None:
    if event.cursor == 13:
        service.faults.append(problem(401, "The key was revoked.", code="unauthenticated"))


def test_a_broken_stream_goes_on_behind_the_last_event_until_the_key_ends() -> None:
    service, found = service_that_ends(), list[tuple[str, int]]()

    def follow() -> None:
        with service.client() as client:
            for event in client.events():
                found.append((event.type, event.cursor))
                revoke_after(service, event)

    with pytest.raises(KeyRefused, match="revoked"):
        follow()
    assert found == EXPECTED
    assert resumed_at(service) == [None, "9", "12"]


def test_the_asynchronous_client_does_the_same() -> None:
    service, found = service_that_ends(), list[tuple[str, int]]()

    async def follow() -> None:
        async with service.async_client() as client:
            async for event in client.events(after=3):
                found.append((event.type, event.cursor))
                revoke_after(service, event)

    with pytest.raises(KeyRefused, match="revoked"):
        asyncio.run(follow())
    assert found == EXPECTED
    assert resumed_at(service) == ["3", "9", "12"]


def test_an_event_knows_its_job() -> None:
    job = make_job("job_1")
    whole = ServiceEvent(type="job", cursor=1, data=job.model_dump(mode="json"))
    assert (whole.job, whole.job_id) == (job, "job_1")
    deleted = ServiceEvent(type="job", cursor=2, data={"id": "job_1", "deleted": True})
    assert (deleted.job, deleted.job_id) == (None, "job_1")
    assert ServiceEvent(type="epoch", cursor=3, data=EPOCH).job_id == "job_1"
    assert ServiceEvent(type="progress", cursor=3, data={"job_1": {}}).job_id is None


def test_the_events_of_a_real_service_arrive(idle_server: Server) -> None:
    with Client(idle_server.url) as client:
        job = client.jobs.create("linear", name="seven")
        job.cancel()
        hello, *events = islice(client.events(after=0), 3)
    assert (hello.type, hello.data["reset"]) == ("hello", False)
    assert events[0].cursor < events[1].cursor
    assert [(it.job_id, it.job and it.job.state) for it in events] == [(job.id, "cancelled")] * 2

    async def first() -> str:
        async with AsyncClient(idle_server.url) as client:
            async for event in client.events():
                return event.type
        return ""

    assert asyncio.run(first()) == "hello"
