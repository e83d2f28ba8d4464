"""One client's connection: how long it may keep us waiting, and how much it may send unasked.

uvicorn's own protocol waits for ever for the end of a request's headers and for a client that does
not read, takes headers of any size, and parses as many pipelined requests as are sent.
"""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from service.api import problem_responses
from service.server.admission import REFUSED
from service.server.request_guard import HEADERS

PATIENCE_SECONDS = 6
"""For all headers of a request, for the first byte of a body, for any byte read of an answer."""
IDLE_SECONDS = 7
"""Between two requests. More than the 5 after which httpx gives a connection up by itself: were it
the same, a request sent just then would be lost without an answer."""
BYTES_PER_SECOND = 16 * 1024
"""More patience is earned by bytes of a body sent, or of an answer read."""
LOOK_SECONDS = 1
LINGER_SECONDS = 2
"""A refused client may read why: closing at once would cut our answer off if it still sends."""
MAX_HEAD_BYTES = 32 * 1024
MAX_HEAD_LINES = 100
MAX_PIPELINED = 4
MAX_UNASKED_BYTES = 16 * 1024**2
"""Of a body that is still sent when its request has been answered: all of one that is a mistake."""
MAX_CRUMBS, CRUMB_BYTES = 100, 16
"""So many pieces of a body may be as small as they like, if on average they are not that small."""
HOLD_SECONDS = (0.0, 0.2, 1.0, 2.0)
"""How long a client's next request lies unread when so many in a row were refused, less one."""
ACCEPTED_PER_TURN = 16
"""libuv takes one a turn from a socket: new clients waited 5 s while a thousand had their turns."""
UNSENT_BYTES = 128 * 1024
"""What the kernel may hold of an answer; it would take megabytes for each client."""
TEXTS = {
    "bad-request": "The bytes that arrived are no HTTP/1.1 request, or one in too many pieces, or "
    "one with a body and Upgrade (`curl --http2` sends that).",
    "request-timeout": f"The rest of the request did not come within {PATIENCE_SECONDS} seconds, "
    f"or slower than {BYTES_PER_SECOND // 1024} KiB a second.",
    "headers-too-large": f"Address and headers may have {MAX_HEAD_BYTES // 1024} KiB and "
    f"{MAX_HEAD_LINES} lines; send less.",
    "too-many-connections": "MLP_MAX_CONNECTIONS clients are being served; try again.",
}


class Refused(Exception):
    """Raised inside the parser, to stop it."""


