"""Addresses of servers: what users write, what is local, and which proxies are used."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from mlp_client import AddressUnusable, AsyncClient, Client, ConnectionFailed, ProxyUnusable
from mlp_client.address import parse


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1:8000",
        "http://127.9.8.7/prefix",
        "http://localhost:80",
        "HTTPS://LocalHost",
        "http://mlp.localhost:8000",
        "http://[::1]:8000",
        "http://[::ffff:127.0.0.1]:8000",
        "unix:/run/mlp.sock",
    ],
)
def test_these_addresses_are_on_this_machine(text: str) -> None:
    assert parse(text).is_local


@pytest.mark.parametrize(
    "text", ["gpu-box", "http://10.0.0.1", "http://localhost.example.com", "http://[2001:db8::1]"]
)
def test_these_addresses_are_on_other_machines(text: str) -> None:
    assert not parse(text).is_local


@pytest.mark.parametrize(
    ("text", "path", "url"),
    [
        ("unix:/run/mlp.sock", "/run/mlp.sock", "http://localhost"),
        ("unix:///run/mlp.sock", "/run/mlp.sock", "http://localhost"),
        ("http+unix://%2Frun%2Fmlp.sock", "/run/mlp.sock", "http://localhost"),
        ("http+unix://%2Frun%2Fmlp.sock/mlp/", "/run/mlp.sock", "http://localhost/mlp"),
    ],
)
def test_a_unix_socket_is_named_by_its_path(text: str, path: str, url: str) -> None:
    address = parse(text)
    assert (address.socket, address.url, address.shown) == (path, url, text)


@pytest.mark.parametrize(
    "text",
    [
        "ftp://example.com",
        "http://",
        "http://[::1",
        "http://example.com:port",
        "unix:relative.sock",
        "http://example.com/?key=1",
        "file:///etc/passwd",
    ],
)
def test_a_text_that_is_no_address_is_refused_with_examples(text: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(AddressUnusable, match="Give base_url"):
            kind(text)


class Listener:
    """A port on which a test sees what a client sends first."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.lines: list[bytes] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                with connection:
                    self.lines.append(connection.recv(4096).split(b"\r\n")[0])

    def stop(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.close()


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    listener = Listener()
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{listener.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    yield listener
    listener.stop()


def test_requests_to_other_machines_go_through_the_proxy_of_the_environment(
    proxy: Listener,
) -> None:
    with Client("http://mlp.example.com", max_retries=0) as client, pytest.raises(ConnectionFailed):
        client.presets()

    async def use() -> None:
        async with AsyncClient("http://mlp.example.com", max_retries=0) as client:
            with pytest.raises(ConnectionFailed):
                await client.presets()

    asyncio.run(use())
    assert proxy.lines == [b"GET http://mlp.example.com/v1/presets HTTP/1.1"] * 2


def test_a_proxy_that_can_not_be_used_is_reported_only_where_it_would_be_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("all_proxy", "gopher://127.0.0.1:1")
    for kind in (Client, AsyncClient):
        kind("http://localhost:1")
        with pytest.raises(ProxyUnusable, match="ALL_PROXY"):
            kind("http://mlp.example.com")
