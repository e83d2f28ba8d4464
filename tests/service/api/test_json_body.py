"""One reader for all JSON bodies: a BOM is skipped, and other encodings are refused by name."""

import json

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.testclient import TestClient

from service.api.json_body import JsonRoute, NotJson, read_json
from service.app import Application
from tests.service.api.test_hostile_bodies import check_problem

JSON = {"Content-Type": "application/json"}
BOM = b"\xef\xbb\xbf"
TEXT = '{"name": "Zoë", "tags": ["七"]}'
VALUE = {"name": "Zoë", "tags": ["七"]}
FOREIGN = {
    "UTF-16": "utf-16",
    "UTF-16LE": "utf-16-le",
    "UTF-16BE": "utf-16-be",
    "UTF-32": "utf-32",
    "UTF-32LE": "utf-32-le",
    "UTF-32BE": "utf-32-be",
    "Latin-1": "latin-1",
}


def test_utf_8_is_read_with_a_byte_order_mark_and_without() -> None:
    assert read_json(TEXT.encode()) == read_json(BOM + TEXT.encode()) == VALUE


def test_only_one_mark_is_skipped() -> None:
    with pytest.raises(NotJson):
        read_json(BOM + BOM + b"{}")


@pytest.mark.parametrize("name", FOREIGN)
def test_another_encoding_is_refused_by_name_with_the_way_out(name: str) -> None:
    text = TEXT.replace("七", "7") if name == "Latin-1" else TEXT
    with pytest.raises(NotJson, match=rf"\b{name}\b.*send it in UTF-8"):
        read_json(text.encode(FOREIGN[name]))


def test_a_packed_body_without_its_header_is_recognised() -> None:
    with pytest.raises(NotJson, match="Content-Encoding: gzip"):
        read_json(b"\x1f\x8b\x08\x00")


@pytest.mark.parametrize(
    "body", [b"", BOM, b" ", b"{", b"{} {}", b"{'a': 1}", b"[1,]", b"\0", b"\xc0\x80", b"1" * 5000]
)
def test_what_is_no_json_is_refused_with_a_reason(body: bytes) -> None:
    with pytest.raises(NotJson) as refused:
        read_json(body)
    assert str(refused.value)
    assert "UTF-16" not in str(refused.value)


def test_bytes_of_zero_are_not_taken_for_an_encoding() -> None:
    with pytest.raises(NotJson, match="expected value"):
        read_json(bytes(100))


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 2}',
        b'{"a":1,"b":":","a":1}',
        b'{"a": 1, "\\u0061": 2}',
        b'{"b": "\\"a\\":", "a": {}, "a" \n:{}}',
        b'{"b": "\\\\", "a": [], "a": "\\\\"}',
        b'[[1, 2], [{"b": {"a": 0, "a": 0}}]]',
        b'[1, "x", {"a": 1, "a": 1}]',
        b'["x", {"b": ":", "a": 1, "a": 1}]',
        b'{"inputs": [{"pixels": [0, {"a": 1, "a": 2}]}]}',
    ],
)
def test_a_field_that_an_object_has_twice_is_refused_by_its_name(body: bytes) -> None:
    with pytest.raises(NotJson, match="the field 'a' is given twice in an object"):
        read_json(body)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": {"a": [{"a": 1}, {"a": 2}]}, "b": {"a": 1}}',
        '{"url": "data:image/png;base64,AAAA", "x:y": ":::", "": "\\":\\"a\\":"}',
        '[1, {"a": ":"}, "a:", {"a": 1}]',
        '["\\\\", {"b": [[], {}, [{"b": ": \\\\"}]]}, ":"]',
        '":"',
    ],
)
def test_names_in_other_objects_and_colons_in_texts_are_none_that_are_given_twice(
    text: str,
) -> None:
    assert read_json(text.encode()) == json.loads(text)


def test_a_long_name_is_shown_in_part() -> None:
    name = "n" * 10_000
    with pytest.raises(NotJson) as refused:
        read_json(f'{{"{name}": 1, "{name}": 2}}'.encode())
    assert len(str(refused.value)) < 200


def test_jobs_and_predictions_refuse_a_field_that_is_given_twice(reader: TestClient) -> None:
    text = b'{"epochs": 5, "inputs": [{"dataset": "mnist"}], "epochs": 50}'
    for path in ("/v1/jobs", "/v1/models/latest/predict"):
        answer = reader.post(path, content=text, headers=JSON)
        check_problem(answer, 400)
        assert "'epochs' is given twice" in answer.json()["detail"]


@pytest.mark.parametrize("name", FOREIGN)
def test_jobs_and_predictions_refuse_an_encoding_alike(reader: TestClient, name: str) -> None:
    text = '{"name": "\xe9", "inputs": [{"dataset": "\xe9"}]}'.encode(FOREIGN[name])
    answers = [
        reader.post(path, content=text, headers={**JSON, "Request-Id": "same"})
        for path in ("/v1/jobs", "/v1/models/latest/predict")
    ]
    assert answers[0].json() == answers[1].json()
    check_problem(answers[0], 400)
    assert answers[0].json()["code"] == "malformed-json"
    assert name in answers[0].json()["detail"]
    assert "UTF-8" in answers[0].json()["detail"]


def test_jobs_and_predictions_read_a_byte_order_mark(api: TestClient, reader: TestClient) -> None:
    answer = api.post("/v1/jobs", content=BOM + TEXT.encode(), headers=JSON)
    assert (answer.status_code, answer.json()["spec"]["name"]) == (201, "Zoë")
    question = BOM + b'{"inputs": [{"dataset": "mnist", "index": 0}]}'
    assert reader.post("/v1/models/latest/predict", content=question, headers=JSON).is_success


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "APPLICATION/JSON",
        "application/ld+json",
        "application/json; charset=us-ascii",
    ],
)
def test_json_may_be_labelled_in_any_way(api: TestClient, media_type: str) -> None:
    answer = api.post("/v1/jobs", content=TEXT.encode(), headers={"Content-Type": media_type})
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "media_type", ["application/x-www-form-urlencoded", "text/plain", "text/x+json", "x/json"]
)
def test_a_spec_of_another_type_is_refused_with_curls_option(
    api: TestClient, media_type: str
) -> None:
    answer = api.post("/v1/jobs", content=b"{}", headers={"Content-Type": media_type})
    check_problem(answer, 415)
    assert "curl --json" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "takes_a_spec"),
    [
        ("POST", "/v1/jobs", True),
        ("POST", "/v1/jobs/preview", True),
        ("POST", "/v1/jobs/actions", False),
        ("PATCH", "/v1/jobs/x", False),
        ("POST", "/v1/session", False),
    ],
)
def test_each_route_says_whether_an_empty_object_takes_all_defaults(
    api: TestClient, method: str, path: str, takes_a_spec: bool
) -> None:
    for headers in ({}, {"Content-Type": "text/plain"}):
        answer = api.request(method, path, content=b"{}", headers=headers)
        check_problem(answer, 415)
        assert ("takes every default" in answer.json()["detail"]) == takes_a_spec
    answer = api.request(method, path, headers={"Content-Type": "application/json"})
    check_problem(answer, 422)
    hint = "send a JSON body with Content-Type: application/json, at least {}"
    assert [error["hint"] for error in answer.json()["errors"]] == [hint]


def test_every_route_whose_json_the_framework_reads_uses_this_reader(
    application: Application,
) -> None:
    found = [it.original_route for it in iter_route_contexts(application.routes)]
    reading = [it for it in found if isinstance(it, APIRoute) and it.body_field]
    assert reading
    assert all(isinstance(route, JsonRoute) for route in reading)
