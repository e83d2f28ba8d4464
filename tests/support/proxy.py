"""A TCP proxy that disturbs requests, in an order drawn from a seed."""

import asyncio
import random
import re
import socket
import threading
from collections import Counter
from contextlib import suppress

FATES = ("before", "half sent", "unanswered", "half answered", "half closed", "late")
"""The connection is cut before the request is forwarded, in the middle of it, before the answer, or
in the middle of the answer; the server's side is half closed; the request is delayed."""
CUTS_IN_A_ROW = 3
"""After that many a request is forwarded undisturbed, since `mlp_client` tries five times."""
BROKEN = (asyncio.IncompleteReadError, ConnectionError)


class Proxy:
    """Forwards HTTP/1.1 requests to a local port, and disturbs about `share` of them."""

    def __init__(self, port: int, seed: int, share: float) -> None:
        self.port = 0
        self.fates: Counter[str] = Counter()
        self._to, self._share, self._rng = port, share, random.Random(seed)
        self._cuts: Counter[bytes] = Counter()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def __enter__(self) -> "Proxy":
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=256)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected(
        self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        server, to_server = await asyncio.open_connection("127.0.0.1", self._to)
        try:
            while await self._pass(client, to_client, server, to_server):
                pass
        except BROKEN:
            pass
        finally:
            for writer in (to_client, to_server):
                _reset(writer)
            self._open.discard(task)

    async def _pass(
        self,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> bool:
        """Forward one request and its answer; return False if the connection must be cut."""
        request = await _message(client)
        fate = self._fate(request)
        if fate == "before":
            return False
        if fate == "late":
            await asyncio.sleep(self._rng.uniform(0.0, 0.05))
        to_server.write(request[: len(request) // 2] if fate == "half sent" else request)
        await to_server.drain()
        if fate == "half sent":
            return False
        if fate == "half closed":
            to_server.write_eof()
        answer = await _message(server)
        if fate == "unanswered":
            return False
        to_client.write(answer[: len(answer) // 2] if fate == "half answered" else answer)
        await to_client.drain()
        return fate in ("", "late")

    def _fate(self, request: bytes) -> str:
        found = re.search(rb"idempotency-key: (\S+)", request, re.IGNORECASE)
        key = found[1] if found else b""
        if self._rng.random() > self._share or self._cuts[key] == CUTS_IN_A_ROW:
            return ""
        fate = self._rng.choice(FATES)
        self.fates[fate] += 1
        self._cuts[key] += fate != "late"
        return fate


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return head + await reader.readexactly(int(length[1]) if length else 0)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Reset the connection, so that the other side does not see an orderly end."""
    kernel_socket: socket.socket | None = writer.get_extra_info("socket")
    with suppress(OSError):
        if kernel_socket:
            kernel_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()