def listeners(listener: socket.socket) -> list[socket.socket]:
    """Return the socket as often as it may accept a connection in one turn of the event loop.

    The kernel shall hold little for clients that do not read; the connections inherit this.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNSENT_BYTES)
    milliseconds = 1000 * (PATIENCE_SECONDS + LOOK_SECONDS)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    return [listener, *(listener.dup() for _ in range(ACCEPTED_PER_TURN - 1))]


class Connection(HttpToolsProtocol):
    """uvicorn's protocol, for clients that are slow, silent or many.

    Once a second it looks whether the client keeps it waiting: with a request's headers, with its
    body, or by not reading the answer. While the service works, the client may be as silent as it
    likes: a listener to events is never sent away.

    `limit_concurrency` of uvicorn's config is the number of connections. Beyond it those are sent
    away that we have waited for longest, then those that have been told longest (streams of
    events), and new ones only when all others are about to be answered.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # uvicorn's own way to keep this limit is a plain 503 for everyone, good or bad.
        self._most, self.limit_concurrency = self.limit_concurrency, None
        self._looking: asyncio.TimerHandle | None = None
        self._answering: RequestResponseCycle | None = None
        self._why: str | None = None
        """Code of the problem for which the connection is being closed."""
        self._since = 0.0
        """When we began to wait for the client."""
        self._begun = 0.0
        """When we began to answer the client."""
        self._open = False
        """The headers of the newest request are complete, its body is not."""
        self._head_bytes = self._head_lines = self._body_bytes = self._body_pieces = 0
        self._frame_bytes = 0
        """Bytes of the newest request that are not its body's."""
        self._unsent = self._unread_since = 0.0
        self._refusals = 0
        self._holding: asyncio.TimerHandle | None = None

    # --- The life of a connection ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # an answer in pieces waits until one is taken
        self._since = self.loop.time()
        self._looking = self.loop.call_later(LOOK_SECONDS, self._look)
        if self._most and len(self.connections) > self._most and not self._made_room():
            self._refuse("too-many-connections")

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._looking, self._holding):
            if timer:
                timer.cancel()
        super().connection_lost(exc)
        # uvicorn tells only the newest request; one before it may be a stream that never ends.
        if self._answering:
            _hang_up(self._answering)

    def data_received(self, data: bytes) -> None:
        if self._why:
            return
        self._frame_bytes += len(data)
        super().data_received(data)
        if self._open and not self._working and self._body_bytes > MAX_UNASKED_BYTES:
            self._cut()
        elif self._frame_bytes > MAX_HEAD_BYTES + self._body_bytes // 8 and not self._why:
            self._refuse("bad-request" if self._open else "headers-too-large")

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._why or "bad-request")

    # --- What the parser finds ---

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = self._head_lines = self._body_bytes = self._body_pieces = 0
        self._frame_bytes = 0
        if self.cycle:
            self._since = self.loop.time()

    def on_url(self, url: bytes) -> None:
        self._count(len(url), 0)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value), 1)
        super().on_header(name, value)

    def _count(self, size: int, lines: int) -> None:
        self._head_bytes += size
        self._head_lines += lines
        if self._head_bytes > MAX_HEAD_BYTES or self._head_lines > MAX_HEAD_LINES:
            self._stop_parsing("headers-too-large")

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= MAX_PIPELINED:
            self._stop_parsing("bad-request")
        if self.parser.should_upgrade() and _has_body(self.headers):
            self._stop_parsing("bad-request")  # the parser would drop the body
        super().on_headers_complete()
        self._open, self._since = True, self.loop.time()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        self._body_pieces += 1
        # Of a piece that ends one body and begins the next request only the rest was counted.
        self._frame_bytes = max(0, self._frame_bytes - len(body))
        if self._body_bytes < CRUMB_BYTES * (self._body_pieces - MAX_CRUMBS):
            self._stop_parsing("bad-request")  # each piece takes longer than its bytes
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._open, self._since = False, self.loop.time()
        super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Ignore the wish, as HTTP allows."""

    def _stop_parsing(self, code: str) -> None:
        self._why = code
        raise Refused

    # --- What is answered ---

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering, self._begun = cycle, self.loop.time()
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        super().on_response_complete()
        refused = self._answering and REFUSED in self._answering.scope
        self._refusals = self._refusals + 1 if refused else 0
        if self._refusals > 1 and not self.pipeline:
            self._hold(HOLD_SECONDS[min(self._refusals, len(HOLD_SECONDS)) - 1])

    def _hold(self, seconds: float) -> None:
        """Leave the next request of a client unread who does not wait as long as Retry-After says.

        Refusing it at once, again and again, would take the time that predictions need.
        """
        self.flow.pause_reading()
        self._holding = self.loop.call_later(seconds, self.flow.resume_reading)

    def resume_writing(self) -> None:
        self._unsent = 0
        super().resume_writing()

    # --- Waiting ---

    def _look(self) -> None:
        """Send the client away if it keeps us waiting for too long."""
        now = self.loop.time()
        self._looking = self.loop.call_later(LOOK_SECONDS, self._look)
        if self._leaves_unread(now):
            self._cut()
        elif self._why and not self._working:
            if now > self._since + LINGER_SECONDS:
                self._cut()
        elif self.flow.read_paused or (self._working and not self._open):
            self._since = now
        elif self._idle or self.transport.is_closing():
            pass  # uvicorn closes it
        elif now > self._since + PATIENCE_SECONDS + self._earned / BYTES_PER_SECOND:
            self._give_up()

    @property
    def _working(self) -> bool:
        """A request has not been answered to its end."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _idle(self) -> bool:
        """All that was asked is answered, and nothing has been sent since."""
        return self.timeout_keep_alive_task is not None

    @property
    def _earned(self) -> int:
        """Bytes for which the client gets more time; none when the answer did not wait for them."""
        return self._body_bytes if self._open and self._working else 0

    def _leaves_unread(self, now: float) -> bool:
        left = self.transport.get_write_buffer_size()
        if not left or not self._unsent:
            self._unsent, self._unread_since = left, now
        self._unsent = max(self._unsent, left)
        earned = (self._unsent - left) / BYTES_PER_SECOND
        return now > self._unread_since + PATIENCE_SECONDS + earned

    def _give_up(self) -> None:
        begun = self._open or self._frame_bytes or self._head_bytes
        if begun and not (self._open and not self._working):
            self._refuse("request-timeout")
        else:
            self._cut()

    # --- Sending away ---

    def _made_room(self) -> bool:
        """Send a twentieth away of those that we wait for, or else of the longest answers, which
        are streams of events: their clients come back for the rest. Say whether that is enough.
        """
        others = [it for it in self.connections if isinstance(it, Connection) and it is not self]
        leaving = sorted((it for it in others if it.is_waited_for), key=lambda it: it._since)
        if not leaving:
            leaving = sorted((it for it in others if it.is_told), key=lambda it: it._begun)
        for other in leaving[: len(leaving) // 20 + 1]:
            self.connections.discard(other)
            other._cut()
        return len(self.connections) <= (self._most or 0)

    def _cut(self) -> None:
        """Close at once; without this option the kernel would keep what is unsent for a while."""
        kernel: socket.socket = self.transport.get_extra_info("socket")
        with suppress(OSError):  # closed already
            kernel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    @property
    def is_waited_for(self) -> bool:
        return self._open or not self._working

    @property
    def is_told(self) -> bool:
        """An answer has begun."""
        return self._answering is not None and self._answering.response_started

    def _refuse(self, code: str) -> None:
        """Answer with a problem, as far as that is possible, and close."""
        self._why = code
        self._unset_keepalive_if_required()
        if self.pipeline and self._answering:  # what it sent behind that is its own to send again
            self.pipeline.clear()
            self.cycle, self._open = self._answering, False
        if self._working and not self._open:
            self.cycle.keep_alive = False  # what was asked properly is answered first
        elif self._open and self.cycle.response_started:
            self._cut()
        else:
            if self._open:
                _hang_up(self.cycle)
                self.cycle.response_complete = True
            self._since = self.loop.time()
            self.transport.write(_answer(code, self.server_state.default_headers))
            self.transport.write_eof()


def _has_body(headers: list[tuple[bytes, bytes]]) -> bool:
    sent = dict(headers)
    return b"transfer-encoding" in sent or sent.get(b"content-length", b"0").strip(b"0") != b""


def _hang_up(cycle: RequestResponseCycle) -> None:
    cycle.disconnected = True
    cycle.message_event.set()


def _answer(code: str, default_headers: list[tuple[bytes, bytes]]) -> bytes:
    found = problem_responses.answer(
        problem_responses.problem(code, TEXTS[code]), HEADERS | {"Connection": "close"}
    )
    if found.status_code == 503:
        found.headers["Retry-After"] = problem_responses.RETRY_SECONDS
    lines = [b"%s: %s\r\n" % header for header in [*default_headers, *found.raw_headers]]
    return b"".join([STATUS_LINE[found.status_code], *lines, b"\r\n", found.body])
