"""How long connections stay open, and how responses arrive. ../../attack tests the limits."""

import asyncio
import re
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from service.preparation import prepare
from service.server import http_protocol
from service.server.stack import connection_protocol
from tests.support.live_service import Live, settings
from tests.support.raw_requests import received
from tests.support.server_process import Server

HOST = b"Host: localhost\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
CLOSE = b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"


def until_alive(connection: socket.socket) -> bytes:
    """Return the answer of /livez on a connection that stays open."""
    answer = b""
    while not answer.endswith(b'{"status":"alive"}'):
        answer += connection.recv(65536)
    return answer


# --- How long connections stay open ---


def test_an_idle_connection_is_closed_after_the_time_that_clients_are_told(idle: Server) -> None:
    with socket.create_connection(("127.0.0.1", idle.port), timeout=10) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
        answer = until_alive(connection)
        answered = time.monotonic()
        assert b"\r\nkeep-alive: timeout=2\r\n" in answer
        assert connection.recv(1) == b""
        assert 2 <= time.monotonic() - answered < 4


@pytest.mark.parametrize(
    "request_line_and_headers",
    [b"GET /livez HTTP/1.0\r\n", b"GET /livez HTTP/1.1\r\nConnection: close\r\n"],
)
def test_a_connection_that_is_closed_anyway_is_told_no_time(
    idle: Server, request_line_and_headers: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", idle.port), timeout=10) as connection:
        connection.sendall(request_line_and_headers + HOST + b"\r\n")
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"keep-alive" not in answer.lower()


def test_a_client_in_the_middle_of_a_request_has_no_more_time_than_before(
    tmp_path: Path, datasets_dir: Path
) -> None:
    environment = {"MLP_CONCURRENT_JOBS": "0", "MLP_IDLE_SECONDS": "75"}
    server = Server(tmp_path / "data", datasets_dir, **environment).start()
    try:
        assert server.http.get("/livez").headers["Keep-Alive"] == "timeout=75"
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
            until_alive(connection)
            time.sleep(8)  # longer than a client may take for its headers, and by default idle
            connection.sendall(b"GET /livez HTTP/1.1\r\n" + HOST)
            started = time.monotonic()
            assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")
            assert 5 < time.monotonic() - started < 9
    finally:
        server.stop()


def serve_one(listener: socket.socket, answer: Callable[[Any, Any], Awaitable[None]]) -> None:
    """Serve one request, with `answer(scope, send)` as the application."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        server.should_exit = True
        await answer(scope, send)

    config = uvicorn.Config(
        app,
        http=connection_protocol,  # type: ignore[arg-type]  # called like a protocol class
        lifespan="off",
        log_config=None,
    )
    server = uvicorn.Server(config)
    asyncio.run(asyncio.wait_for(server.serve(sockets=[listener]), 10))


def client_of_a_request_that_was_reset() -> Any:
    """Return the client of a request whose connection is reset before the server accepts it."""
    clients = []

    async def note_client(scope: Any, _: Any) -> None:
        clients.append(scope["client"])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()) as connection:
            connection.sendall(CLOSE)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        serve_one(listener, note_client)
    [client] = clients
    return client


def test_a_client_that_has_gone_does_not_pass_for_one_of_a_unix_socket() -> None:
    assert client_of_a_request_that_was_reset() is None


# --- Responses ---


def test_a_response_with_a_length_arrives_in_one_piece(idle: Server) -> None:
    with socket.create_connection(("127.0.0.1", idle.port), timeout=10) as connection:
        for path in (b"/livez", b"/v1/jobs", b"/openapi.json", b"/nowhere") * 5:
            connection.sendall(b"GET %s HTTP/1.1\r\n%s\r\n" % (path, HOST))
            head, _, body = connection.recv(1024**2).partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            assert length
            while len(body) < int(length[1]) and path == b"/openapi.json":  # larger than a packet
                body += connection.recv(1024**2)
            assert len(body) == int(length[1])


def test_pipelined_and_closing_requests_are_answered_in_order(idle: Server) -> None:
    get, head = (b"%s /livez HTTP/1.1\r\n%s\r\n" % (it, HOST) for it in (b"GET", b"HEAD"))
    with socket.create_connection(("127.0.0.1", idle.port), timeout=10) as connection:
        connection.sendall(get + head + get + CLOSE)
        answer = received(connection)
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 4
    assert answer.count(b'{"status":"alive"}') == 3
    assert answer.count(b"connection: close\r\n") == 1


@pytest.mark.parametrize(
    "wrong",
    [
        (b"location", b"/\r\nset-cookie: stolen=1"),
        (b"location", b"/\nset-cookie: stolen=1"),
        (b"set-cookie: stolen=1\r\nlocation", b"/"),
        (b"location", b"\0set-cookie: stolen=1"),
    ],
)
def test_no_header_smuggles_another_one_in(wrong: tuple[bytes, bytes]) -> None:
    async def smuggle(_: Any, send: Any) -> None:
        headers = [(b"content-length", b"2"), wrong]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    assert b"set-cookie" not in response_to(GET, smuggle)


def response_to(request: bytes, answer: Callable[[Any, Any], Awaitable[None]]) -> bytes:
    """Return what a client receives from an application, `answer(scope, send)`, until the end."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname(), timeout=10) as connection,
    ):
        connection.sendall(request)
        serve_one(listener, answer)
        return received(connection)


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [([b"to", b"gether"], b"together"), ([b"", b"late", b"r"], b"later"), ([b""], b"")],
)
def test_a_body_in_several_messages_arrives_whole(sent: list[bytes], arrives: bytes) -> None:
    async def answer(_: Any, send: Any) -> None:
        headers = [(b"content-length", b"%d" % len(arrives))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for part in sent[:-1]:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": sent[-1]})

    head, _, body = response_to(GET, answer).partition(b"\r\n\r\n")
    assert (head.startswith(b"HTTP/1.1 200 OK\r\n"), body) == (True, arrives)


@pytest.mark.parametrize("name", [b"connection", b"Connection"])
def test_an_application_can_close_the_connection(name: bytes) -> None:
    async def answer(_: Any, send: Any) -> None:
        headers = [(b"content-length", b"2"), (name, b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    answered = response_to(GET + GET, answer)  # the second is not answered
    assert answered.count(b"HTTP/1.1 200 OK\r\n") == 1
    assert answered.lower().count(b"connection: close\r\n") == 1
    assert answered.endswith(b"\r\n\r\nok")


def test_a_body_that_is_sent_in_chunks_stays_so() -> None:
    async def answer(_: Any, send: Any) -> None:
        headers = iter([(b"content-length", b"2"), (b"transfer-encoding", b"chunked")])
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    assert response_to(GET, answer).endswith(b"2\r\nok\r\n0\r\n\r\n")


def test_a_response_without_headers_is_sent() -> None:
    async def answer(_: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    assert response_to(GET, answer).startswith(b"HTTP/1.1 204 No Content\r\n")


def test_an_application_that_crashes_before_the_body_has_sent_its_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def crash(_: Any, send: Any) -> None:
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        raise RuntimeError("before the body")

    answered = response_to(GET, crash)
    assert answered.startswith(b"HTTP/1.1 201 Created\r\n")
    assert answered.endswith(b"\r\n\r\n")
    assert "before the body" in caplog.text


def test_a_large_body_earns_no_more_silence_than_a_small_one(
    tmp_path: Path, datasets_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "CLIENT_TIMEOUT_SECONDS", 1)
    monkeypatch.setattr(http_protocol, "MAX_SILENCE_SECONDS", 2)
    prepare(made := settings(tmp_path / "data", datasets_dir))
    with Live(made, http=connection_protocol) as live:
        address = ("127.0.0.1", live.http.base_url.port or 0)
        with socket.create_connection(address, timeout=20) as connection:
            head = b"POST /v1/models/latest/predict HTTP/1.1\r\n" + HOST
            connection.sendall(head + b"Content-Length: 900000\r\n\r\n" + b" " * 800_000)
            started = time.monotonic()
            assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")
            assert time.monotonic() - started < 6, "800 kB would earn 49 seconds"
