"""The OpenAPI document describes the events of a stream as they are sent."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from service.app import create_app
from service.settings import Settings
from tests.conftest import submit
from tests.support.live_service import Live, Sent, claimed, messages, record, succeed

KINDS = ("state", "epoch", "warning", "progress")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings()).openapi()


def described(document: dict[str, Any], name: str) -> dict[str, Any]:
    return dict(document["components"]["schemas"][name])


def validate(document: dict[str, Any], name: str, value: object) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    formats = Draft202012Validator.FORMAT_CHECKER
    Draft202012Validator(schema, format_checker=formats).validate(value)


def check(document: dict[str, Any], sent: Sent) -> None:
    """Check that an event and its data are as described, and have no field besides."""
    fields = {"event": sent.event, "data": sent.data, "id": sent.id}
    event = {name: value for name, value in fields.items() if value is not None}
    validate(document, "JobEvent", event)
    properties = described(document, f"{sent.event.title()}Event")["properties"]
    assert set(event) == set(properties)
    content = properties["data"]["contentSchema"]["$ref"].rpartition("/")[2]
    data = json.loads(sent.data)
    validate(document, content, data)
    assert set(data) == set(described(document, content)["properties"])


def streamed(live: Live) -> list[Sent]:
    """Return the events of a job that runs, warns, finishes an epoch and succeeds."""
    job, sent = submit(live.jobs, epochs=50), list[Sent]()
    attempt = claimed(live.database)
    attempt.warn("begun_again", "The checkpoint can't be read.")
    with live.http.stream("GET", f"/v1/jobs/{job}/events") as answer:
        for each in messages(answer.iter_lines()):
            if each.event == "progress" and each.event not in {it.event for it in sent}:
                record(attempt, 1)
                succeed(attempt)
            sent.append(each)
    return sent


def test_every_kind_of_event_is_as_described(live: Live, document: dict[str, Any]) -> None:
    sent = streamed(live)
    assert {each.event for each in sent} == set(KINDS)
    for each in sent:
        check(document, each)


def test_the_description_names_the_kinds_of_events(document: dict[str, Any]) -> None:
    mapping = described(document, "JobEvent")["discriminator"]["mapping"]
    assert set(mapping) == set(KINDS)


@pytest.mark.parametrize(
    "event",
    [
        {"event": "state", "data": "{}"},
        {"event": "epoch", "data": {}, "id": "1"},
        {"event": "warning", "data": "{}", "id": "0"},
        {"event": "message", "data": "{}", "id": "1"},
        {"data": "{}"},
    ],
)
def test_other_events_are_not_described(document: dict[str, Any], event: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        validate(document, "JobEvent", event)


def test_a_stream_is_described_as_its_text_with_an_example_of_events(
    document: dict[str, Any],
) -> None:
    """Generated clients return the text of a stream, and fuzzers check each event."""
    answer = document["paths"]["/v1/jobs/{job}/events"]["get"]["responses"]["200"]
    content = answer["content"]["text/event-stream"]
    forms = content["schema"]["anyOf"]
    assert forms == [{"type": "string"}, {"$ref": "#/components/schemas/JobEvent"}]
    shown = list(messages(content["example"].splitlines()))
    assert [each.event for each in shown] == ["state", "epoch"]
    for each in shown:
        check(document, each)
