"""JSON from fuzzers and attackers: the answer is always a problem, never a 500, never an echo."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from tests.service.conftest import World

JSON = {"Content-Type": "application/json"}
MARK = b"leak"
LONG = MARK * 37_500

# Each is 4xx for both routes, though the codes differ: their JSON parsers do.
ANYWHERE = {
    "empty": b"",
    "blank": b"  \n ",
    "array": b"[]",
    "string": b'"leak"',
    "null": b"null",
    "number": b"7",
    "true": b"true",
    "half": b'{"name": "leak',
    "two values": b"{} {}",
    "comment": b"{} // leak",
    "trailing comma": b'{"seed": 1,}',
    "single quotes": b"{'seed': 1}",
    "raw control character": b'{"name": "leak\x01"}',
    "invalid utf-8": b'{"name": "leak\xff\xfe"}',
    "overlong utf-8": b'{"name": "\xc0\x80"}',
    "nested arrays": b"[" * 100_000 + b"]" * 100_000,
    "nested objects": b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
    "unknown field": b'{"leak": 1}',
    "long key": b'{"' + LONG + b'": 1}',
    "surrogate key": b'{"leak\\ud800": 1}',
}
SPECS = {
    "nan": b'{"learning_rate": NaN}',
    "infinity": b'{"learning_rate": Infinity}',
    "minus infinity": b'{"initial_bias": -Infinity}',
    "overflow": b'{"l2": 1e999}',
    "nan for an integer": b'{"epochs": NaN}',
    "nan in a list": b'{"hidden": [NaN]}',
    "digits": b'{"seed": ' + b"1" * 5000 + b"}",
    "big integer": b'{"seed": 100000000000000000000000000000}',
    "surrogate": b'{"name": "leak\\ud800"}',
    "surrogate in a choice": b'{"preset": "leak\\udfff"}',
    "surrogate metadata": b'{"metadata": {"leak\\ud800": "x"}}',
    "surrogate data set": b'{"dataset": "leak\\ud800"}',
    "nul": b'{"name": "leak\\u0000"}',
    "escape": b'{"tags": ["leak\\u001b[31m"]}',
    "line separator": b'{"name": "leak\\u2028"}',
    "long string": b'{"name": "' + LONG + b'"}',
    "long choice": b'{"preset": "' + LONG + b'"}',
    "long number": b'{"seed": "' + LONG + b'"}',
    "long optimizer": b'{"optimizer": "' + LONG + b'"}',
    "deep field": b'{"name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "last of two keys": b'{"epochs": 1, "epochs": "leak"}',
    "data set as a path": b'{"dataset": "../../etc/passwd"}',
}
QUESTIONS = {
    "no inputs": b'{"inputs": []}',
    "no form": b'{"inputs": [{}]}',
    "two forms": b'{"inputs": [{"pixels": [1], "base64": "leak"}]}',
    "half a form": b'{"inputs": [{"dataset": "mnist"}]}',
    "index alone": b'{"inputs": [{"index": 3}]}',
    "nan": b'{"inputs": [{"values": [[NaN, 0]]}]}',
    "infinity": b'{"inputs": [{"values": [[Infinity, 0]]}]}',
    "overflow": b'{"inputs": [{"values": [[1e999, 0]]}]}',
    "nan as pixel": b'{"inputs": [{"pixels": [[NaN, 0]]}]}',
    "digits": b'{"inputs": [{"pixels": [[' + b"1" * 5000 + b"]]}]}",
    "big integer": b'{"inputs": [{"pixels": [[100000000000000000000000000000]]}]}',
    "negative": b'{"inputs": [{"pixels": [[-1, 3]]}]}',
    "256": b'{"inputs": [{"pixels": [[256, 3]]}]}',
    "value of 1.5": b'{"inputs": [{"values": [[1.5, 0]]}]}',
    "fraction": b'{"inputs": [{"pixels": [[1.5, 0]]}]}',
    "booleans": b'{"inputs": [{"pixels": [[true, false]]}]}',
    "ragged": b'{"inputs": [{"pixels": [[1, 2], [3]]}]}',
    "three dimensions": b'{"inputs": [{"pixels": [[[1, 2]]]}]}',
    "flat but short": b'{"inputs": [{"pixels": [1, 2, 3]}]}',
    "no pixels": b'{"inputs": [{"pixels": []}]}',
    "empty rows": b'{"inputs": [{"pixels": [[], []]}]}',
    "text": b'{"inputs": [{"pixels": [["leak"]]}]}',
    "objects": b'{"inputs": [{"pixels": [{}, null]}]}',
    "surrogate": b'{"inputs": [{"base64": "leak\\ud800"}]}',
    "surrogate data set": b'{"inputs": [{"dataset": "leak\\ud800", "index": 1}]}',
    "nul": b'{"inputs": [{"dataset": "leak\\u0000", "index": 1}]}',
    "no base64": b'{"inputs": [{"base64": "leak!"}]}',
    "long base64": b'{"inputs": [{"base64": "' + LONG + b'!"}]}',
    "address": b'{"inputs": [{"base64": "http://127.0.0.1/leak.png"}]}',
    "data URL behind something": b'{"inputs": [{"base64": "leak;base64,AAAA"}]}',
    "data set as a path": b'{"inputs": [{"dataset": "../leak", "index": 1}]}',
    "row beyond": b'{"inputs": [{"dataset": "mnist", "index": 10000}]}',
    "row below": b'{"inputs": [{"dataset": "mnist", "index": -1}]}',
    "top 11": b'{"inputs": [{"dataset": "mnist", "index": 1}], "top_k": 11}',
    "long choice": b'{"inputs": [{"dataset": "mnist", "index": 1}], "normalize": "' + LONG + b'"}',
    "one blank picture": b'{"inputs": [{"pixels": [[5, 5], [5, 5]]}]}',
}


def check_problem(answer: Response, *statuses: object) -> None:
    body = answer.json()
    assert answer.status_code in statuses, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert body["status"] == answer.status_code
    assert body["type"] == f"/problems/{body['code']}"
    assert body["title"]
    assert body["detail"]
    assert len(answer.content) < 2500
    assert answer.content.count(b"leak") < 300
    assert "Traceback" not in answer.text


def quickest(send: Callable[[], Response]) -> tuple[Response, float]:
    """Return the last of three answers, and the shortest time of one in seconds."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        answer = send()
        seconds.append(time.perf_counter() - start)
    return answer, min(seconds)


