"""Clients that are slow, silent or endless, and how a server handles a thousand of them."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from service.api.docs import SWAGGER

PREDICT = "/v1/models/latest/predict"
GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
POST = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n".encode()
LARGE = f"GET /vendor/{SWAGGER}/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
CLOSE = b"Connection: close\r\n"
ESTABLISHED = "01"  # a state in /proc/net/tcp
SECONDS = 10
"""How long the server may keep any of these clients."""


def drip(start: bytes, rest: bytes = b"x", seconds: float = 1.0) -> Iterator[bytes | float]:
    """Send `start`, then `rest` again and again; a number is a pause."""
    yield start
    while True:
        yield seconds
        yield rest


def once(start: bytes, rest: bytes = b"", times: int = 0) -> Iterator[bytes | float]:
    yield start + rest * times
    yield 60.0


def endless(start: bytes, rest: bytes) -> Iterator[bytes | float]:
    yield start
    while True:
        yield rest
        yield 0.05


CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
CLIENTS: dict[str, Callable[[], Iterator[bytes | float]]] = {
    "silent": lambda: once(b""),
    "blank lines": lambda: drip(b"\r\n", b"\r\n"),
    "dripping address": lambda: drip(b"GET /"),
    "dripping headers": lambda: drip(GET, b"X-More: 1\r\n"),
    "half a header": lambda: once(GET + b"X-Long: "),
    "headers without a body": lambda: once(POST + b"Content-Length: 400\r\n\r\n"),
    "dripping body": lambda: drip(POST + b"Content-Length: 400\r\n\r\n"),
    "dripping chunks": lambda: drip(CHUNKED, b"1\r\nx\r\n"),
    "tiny chunks": lambda: endless(CHUNKED, b"1\r\nx\r\n" * 4000),
    "endless chunk extension": lambda: endless(CHUNKED + b"1;x=", b"x" * 16_000),
    "endless trailers": lambda: endless(CHUNKED + b"0\r\n", b"X-More: 1\r\n" * 400),
    "huge header": lambda: endless(GET + b"X-Long: ", b"x" * 16_000),
    "many headers": lambda: endless(GET, b"X-More: 1\r\n" * 400),
    "huge address": lambda: endless(b"GET /", b"x" * 16_000),
    "idle": lambda: once(GET + b"\r\n"),
    "body after the answer": lambda: drip(POST + b"Content-Length: 99999999\r\n\r\n", b"x"),
    "unread answers": lambda: once(LARGE * 4),
    "pipelined": lambda: once(GET + b"\r\n", GET + b"\r\n", 3000),
    "pipelined and unread": lambda: endless(b"", (GET + b"\r\n") * 500),
    "garbage": lambda: once(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20),
    "half-closed": lambda: once(GET + b"X-Half: "),
}
NEVER_READ = {"unread answers", "pipelined and unread"}


@contextlib.contextmanager
def at_low_priority() -> Iterator[None]:
    """Leave the processors to the good clients, whose time is measured, if that can be undone."""
    if os.geteuid():
        yield
        return
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, usual + 5)
    yield
    os.setpriority(os.PRIO_PROCESS, 0, usual)


class Attack:
    """`count` connections of each of some kinds, and how long the server kept each of them."""

    def __init__(self, port: int, kinds: list[str], count: int) -> None:
        self.port = port
        self.plan = [kind for _ in range(count) for kind in kinds]
        self.kept: dict[str, list[float]] = {kind: [] for kind in kinds}
        self.last_answers: dict[str, bytes] = {}
        """The last bytes that one connection of each kind received."""
        self._served: set[int] = set()

    def run(self) -> dict[str, list[float]]:
        with at_low_priority():
            asyncio.run(self._all())
        return self.kept

    async def _all(self) -> None:
        watching = asyncio.create_task(self._watch())
        tasks = []
        for number, kind in enumerate(self.plan):
            tasks.append(asyncio.create_task(self._one(kind)))
            if number % 20 == 19:
                await asyncio.sleep(0.02)  # a thousand a second
        await asyncio.gather(*tasks)
        watching.cancel()
        await asyncio.sleep(0.1)  # the sockets are closed by now

    async def _watch(self) -> None:
        while True:
            self._served = clients_of(self.port)
            await asyncio.sleep(0.2)

    async def _one(self, kind: str) -> None:
        client = socket.socket()
        if kind in NEVER_READ:  # or the kernel would take all of the answer by itself
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        client.connect(("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=client)
        started = time.monotonic()
        sending = asyncio.create_task(self._send(kind, writer))
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(3 * SECONDS):
                self.last_answers[kind] = await (
                    self._closed(writer) if kind in NEVER_READ else _end(reader)
                )
        self.kept[kind].append(time.monotonic() - started)
        sending.cancel()
        writer.transport.abort()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await sending

    async def _closed(self, writer: asyncio.StreamWriter) -> bytes:
        """Wait, without reading, until the server has closed its end.

        This end need not know: a kernel with no room for bytes may drop the reset behind them.
        """
        assert isinstance(writer.transport, asyncio.Transport)
        writer.transport.pause_reading()
        _, port = writer.get_extra_info("sockname")
        await asyncio.sleep(0.5)
        while port in self._served:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        return b""

    async def _send(self, kind: str, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            for part in CLIENTS[kind]():
                if isinstance(part, bytes):
                    writer.write(part)
                    await writer.drain()
                elif kind == "half-closed":
                    writer.write_eof()
                    return
                else:
                    await asyncio.sleep(part)


async def _end(reader: asyncio.StreamReader) -> bytes:
    last = b""
    while more := await reader.read(65_536):
        last = more
    return last


def clients_of(port: int) -> set[int]:
    """Return the ports of the clients that a server on `port` is connected with."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    here = [row for row in rows if row[1].endswith(f":{port:04X}") and row[3] == ESTABLISHED]
    return {int(row[2].split(":")[1], 16) for row in here}


def open_connections(pid: int) -> int:
    links = list(Path(f"/proc/{pid}/fd").iterdir())
    with contextlib.suppress(OSError):
        return sum(str(link.readlink()).startswith("socket:") for link in links)
    return len(links)


def answer_to(client: socket.socket, data: bytes) -> bytes:
    """Send `data`; return everything that the server sends until it closes the connection."""
    client.sendall(data)
    return b"".join(iter(lambda: client.recv(65_536), b""))
