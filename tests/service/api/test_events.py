"""The event streams: complete, in order and resumable; they end with the job or the server."""

import gc
import json
import threading
import time
from collections.abc import Set
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.domain.errors import StoreBroken
from service.server import key_ring
from service.server.event_feed import EventFeed
from service.store.api_keys import ApiKeyStore
from service.store.attempts import Attempt
from service.store.stored_job import StoredEvent, StoredJob
from tests.conftest import submit
from tests.service.conftest import World
from tests.support.live_service import Live, Sent, claimed, messages, record, succeed
from tests.support.server_process import eventually


class Listener:
    """Reads a stream in a thread of its own."""

    def __init__(self, live: Live, job: str, after: int | None = None) -> None:
        self.messages: list[Sent] = []
        self.ended = threading.Event()
        headers = {"Last-Event-ID": str(after)} if after is not None else {}
        self.arguments = (live.http, f"/v1/jobs/{job}/events", headers)
        self.thread = threading.Thread(target=self.listen)
        self.thread.start()

    def listen(self) -> None:
        http, path, headers = self.arguments
        with http.stream("GET", path, headers=headers) as answer:
            self.status = answer.status_code
            for message in messages(answer.iter_lines()):
                self.messages.append(message)
        self.ended.set()

    def numbers(self) -> list[int]:
        return [int(message.id) for message in self.messages if message.id]

    def wait_for(self, number: int) -> None:
        eventually(lambda: number in self.numbers(), f"event {number}", 10)

    def end(self) -> list[Sent]:
        assert self.ended.wait(10), self.messages
        self.thread.join()
        return self.messages


@dataclass(frozen=True)
class RunningJob:
    id: str
    attempt: Attempt
    live: Live


@pytest.fixture
def running(live: Live) -> RunningJob:
    job = submit(live.jobs, epochs=50)
    return RunningJob(job, claimed(live.database), live)


def listeners(live: Live) -> Set[str]:
    feed: EventFeed = live.app.state.components.event_feed
    return feed.followed


def test_the_stream_of_a_finished_job_has_all_its_events(reader: TestClient, world: World) -> None:
    answer = reader.get(f"/v1/jobs/{world.linear}/events")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    sent = list(messages(answer.text.splitlines()))
    assert [message.id for message in sent] == ["1", "2", "3", "4", "5"]
    assert [message.event for message in sent] == ["state", "state", "epoch", "epoch", "state"]
    data = [json.loads(message.data) for message in sent]
    assert [data[n]["state"] for n in (0, 1, 4)] == ["queued", "running", "succeeded"]
    epochs = reader.get(f"/v1/jobs/{world.linear}/epochs").json()["data"]
    assert [{name: data[n][name] for name in epochs[0]} for n in (2, 3)] == epochs
    assert sorted(entry["at"] for entry in data) == [entry["at"] for entry in data]


@pytest.mark.parametrize(("after", "rest"), [(0, [1, 2, 3, 4, 5]), (2, [3, 4, 5]), (4, [5])])
def test_a_stream_continues_after_the_last_event_that_the_client_has(
    reader: TestClient, world: World, after: int, rest: list[int]
) -> None:
    path, headers = f"/v1/jobs/{world.linear}/events", {"Last-Event-ID": str(after)}
    sent = messages(reader.get(path, headers=headers).text.splitlines())
    assert [message.id for message in sent] == [str(number) for number in rest]


