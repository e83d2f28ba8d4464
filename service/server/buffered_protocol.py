"""How a connection is read: in small pieces, and of a body nothing before somebody asks for it."""

import asyncio

from service.server.http_protocol import Connection

PIECE_BYTES = 16 * 1024
"""Each connection has a buffer of this size; the headers of nearly all requests fit in."""
LARGE_PIECE = bytearray(256 * 1024)
"""For the rest of a body that somebody has asked for. One for all connections: what is read into
it is taken out before anything else happens.
"""


class BufferedProtocol(asyncio.BufferedProtocol):
    """Lies between the socket and the protocol of a Connection.

    By itself uvicorn takes all that comes at once, over 100 kB, before the application has seen
    the headers. Here a request that is refused costs one piece.
    """

    def __init__(self, **options: object) -> None:
        self._http = Connection(**options)
        self._own = self._piece = bytearray(PIECE_BYTES)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._http.connection_made(transport)  # type: ignore[arg-type]  # a stream's

    def get_buffer(self, sizehint: int) -> bytearray:
        request = self._http.cycle
        self._piece = LARGE_PIECE if request is not None and request.more_body else self._own
        return self._piece

    def buffer_updated(self, nbytes: int) -> None:
        before = self._http.cycle
        self._http.data_received(bytes(memoryview(self._piece)[:nbytes]))
        request = self._http.cycle
        if request is not before and request.more_body:
            self._http.flow.pause_reading()  # `receive` goes on

    def eof_received(self) -> None:
        self._http.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._http.connection_lost(exc)

    def pause_writing(self) -> None:
        self._http.pause_writing()

    def resume_writing(self) -> None:
        self._http.resume_writing()
