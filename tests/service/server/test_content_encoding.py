"""Requests with packed bodies. tests/attack/test_bombs.py sends bombs among them."""

import asyncio
import gzip
import json
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from service.api.predict import MAX_BODY_BYTES
from service.server.content_encoding import ContentEncoding
from service.store.api_keys import ApiKeyStore
from service.store.sql.database import Database
from tests.service.api.test_hostile_bodies import check_problem
from tests.support.live_service import Live

PREDICT = "/v1/models/latest/predict"
QUESTION = json.dumps({"inputs": [{"dataset": "mnist", "index": 7}], "top_k": 1}).encode()


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def packed_as(coding: str, media_type: str = "application/json") -> dict[str, str]:
    return {"Content-Encoding": coding, "Content-Type": media_type}


CODINGS = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("GZIP", gzip.compress),
    ("identity, gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("identity", bytes),
    ("", bytes),
]


@pytest.mark.parametrize(("coding", "pack"), CODINGS)
def test_a_packed_body_is_answered_as_the_same_body_unpacked(
    reader: TestClient, coding: str, pack: Any
) -> None:
    plain = reader.post(PREDICT, content=QUESTION, headers={"Content-Type": "application/json"})
    whole = reader.post(PREDICT, content=pack(QUESTION), headers=packed_as(coding))
    chunked = reader.post(
        PREDICT, content=iter([bytes([it]) for it in pack(QUESTION)]), headers=packed_as(coding)
    )
    assert plain.status_code == 200
    assert whole.content == chunked.content == plain.content


def test_packed_raw_pixels_are_read(reader: TestClient) -> None:
    pixels = bytes(300) + b"\xff" * 30 + bytes(454)
    plain = reader.post(
        PREDICT, content=pixels, headers={"Content-Type": "application/octet-stream"}
    )
    headers = packed_as("gzip", "application/octet-stream")
    packed = reader.post(PREDICT, content=gzip.compress(pixels), headers=headers)
    assert (packed.status_code, packed.content) == (200, plain.content)


def test_a_large_packed_array_is_read(reader: TestClient) -> None:
    """It is unpacked as it is read, since its content is not small."""
    many = json.dumps({"inputs": [{"dataset": "mnist", "index": n} for n in range(4000)]}).encode()
    assert len(many) > 65_536 > len(gzip.compress(many))
    plain = reader.post(PREDICT, content=many, headers={"Content-Type": "application/json"})
    packed = reader.post(PREDICT, content=gzip.compress(many), headers=packed_as("gzip"))
    assert (packed.status_code, packed.content) == (200, plain.content)


def test_a_packed_spec_and_a_packed_form_are_read(api: TestClient, reader: TestClient) -> None:
    spec = gzip.compress(b'{"preset": "linear", "epochs": 3}')
    answer = api.post("/v1/jobs", content=spec, headers=packed_as("gzip"))
    assert (answer.status_code, answer.json()["spec"]["epochs"]) == (201, 3)
    picture = reader.get("/v1/datasets/mnist/test/7.png").content
    form = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    headers = packed_as("deflate", "multipart/form-data; boundary=x")
    packed = zlib.compress(form + picture + b"\r\n--x--\r\n")
    answer = reader.post(PREDICT, content=packed, headers=headers)
    assert (answer.status_code, len(answer.json()["predictions"])) == (200, 1)


@pytest.mark.parametrize(
    ("coding", "named"),
    [
        ("br", "'br'"),
        ("ZSTD", "'zstd'"),
        ("gzip, gzip", "'gzip, gzip'"),
        ("deflate,br", "'deflate, br'"),
        ("utf-8", "'utf-8'"),
        ("x" * 5000, "'xxx"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/jobs", PREDICT])
def test_another_coding_is_refused_by_name_with_those_that_are_read(
    reader: TestClient, path: str, coding: str, named: str
) -> None:
    answer = reader.post(path, content=gzip.compress(QUESTION), headers=packed_as(coding))
    check_problem(answer, 415)
    assert answer.json()["code"] == "unsupported-content-encoding"
    assert named in answer.json()["detail"]
    assert answer.headers["Accept-Encoding"] == "gzip, deflate"


def test_two_headers_are_a_list(reader: TestClient) -> None:
    headers = [("Content-Encoding", "gzip"), ("Content-Encoding", "br")]
    answer = reader.post(PREDICT, content=gzip.compress(QUESTION), headers=headers)
    assert "'gzip, br'" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (QUESTION, "does not begin"),
        (gzip.compress(QUESTION)[:-1], "too early"),
        (gzip.compress(QUESTION)[:15], "too early"),
        (b"\x1f", "too early"),
        (gzip.compress(QUESTION) + b"more", "after its end"),
        (gzip.compress(QUESTION)[:-8] + bytes(8), "damaged"),
        (gzip.compress(b" " * 200_000 + QUESTION)[:-1], "too early"),
        (gzip.compress(b" " * 200_000) + b"more", "after its end"),
    ],
    ids=["plain", "last byte", "half", "one byte", "rest", "checksum", "large", "large rest"],
)
@pytest.mark.parametrize("path", ["/v1/jobs", PREDICT])
def test_what_can_not_be_unpacked_is_refused_with_the_reason(
    reader: TestClient, path: str, body: bytes, reason: str
) -> None:
    answer = reader.post(path, content=body, headers=packed_as("gzip"))
    check_problem(answer, 400)
    assert answer.json()["code"] == "bad-request"
    assert reason in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "limit"),
    [("/v1/jobs", 256 * 1024), (PREDICT, MAX_BODY_BYTES)],
    ids=["jobs", "predict"],
)
def test_the_limit_is_that_of_the_unpacked_body(reader: TestClient, path: str, limit: int) -> None:
    at_limit = reader.post(path, content=gzip.compress(b" " * limit), headers=packed_as("gzip"))
    assert (at_limit.status_code, at_limit.json()["code"]) == (400, "malformed-json")
    over = reader.post(path, content=gzip.compress(b" " * (limit + 1)), headers=packed_as("gzip"))
    check_problem(over, 413)
    assert f"may have at most {limit:,} bytes" in over.json()["detail"]


