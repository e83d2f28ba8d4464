"""The OpenAPI document describes the events of the stream of all jobs as they are sent."""

import json
from typing import Any

import pytest

from service.app import create_app
from service.server import event_tail
from service.settings import Settings
from tests.conftest import submit
from tests.service.api.test_event_schemas import described, validate
from tests.support.job_records import saved
from tests.support.live_service import Live, Sent, claimed, messages, record
from tests.support.stream_listener import StreamListener

SCHEMAS = {
    "hello": ("HelloEvent", "HelloData"),
    "job": ("JobChangedEvent", None),
    "epoch": ("EpochOfJobEvent", "EpochOfJob"),
    "warning": ("WarningOfJobEvent", "WarningOfJob"),
    "checkpoint": ("CheckpointEvent", "CheckpointOfJob"),
    "progress": ("AllProgressEvent", None),
    "system": ("SystemEvent", "System"),
    "ping": ("PingEvent", "Nothing"),
}
"""The schemas of each kind of event and of its data, where that has one of its own."""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings()).openapi()


def check(document: dict[str, Any], sent: Sent) -> None:
    """Check that an event and its data are as described, and have no field besides."""
    fields = {"event": sent.event, "data": sent.data, "id": sent.id}
    event = {name: value for name, value in fields.items() if value is not None}
    validate(document, "ServiceEvent", event)
    name, of_data = SCHEMAS[sent.event]
    assert set(event) == set(described(document, name)["properties"])
    data = json.loads(sent.data)
    if sent.event == "job":
        of_data = "DeletedJob" if "deleted" in data else "Job"
    if of_data is None:
        assert data
        for progress in data.values():
            validate(document, "Progress", progress)
        return
    validate(document, of_data, data)
    never_sent = {"hosts"} if of_data == "System" else set()
    assert set(data) == set(described(document, of_data).get("properties", {})) - never_sent


def test_every_kind_of_event_is_as_described(
    live: Live, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_tail, "PING_SECONDS", 0.5)
    heard = StreamListener(live.http)
    heard.hello()
    gone = submit(live.jobs)
    live.jobs.delete(gone)
    submit(live.jobs, epochs=50)
    attempt = claimed(live.database)
    record(attempt, 1)
    attempt.warn("begun_again", "The checkpoint can't be read.")
    attempt.commit(saved(attempt, 1, 5), [])
    for kind in SCHEMAS:
        heard.wait_for(kind)
    heard.wait_for("job", deleted=True)
    live.stop()
    heard.end()
    for sent in heard.messages:
        check(document, sent)


def test_the_description_names_the_kinds_of_events(document: dict[str, Any]) -> None:
    mapping = described(document, "ServiceEvent")["discriminator"]["mapping"]
    assert set(mapping) == set(SCHEMAS)


def test_the_stream_is_described_as_its_text_with_an_example(document: dict[str, Any]) -> None:
    answer = document["paths"]["/v1/events"]["get"]["responses"]["200"]
    content = answer["content"]["text/event-stream"]
    forms = content["schema"]["anyOf"]
    assert forms == [{"type": "string"}, {"$ref": "#/components/schemas/ServiceEvent"}]
    shown = list(messages(content["example"].splitlines()))
    assert [each.event for each in shown] == ["epoch", "job", "ping"]
    for each in shown:
        check(document, each)
