"""The stream of a data set: whole records, until its check or the data set itself ends."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.domain.errors import StoreBroken
from service.settings import Settings
from service.store.api_keys import ApiKeyStore
from service.store.check_attempts import CheckAttempt
from service.store.dataset_queue import DatasetQueue
from service.store.datasets import DatasetStore
from service.store.queue import Claim
from tests.service.api.test_event_schemas import described, validate
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.server.test_auth import bearer
from tests.support import small_uploads
from tests.support.dataset_requests import SETS, final, put
from tests.support.live_service import Live, Sent, messages
from tests.support.server_process import eventually

PATH = f"{SETS}/letters/events"
MNIST = f"{SETS}/mnist/events"


class Listener:
    """Reads the stream of `letters` in a thread of its own."""

    def __init__(self, live: Live, headers: dict[str, str] | None = None) -> None:
        self.messages: list[Sent] = []
        self.ended = threading.Event()
        self._arguments = (live, headers or {})
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        live, headers = self._arguments
        with live.http.stream("GET", PATH, headers=headers) as answer:
            for message in messages(answer.iter_lines()):
                self.messages.append(message)
        self.ended.set()

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(each.data) for each in self.messages if each.event == "dataset"]

    def wait_for(self, **values: Any) -> None:
        def look() -> list[dict[str, Any]]:
            return [it for it in self.records() if {**it, **values} == it]

        eventually(look, f"a record with {values}", 10)

    def end(self) -> list[Sent]:
        assert self.ended.wait(10), self.messages
        return self.messages


class Check:
    """A data set that a test checks by hand; no dispatcher claims it."""

    def __init__(self, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
        services = live.app.state.components.services
        self.live, self.sets, self.uploads = live, services.datasets, services.intake.uploads
        self._claim: Callable[[DatasetQueue], Claim | None] = DatasetQueue.claim
        monkeypatch.setattr(DatasetQueue, "claim", lambda *_: None)
        self.id = self.sets.receive("letters", {}, 10).id

    def queue(self) -> None:
        self.sets.received(self.id, ["letters.zip"], "5" * 64, 10)

    def begin(self) -> CheckAttempt:
        claimed = self._claim(DatasetQueue(self.live.database))
        assert claimed is not None
        files = self.sets.files
        return CheckAttempt(self.live.database, files, self.uploads, claimed.job, claimed.attempt)


@pytest.fixture
def check(live: Live, monkeypatch: pytest.MonkeyPatch) -> Check:
    return Check(live, monkeypatch)


# --- What is sent ---


def test_each_change_is_sent_once_as_the_whole_record(live: Live, check: Check) -> None:
    listener = Listener(live)
    listener.wait_for(state="receiving")
    check.queue()
    listener.wait_for(state="queued")
    attempt = check.begin()
    listener.wait_for(state="checking", progress=None)
    for fraction in (0.25, 0.25, 0.75):
        attempt.heartbeat({"fraction": fraction})
        listener.wait_for(progress=fraction)
        assert json.loads(listener.messages[-1].data) == live.http.get(f"{SETS}/letters").json()
    assert not listener.ended.is_set()
    attempt.fail("rows", "There are too few rows.", {"warnings": [{"code": "a", "detail": "b"}]})
    listener.end()
    seen = [(it["state"], it["progress"], it["warnings"]) for it in listener.records()]
    assert seen == [
        ("receiving", None, 0),
        ("queued", None, 0),
        ("checking", None, 0),
        ("checking", 0.25, 0),
        ("checking", 0.75, 0),
        ("failed", None, 1),
    ]
    assert listener.records()[-1] == live.http.get(f"{SETS}/letters").json()
    assert [each.id for each in listener.messages] == [None] * 5 + [check.id]


def test_a_real_check_is_followed_to_its_end(live: Live) -> None:
    put(live, "letters", small_uploads.npz(seed=1))
    listener = Listener(live)
    ready = final(live, "letters")
    listener.end()
    assert listener.records()[-1] == ready
    assert ready["state"] == "ready"
    states = [record["state"] for record in listener.records()]
    assert states == sorted(states, key=["queued", "checking", "ready"].index)


def test_a_client_that_comes_late_gets_the_record_as_it_is(live: Live, check: Check) -> None:
    check.queue()
    check.begin().heartbeat({"fraction": 0.5})
    late = Listener(live, {"Last-Event-ID": "whatever"})
    late.wait_for(state="checking", progress=0.5)
    assert len(late.messages) == 1
    live.stop()
    late.end()


@pytest.mark.parametrize(
    ("query", "header", "status"),
    [
        ("", None, 200),
        ("", "ds_mnist", 204),
        ("?lastEventId=ds_mnist", None, 204),
        ("?lastEventId=ds_other", None, 200),
        ("?lastEventId=ds_mnist", "ds_other", 200),
        ("?lastEventId=", "7", 200),
    ],
)
def test_who_has_the_last_event_gets_204_so_that_a_browser_does_not_reconnect(
    reader: TestClient, query: str, header: str | None, status: int
) -> None:
    answer = reader.get(MNIST + query, headers={"Last-Event-ID": header} if header else {})
    assert answer.status_code == status
    sent = list(messages(answer.text.splitlines()))
    assert [(each.event, each.id) for each in sent] == [("dataset", "ds_mnist")] * (status == 200)


def test_the_stream_of_a_set_that_collects_samples_ends_because_no_check_is_near(
    live: Live,
) -> None:
    picture = small_uploads.pictures(1, 1)[0][0].tolist()
    path = f"{SETS}/letters/samples"
    assert live.http.post(path, json={"label": "a", "image": {"pixels": picture}}).is_success
    [sent] = messages(live.http.get(PATH).text.splitlines())
    assert json.loads(sent.data)["state"] == "collecting"


# --- Ends ---


def test_deletion_is_the_last_event_even_if_the_name_is_taken_again(
    live: Live, check: Check
) -> None:
    listener = Listener(live)
    listener.wait_for(state="receiving")
    check.sets.delete("letters")
    check.sets.receive("letters", {}, 10)
    sent = listener.end()
    assert [each.event for each in sent] == ["dataset", "deleted"]
    assert json.loads(sent[-1].data) == {"id": check.id, "name": "letters"}


def test_a_stream_ends_when_the_server_stops(live: Live, check: Check) -> None:
    listener = Listener(live)
    listener.wait_for(state="receiving")
    started = time.monotonic()
    live.stop()
    listener.end()
    assert time.monotonic() - started < 5
    assert len(listener.messages) == 1


def test_a_stream_ends_with_its_key(live: Live) -> None:
    keys = ApiKeyStore(live.database)
    key = keys.create("ada", ["read"])
    own = live.app.state.components.services.datasets.seen_by("ada", everything=False)
    own.receive("letters", {}, 10)
    eventually(lambda: live.http.get(f"{SETS}/letters").status_code == 401, "the key", 10)
    listener = Listener(live, bearer(key))
    listener.wait_for(state="receiving", owner="ada")
    keys.create("ops", ["admin"])
    keys.revoke(key.split("_")[1])
    listener.end()
    check_problem(live.http.get(PATH, headers=bearer(key)), 401)


def test_a_store_that_fails_ends_the_stream_and_then_is_503(
    live: Live, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener(live)
    listener.wait_for(state="receiving")

    def broken(*_: object) -> None:
        raise StoreBroken("the database failed")

    monkeypatch.setattr(DatasetStore, "with_id", broken)
    assert [each.event for each in listener.end()] == ["dataset"]
    monkeypatch.setattr(DatasetStore, "get", broken)
    check_problem(live.http.get(PATH), 503)


def test_many_listeners_hold_no_thread_and_no_connection(live: Live, check: Check) -> None:
    listeners = [Listener(live) for _ in range(60)]  # more than there are threads
    for listener in listeners:
        listener.wait_for(state="receiving")
    started = time.monotonic()
    assert live.http.get(f"{SETS}/letters").json()["state"] == "receiving"
    assert time.monotonic() - started < 5
    check.sets.delete("letters")
    for listener in listeners:
        assert [each.event for each in listener.end()] == ["dataset", "deleted"]


# --- Refusals ---


def test_what_is_not_there_and_what_is_not_known_is_refused(reader: TestClient) -> None:
    check_problem(reader.get(f"{SETS}/nothing/events"), 404)
    check_problem(reader.get(f"{MNIST}?wait=3"), 422)
    answer = reader.get(MNIST, headers={"Last-Event-ID": "x" * 101})
    check_problem(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == "header last-event-id"


# --- The document ---


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings()).openapi()


def check_described(document: dict[str, Any], sent: Sent) -> None:
    fields = {"event": sent.event, "data": sent.data, "id": sent.id}
    validate(document, "DatasetEvent", {name: it for name, it in fields.items() if it is not None})
    of_data = {"dataset": "DatasetRecord", "deleted": "DeletedDataset"}[sent.event]
    data = json.loads(sent.data)
    validate(document, of_data, data)
    assert set(data) <= set(described(document, of_data)["properties"])


def test_events_are_as_described(live: Live, check: Check, document: dict[str, Any]) -> None:
    listener = Listener(live)
    listener.wait_for(state="receiving")
    check.sets.delete("letters")
    for sent in (*listener.end(), *messages(live.http.get(MNIST).text.splitlines())):
        check_described(document, sent)


def test_the_example_in_the_document_is_of_such_events(document: dict[str, Any]) -> None:
    answer = document["paths"]["/v1/datasets/{name}/events"]["get"]["responses"]["200"]
    content = answer["content"]["text/event-stream"]
    forms = content["schema"]["anyOf"]
    assert forms == [{"type": "string"}, {"$ref": "#/components/schemas/DatasetEvent"}]
    shown = list(messages(content["example"].splitlines()))
    assert [each.event for each in shown] == ["dataset", "dataset"]
    for each in shown:
        check_described(document, each)