@pytest.mark.parametrize("after", [5, 6, 2**31])
def test_a_client_that_has_all_events_gets_204_and_does_not_reconnect(
    reader: TestClient, world: World, after: int
) -> None:
    headers = {"Last-Event-ID": str(after)}
    answer = reader.get(f"/v1/jobs/{world.linear}/events", headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("junk", ["x", "-1", "1.5", "", "9" * 30, "1e0", "0x1"])
def test_a_last_event_id_that_is_not_a_number_is_refused(
    reader: TestClient, world: World, junk: str
) -> None:
    headers = {"Last-Event-ID": junk}
    answer = reader.get(f"/v1/jobs/{world.linear}/events", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert answer.json()["errors"][0]["pointer"] == "header last-event-id"


@pytest.mark.parametrize(
    ("query", "header", "rest"),
    [
        ("lastEventId=3", None, [4, 5]),
        ("lastEventId=3&_=17", None, [4, 5]),
        ("lastEventId=1&lastEventId=4", None, [5]),
        ("lastEventId=", None, [1, 2, 3, 4, 5]),
        ("lastEventId=1", "4", [5]),
        ("lastEventId=4", "0", [1, 2, 3, 4, 5]),
        ("_=17&t=3", None, [1, 2, 3, 4, 5]),
    ],
)
def test_a_polyfill_may_send_the_last_event_id_in_the_query(
    reader: TestClient, world: World, query: str, header: str | None, rest: list[int]
) -> None:
    headers = {"Last-Event-ID": header} if header else {}
    answer = reader.get(f"/v1/jobs/{world.linear}/events?{query}", headers=headers)
    sent = messages(answer.text.splitlines())
    assert [message.id for message in sent] == [str(number) for number in rest]


@pytest.mark.parametrize("junk", ["x", "-1", "1.5", "9" * 30, "%00"])
def test_a_last_event_id_in_the_query_that_is_not_a_number_is_refused(
    reader: TestClient, world: World, junk: str
) -> None:
    answer = reader.get(f"/v1/jobs/{world.linear}/events?lastEventId={junk}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert answer.json()["errors"][0]["pointer"] == "?lastEventId"


def test_events_arrive_while_the_job_runs_and_the_stream_ends_with_it(
    running: RunningJob,
) -> None:
    listener = Listener(running.live, running.id)
    listener.wait_for(2)
    record(running.attempt, 1)
    listener.wait_for(3)
    assert not listener.ended.is_set()
    succeed(running.attempt)
    numbered = [message for message in listener.end() if message.id]
    assert [message.event for message in numbered] == ["state", "state", "epoch", "state"]
    assert json.loads(numbered[-1].data)["state"] == "succeeded"


def test_progress_inside_an_epoch_is_sent_without_a_number(running: RunningJob) -> None:
    listener = Listener(running.live, running.id)
    listener.wait_for(2)
    running.attempt.heartbeat((0, 469))

    def halfway() -> list[dict[str, Any]]:
        sent = [json.loads(m.data) for m in listener.messages if m.event == "progress"]
        return [progress for progress in sent if progress["batches_done"] == 469]

    [progress, *_] = eventually(halfway, "the progress", 10)
    assert progress["fraction"] == pytest.approx(469 / 938 / 50)
    assert all(m.id is None for m in listener.messages if m.event == "progress")
    succeed(running.attempt)
    listener.end()


def test_all_listeners_get_every_event_once_and_in_order(running: RunningJob) -> None:
    early = [Listener(running.live, running.id) for _ in range(2)]
    late = []
    for number in range(1, 31):
        record(running.attempt, number)
        if number in (10, 20):
            late.append(Listener(running.live, running.id, after=number // 2))
    succeed(running.attempt)
    for listener in early + late:
        listener.end()
    assert [listener.numbers() for listener in early] == [list(range(1, 34))] * 2
    assert [listener.numbers() for listener in late] == [list(range(6, 34)), list(range(11, 34))]


def test_a_client_that_is_up_to_date_gets_no_event_twice(running: RunningJob) -> None:
    record(running.attempt, 1, 2)
    listener = Listener(running.live, running.id, after=4)
    eventually(lambda: listener.messages, "the progress", 10)
    record(running.attempt, 3)
    succeed(running.attempt)
    listener.end()
    assert listener.numbers() == [5, 6]


def test_a_listener_with_a_future_event_id_hides_nothing_from_others(
    running: RunningJob,
) -> None:
    liar = Listener(running.live, running.id, after=2_000_000_000)
    eventually(lambda: liar.messages, "the progress", 10)
    honest = Listener(running.live, running.id)
    honest.wait_for(2)
    for number in range(1, 4):
        record(running.attempt, number)
    succeed(running.attempt)
    liar.end()
    honest.end()
    assert honest.numbers() == list(range(1, 7))
    assert liar.numbers() == list(range(3, 7))


def test_a_deleted_jobs_stream_ends(live: Live) -> None:
    job = submit(live.jobs)
    listener = Listener(live, job)
    listener.wait_for(1)
    assert live.http.delete(f"/v1/jobs/{job}").status_code == 204
    listener.end()
    assert listener.numbers() == [1]


def test_all_streams_end_when_the_server_stops(running: RunningJob) -> None:
    others = [Listener(running.live, submit(running.live.jobs)) for _ in range(2)]
    heard = [Listener(running.live, running.id), *others]
    for listener in heard:
        listener.wait_for(1)
    running.live.stop()
    for listener in heard:
        listener.end()


def test_a_listener_that_leaves_is_forgotten(running: RunningJob) -> None:
    with running.live.http.stream("GET", f"/v1/jobs/{running.id}/events") as answer:
        lines = answer.iter_lines()
        next(lines)
        eventually(lambda: listeners(running.live), "the listener")
    eventually(lambda: not listeners(running.live), "the listener to be forgotten", 20)


def test_a_listener_that_leaves_while_news_is_read_is_forgotten_immediately(
    running: RunningJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, reading, left = running.live.jobs.events, threading.Event(), threading.Event()

    def late(id_: str, after: int) -> tuple[StoredJob, list[StoredEvent]]:
        if listeners(running.live):
            reading.set()
            left.wait(10)
        return read(id_, after)

    monkeypatch.setattr(running.live.jobs, "events", late)
    gc.disable()  # the collector would also close the stream, but at an unknown time
    try:
        with running.live.http.stream("GET", f"/v1/jobs/{running.id}/events"):
            assert reading.wait(10)
        time.sleep(0.1)  # the server notices the client, and still has an answer to send
        left.set()
        eventually(lambda: not listeners(running.live), "the listener to be forgotten", 10)
    finally:
        gc.enable()


def test_a_failing_database_does_not_end_a_stream(
    running: RunningJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener(running.live, running.id)
    listener.wait_for(2)
    failures = []

    def broken(_: object) -> None:
        failures.append(1)
        raise RuntimeError("no database")

    monkeypatch.setattr(running.live.jobs, "news", broken)
    record(running.attempt, 1)
    eventually(lambda: len(failures) > 1, "a second try", 10)
    monkeypatch.undo()
    succeed(running.attempt)
    listener.end()
    assert listener.numbers() == [1, 2, 3, 4]


def test_a_stream_ends_when_its_key_can_not_be_looked_up_and_can_be_resumed(
    running: RunningJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener(running.live, running.id)
    listener.wait_for(2)

    def broken(_: object) -> None:
        raise StoreBroken("the database failed")

    monkeypatch.setattr(ApiKeyStore, "all", broken)
    time.sleep(key_ring.KEY_CACHE_SECONDS)
    record(running.attempt, 1)
    listener.end()
    assert listener.numbers() == [1, 2]
    monkeypatch.undo()
    time.sleep(key_ring.KEY_CACHE_SECONDS)
    succeed(running.attempt)
    again = Listener(running.live, running.id, after=2)
    again.end()
    assert again.numbers() == [3, 4]
