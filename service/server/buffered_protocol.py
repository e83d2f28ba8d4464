"""Reads a connection in small pieces, and a request's body only when the application asks for it.

By itself uvicorn takes everything that has arrived, over 100 kB, before the application has seen
the headers. Here a refused request costs one piece.
"""

import asyncio

from service.server.http_protocol import HttpProtocol

PIECE_BYTES = 16 * 1024
"""Size of each connection's own buffer; the headers of nearly all requests fit into it."""
BODY_BUFFER = bytearray(256 * 1024)
"""Receives the rest of a body that the application has asked for. All connections share it: the
parser copies what is read into it before anything else happens."""


class BufferedProtocol(asyncio.BufferedProtocol):
    """Passes what the socket receives to an HttpProtocol."""

    def __init__(self, http: HttpProtocol) -> None:
        self._http = http
        self._own_buffer = self._buffer = bytearray(PIECE_BYTES)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._http.connection_made(transport)  # type: ignore[arg-type]  # a stream transport

    def get_buffer(self, sizehint: int) -> bytearray:
        self._buffer = BODY_BUFFER if self._http.expects_body else self._own_buffer
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        before = self._http.cycle
        self._http.data_received(memoryview(self._buffer)[:nbytes])
        if self._http.cycle is not before and self._http.expects_body:
            self._http.flow.pause_reading()  # the application's `receive` resumes it

    def eof_received(self) -> None:
        self._http.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._http.connection_lost(exc)

    def pause_writing(self) -> None:
        self._http.pause_writing()

    def resume_writing(self) -> None:
        self._http.resume_writing()