def check_cheap(reader: TestClient, send: Callable[[], Response], at_most: float = 100) -> Response:
    """Return the answer, which may take as long as a number of requests for a cheap page.

    A ratio, because the machine may be slow; a tenth of a second where it is not.
    """
    answer, seconds = quickest(send)
    _, unit = quickest(lambda: reader.get("/livez"))
    assert seconds / unit < at_most
    return answer


@pytest.mark.parametrize("body", (ANYWHERE | SPECS).values(), ids=(ANYWHERE | SPECS).keys())
def test_a_hostile_spec_is_a_small_problem_and_stores_nothing(
    reader: TestClient, world: World, body: bytes
) -> None:
    answer = check_cheap(reader, lambda: reader.post("/v1/jobs", content=body, headers=JSON))
    check_problem(answer, 400, 422)
    ids = [job["id"] for job in reader.get("/v1/jobs").json()["data"]]
    assert ids == [world.linear, world.deep]


@pytest.mark.parametrize("body", (ANYWHERE | QUESTIONS).values(), ids=(ANYWHERE | QUESTIONS).keys())
def test_a_hostile_prediction_request_is_a_small_problem(reader: TestClient, body: bytes) -> None:
    path = "/v1/models/latest/predict"
    answer = check_cheap(reader, lambda: reader.post(path, content=body, headers=JSON))
    check_problem(answer, 400, 422)


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": [{' + b",".join(b'"%x": 1' % n for n in range(800_000)) + b"}]}",
        b'{"inputs": [{"pixels": [' + b"[]," * 3_000_000 + b"[]]}]}",
        b'{"inputs": [' + b"{}," * 3_000_000 + b"{}]}",
        b'{"inputs": [{"pixels": ["' + b"a" * 1_000_000 + b'", "b"' + b', "c"' * 1000 + b"]}]}",
    ],
    ids=["names", "lists", "objects", "texts"],
)
def test_a_body_of_countless_small_parts_is_refused_quickly(
    reader: TestClient, body: bytes
) -> None:
    path = "/v1/models/latest/predict"
    answer = check_cheap(reader, lambda: reader.post(path, content=body, headers=JSON), 200)
    check_problem(answer, 422)


