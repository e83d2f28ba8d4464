"""Offers of other protocols are answered as plain HTTP, whatever they say and however they come."""

import re
import socket
import time

import pytest

from tests.support.raw_requests import received
from tests.support.server_process import Server

OFFERS = {
    "java": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n",
    "curl": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    "lower case": b"connection: keep-alive,upgrade\r\nupgrade: H2C\r\n",
    "web socket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    "unknown": b"Connection: upgrade\r\nUpgrade: TLS/1.0, IRC/6.9\r\n",
    "two lines": b"Connection: upgrade\r\nConnection: http2-settings\r\nUpgrade: h2c\r\n",
    "without Connection": b"Upgrade: h2c\r\n",
    "without Upgrade": b"Connection: Upgrade\r\n",
}
"""Headers by which clients offer another protocol."""
HOST = b"Host: localhost\r\n"
CLOSE = b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
SPEC = b'{"preset": "linear", "name": "offered"}'


def answers(server: Server, *pieces: bytes) -> list[int]:
    """Send the pieces one after another; return the statuses of all answers until the end."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.003)
        return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d+) ", received(connection))]


def post(head: bytes, body: bytes, path: bytes = b"/v1/jobs") -> bytes:
    line = b"POST %s HTTP/1.1\r\n" % path
    return line + HOST + b"Content-Type: application/json\r\n" + head + b"\r\n" + body


def sized(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n" % len(body)


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def names(server: Server) -> list[str]:
    """Return the names of all jobs, and delete them."""
    jobs = server.http.get("/v1/jobs?limit=100").json()["data"]
    for job in jobs:
        assert server.http.delete(f"/v1/jobs/{job['id']}").status_code == 204
    return [job["spec"]["name"] for job in jobs]


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
def test_an_offer_without_a_body_is_answered_as_plain_http(idle: Server, offer: bytes) -> None:
    request = b"GET /livez HTTP/1.1\r\n" + HOST + offer + b"\r\n"
    assert answers(idle, request + CLOSE) == [200, 200]
    assert answers(idle, request, CLOSE) == [200, 200]


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
def test_the_body_of_an_offer_arrives_whole(idle: Server, offer: bytes) -> None:
    request = post(offer + sized(SPEC), SPEC)
    assert answers(idle, request + CLOSE) == [201, 200]
    assert answers(
        idle, post(offer + b"Transfer-Encoding: chunked\r\n", chunked(SPEC)) + CLOSE
    ) == [
        201,
        200,
    ]
    assert names(idle) == ["offered", "offered"]


@pytest.mark.parametrize("offer", [OFFERS["java"], OFFERS["web socket"]])
@pytest.mark.parametrize("size", [1, 7, 100])
def test_an_offer_may_come_in_any_pieces(idle: Server, offer: bytes, size: int) -> None:
    stream = post(offer + sized(SPEC), SPEC) + CLOSE
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert answers(idle, *pieces) == [201, 200]
    assert names(idle) == ["offered"]


def test_an_offer_expects_100_continue_like_any_other_request(idle: Server) -> None:
    head = post(OFFERS["java"] + sized(SPEC) + b"Expect: 100-continue\r\n", b"")
    assert answers(idle, head, SPEC, CLOSE) == [100, 201, 200]
    names(idle)


def test_several_offers_in_one_piece_are_all_answered_in_order(idle: Server) -> None:
    get = b"GET /nowhere HTTP/1.1\r\n" + HOST + OFFERS["curl"] + b"\r\n"
    assert answers(idle, get + post(OFFERS["java"] + sized(SPEC), SPEC) + get + CLOSE) == [
        404,
        201,
        404,
        200,
    ]
    names(idle)


def test_an_offer_that_closes_the_connection_is_answered_and_closed(idle: Server) -> None:
    offer = b"Connection: Upgrade, close\r\nUpgrade: h2c\r\n"
    assert answers(idle, post(offer + sized(SPEC), SPEC)) == [201]
    names(idle)


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        b"Content-Length: 4\r\nContent-Length: 5\r\n",
        b"Content-Length: +4\r\n",
        b"Content-Length: 4, 4\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Transfer-Encoding: chunked, gzip\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"X: y\r\n Content-Length: 4\r\n",
    ],
    ids=str,
)
@pytest.mark.parametrize("offer", [b"", OFFERS["java"]], ids=["plain", "offer"])
def test_an_offer_smuggles_no_request(idle: Server, framing: bytes, offer: bytes) -> None:
    hidden = post(sized(SPEC), SPEC)
    assert answers(idle, post(offer + framing, chunked(hidden)))[:1] == [400]
    assert names(idle) == []


def test_what_follows_an_offer_is_the_next_request_and_no_other_protocol(idle: Server) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    request = b"GET /livez HTTP/1.1\r\n" + HOST + OFFERS["java"] + b"\r\n"
    assert answers(idle, request, preface) == [200, 400]


def test_what_comes_after_a_chunked_body_is_no_header(idle: Server) -> None:
    head = b"POST /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    trailer = b"\r\nHost: evil.com\r\nOrigin: http://evil.com\r\n\r\n"
    assert answers(idle, head + b"0" + trailer + CLOSE) == [405, 200]
    nameless = head.replace(b"Host: localhost\r\n", b"").replace(b"livez", b"v1/jobs")
    assert answers(idle, nameless + b"0\r\nHost: localhost\r\n\r\n" + CLOSE)[0] == 400


def test_the_limits_of_headers_hold_for_offers(idle: Server) -> None:
    many = b"".join(b"X-%d: 1\r\n" % number for number in range(120))
    assert answers(idle, post(OFFERS["java"] + many, b"")) == [431]


@pytest.mark.parametrize("target", [b"localhost:80", b"/", b"*"])
def test_connect_is_refused(idle: Server, target: bytes) -> None:
    request = b"CONNECT %s HTTP/1.1\r\n" % target + HOST + b"\r\n"
    assert answers(idle, request + CLOSE) == [400]


def test_the_other_headers_of_an_offer_are_read_as_ever(idle: Server) -> None:
    key = b"Idempotency-Key: " + bytes(range(0x21, 0x7F)) + b"\r\n"
    offered = post(OFFERS["java"] + key + sized(SPEC), SPEC)
    plain = post(key + sized(SPEC), SPEC)
    assert answers(idle, offered + plain + CLOSE) == [201, 201, 200]
    assert names(idle) == ["offered"]