def test_a_coding_without_a_body_means_nothing(reader: TestClient) -> None:
    for coding in ("gzip", "br"):
        assert reader.get("/v1/jobs", headers={"Content-Encoding": coding}).status_code == 200
        assert reader.head("/livez", headers={"Content-Encoding": coding}).status_code == 200


def test_nothing_is_unpacked_without_a_valid_key(api: TestClient, api_database: Database) -> None:
    ApiKeyStore(api_database).create("ada", ["read"])
    for body in (gzip.compress(QUESTION), b"no gzip"):
        assert api.post(PREDICT, content=body, headers=packed_as("gzip")).status_code == 401


# --- Memory, time and what the next layers see ---


def received(body: list[bytes], **headers: str) -> tuple[dict[str, str], Iterator[Message]]:
    """Return the headers and the messages that the next layer gets for a gzip body in chunks."""
    chunks, seen, messages = iter(body), dict[str, str](), list[Message]()

    async def receive() -> Message:
        chunk = next(chunks, None)
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.update({name.decode(): value.decode() for name, value in scope["headers"]})
        message: Message = {"more_body": True}
        while message["more_body"]:
            message = await receive()
            messages.append(message)

    async def send(_: Message) -> None:
        raise AssertionError("nothing may be sent")

    raw = [(b"content-encoding", b"gzip"), (b"transfer-encoding", b"chunked")]
    raw += [(name.encode(), value.encode()) for name, value in headers.items()]
    scope: Scope = {"type": "http", "method": "POST", "path": "/", "headers": raw}
    asyncio.run(ContentEncoding(app)(scope, receive, send))
    return seen, iter(messages)


def test_a_small_body_arrives_whole_with_its_length() -> None:
    packed = gzip.compress(QUESTION)
    headers, messages = received([packed[:9], packed[9:]], accept="*/*")
    assert headers == {"accept": "*/*", "content-length": str(len(QUESTION))}
    assert list(messages) == [{"type": "http.request", "body": QUESTION, "more_body": False}]


def test_a_large_body_arrives_in_pieces_and_is_of_unknown_length() -> None:
    data = bytes(1_000_000)
    headers, messages = received([gzip.compress(data)])
    assert headers == {"transfer-encoding": "chunked"}
    pieces = [message["body"] for message in messages]
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= 128 * 1024


def test_a_bomb_takes_little_memory_even_if_nothing_stops_it() -> None:
    """A reader that keeps nothing gets 1 GB out of 1 MB."""
    total = 0
    chunks = iter([gzip.compress(bytes(10_000_000))] * 100)

    async def receive() -> Message:
        chunk = next(chunks, None)
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal total
        more = True
        while more:
            message = await receive()
            total, more = total + len(message["body"]), message["more_body"]

    async def send(_: Message) -> None:
        raise AssertionError("nothing may be sent")

    headers = [(b"content-encoding", b"gzip"), (b"content-length", b"1")]
    scope: Scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    tracemalloc.start()
    asyncio.run(ContentEncoding(app)(scope, receive, send))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 1_000_000_000
    assert most < 2_000_000


def test_others_are_answered_while_bombs_are_unpacked(live: Live) -> None:
    """Over real HTTP: a bomb must not keep the event loop until it has reached its limit."""
    bomb, statuses = gzip.compress(bytes(10_000_000)) * 20, list[int]()

    def throw() -> None:
        answer = live.http.post(PREDICT, content=bomb, headers=packed_as("gzip"))
        statuses.append(answer.status_code)

    throwers = [threading.Thread(target=throw) for _ in range(4)]
    for thrower in throwers:
        thrower.start()
    waits = list[float]()
    while any(thrower.is_alive() for thrower in throwers) or not waits:
        started = time.perf_counter()
        assert live.http.get("/livez").status_code == 200
        waits.append(time.perf_counter() - started)
    for thrower in throwers:
        thrower.join()
    assert set(statuses) <= {413, 503}
    assert max(waits) < 2