def test_a_picture_of_too_many_numbers_is_refused(reader: TestClient) -> None:
    row = b"[" + b"0," * 1999 + b"9],"
    body = b'{"inputs": [{"pixels": [' + row * 2001 + row[:-1] + b"]}]}"
    answer = reader.post("/v1/models/latest/predict", content=body, headers=JSON)
    check_problem(answer, 422)
    assert answer.json()["detail"] == "#/inputs/0: it has more than 4,000,000 pixels."


def test_too_many_inputs_are_refused(reader: TestClient) -> None:
    body = {"inputs": [{"dataset": "mnist", "index": 1}] * 10_001}
    answer = reader.post("/v1/models/latest/predict", json=body)
    check_problem(answer, 422)


# --- Size and type ---

PREDICT = "/v1/models/latest/predict"
ROUTES = {"/v1/jobs": 256 * 1024, PREDICT: 28 * 1024**2}


@pytest.mark.parametrize(("path", "limit"), ROUTES.items())
def test_a_body_over_the_limit_is_too_large_whether_it_says_so_or_not(
    reader: TestClient, path: str, limit: Any
) -> None:
    declared = reader.post(path, content=b" " * (limit + 1), headers=JSON)
    chunked = reader.post(path, content=iter([b" " * 65_536] * (limit // 65_536 + 1)), headers=JSON)
    for answer in (declared, chunked):
        check_problem(answer, 413)
        assert answer.json()["code"] == "too-large"
        assert f"may have at most {limit:,} bytes" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "kind", "detail"),
    [
        (
            "/v1/jobs",
            "application/json",
            "A body like this may have at most 262,144 bytes: send less, or raise "
            "MLP_MAX_BODY_BYTES.",
        ),
        (
            PREDICT,
            "application/x-npy",
            "A body like this may have at most 29,360,128 bytes: send fewer images",
        ),
        (
            PREDICT,
            "Image/PNG",
            "A body like this may have at most 20,971,520 bytes: send a smaller picture.",
        ),
    ],
)
def test_a_body_that_is_too_large_is_refused_with_the_limit_of_its_type(
    reader: TestClient, path: str, kind: Any, detail: str
) -> None:
    answer = reader.post(path, content=bytes(29 * 1024**2), headers={"Content-Type": kind})
    check_problem(answer, 413)
    assert answer.json()["detail"].startswith(detail)


def test_a_body_at_the_limit_is_read(reader: TestClient) -> None:
    body = b"{" + b" " * (256 * 1024 - 2) + b"]"
    assert reader.post("/v1/jobs", content=body, headers=JSON).json()["code"] == "malformed-json"


def test_a_form_over_the_limit_is_too_large(reader: TestClient) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    parts = iter([b"x" * 65_536] * 449)
    answer = reader.post("/v1/models/latest/predict", content=parts, headers=headers)
    check_problem(answer, 413, 400)


GENERAL = [("/v1/jobs", sent) for sent in (None, "", "text/plain", ";")]


@pytest.mark.parametrize(
    ("path", "sent"),
    [*GENERAL, *((path, sent) for path in ROUTES for sent in ("leak/" + "x" * 5000, "\u00e9/x"))],
)
def test_a_body_of_an_unsupported_type_is_refused_without_an_echo(
    reader: TestClient, path: str, sent: Any
) -> None:
    headers = {} if sent is None else {"Content-Type": sent.encode("latin-1")}
    answer = reader.post(path, content=b"{}", headers=headers)
    check_problem(answer, 415)
    assert "application/json" in answer.json()["detail"]
    assert len(answer.content) < 600


def test_json_by_another_name_is_json(api: TestClient) -> None:
    headers = {"Content-Type": "application/vnd.spec+json; charset=utf-8"}
    assert api.post("/v1/jobs", content=b"{}", headers=headers).status_code == 201
