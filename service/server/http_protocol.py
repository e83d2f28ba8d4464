"""The HTTP/1.1 protocol of one connection, with time limits and size limits for its client.

uvicorn's own protocol waits forever for the end of a request's headers and for a client that does
not read, accepts headers of any size, and parses as many pipelined requests as are sent.
"""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any

from service.server.admission import REFUSED
from service.server.connection_errors import (
    CLIENT_TIMEOUT_SECONDS,
    MAX_HEADER_BYTES,
    MAX_HEADER_LINES,
    MIN_BYTES_PER_SECOND,
    response_bytes,
)
from service.server.uvicorn_internals import LOCAL_CLIENT, Cycle, UvicornProtocol, disconnect

CHECK_INTERVAL_SECONDS = 1
LINGER_SECONDS = 2
"""How long a refused client may read the response; if it still sends, closing immediately would
reset the connection and discard the response."""
MAX_SILENCE_SECONDS = 60
"""The most silence that a body earns, however much of it was sent before: a large upload would earn
hours."""
MAX_PIPELINED = 4
MAX_DISCARDED_BYTES = 16 * 1024**2
"""Most bytes of a body that are read and discarded after the response. A client may send this
much before it notices the response."""
FREE_CHUNKS, MIN_CHUNK_BYTES = 100, 16
"""A body may arrive in this many chunks of any size; beyond that, chunks must be this large on
average, since each one takes more time than its bytes."""
THROTTLE_SECONDS = (0.0, 0.2, 1.0, 2.0)
"""How long a client's next request is left unread: entry n applies after n + 1 refusals in a row,
and the last entry also after more."""


class StopParsing(Exception):
    """Raised in a callback of the parser, to stop it."""


class HttpProtocol(UvicornProtocol):
    """uvicorn's protocol for clients that are slow, silent or many.

    Once a second it checks whether the client keeps it waiting: for the headers or the body of a
    request, or because it does not read the response. While the application works on a request the
    client may be silent for any time, so that streams of events stay open.

    `limit_concurrency` in uvicorn's config is the highest number of connections. Beyond it, the
    connections that have kept the server waiting longest are closed; if there are none, those with
    the longest-running responses, which are event streams. A new connection is refused only if the
    requests on all other connections are about to be answered.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # uvicorn would answer every request beyond the limit with a plain 503.
        self._max_connections, self.limit_concurrency = self.limit_concurrency, None
        self._keep_alive_header = (b"keep-alive", b"timeout=%d" % self.timeout_keep_alive)
        self._check_timer: asyncio.TimerHandle | None = None
        self._throttle_timer: asyncio.TimerHandle | None = None
        self._active_cycle: Cycle | None = None
        """The request that the application works on; pipelined ones wait behind it."""
        self._refusal_code: str | None = None
        """Code of the problem for which the connection is being closed."""
        self._waiting_since = 0.0
        """When the server began to wait for the client."""
        self._body_heard_at = 0.0
        """When the newest piece of a body arrived."""
        self._responding_since = 0.0
        """When the application was called for the active request."""
        self._in_body = False
        """The newest request's headers are complete and its body is not."""
        self._header_bytes = self._header_lines = 0
        self._body_bytes = self._body_chunks = 0
        self._overhead_bytes = 0
        """Bytes of the newest request that are not part of its body."""
        self._unsent_bytes = self._unsent_since = 0.0
        self._refusals_in_a_row = 0

    # --- The life of a connection ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # narrower, as in uvicorn
        super().connection_made(transport)
        self.client = _client(self.client, transport.get_extra_info("socket").family)
        transport.set_write_buffer_limits(0)  # send the next piece when the client has read one
        self._waiting_since = self.loop.time()
        self._check_timer = self.loop.call_later(CHECK_INTERVAL_SECONDS, self._check_deadlines)
        if self._exceeds_max_connections:
            self._evict_connections()
        if self._exceeds_max_connections:
            self._refuse("too-many-connections")

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._check_timer, self._throttle_timer):
            if timer:
                timer.cancel()
        super().connection_lost(exc)
        # uvicorn disconnects only the newest request; an earlier one may be an endless stream.
        if self._active_cycle:
            disconnect(self._active_cycle)

    def data_received(self, data: bytes | memoryview) -> None:
        if self._refusal_code:
            return
        self._overhead_bytes += len(data)
        super().data_received(data)
        if self._in_body and not self.is_responding and self._body_bytes > MAX_DISCARDED_BYTES:
            self._abort()
        elif self._has_too_much_overhead and not self._refusal_code:
            self._refuse("bad-request" if self._in_body else "headers-too-large")

    @property
    def _has_too_much_overhead(self) -> bool:
        return self._overhead_bytes > MAX_HEADER_BYTES + self._body_bytes // 8

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._refusal_code or "bad-request")

    # --- Callbacks of the parser ---

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = self._header_lines = 0
        self._body_bytes = self._body_chunks = 0
        self._overhead_bytes = 0
        if self.cycle:
            self._waiting_since = self.loop.time()

    def on_url(self, url: bytes) -> None:
        self._count_header(len(url), 0)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_header(len(name) + len(value), 1)
        # What comes after the body is no header: proxies and checks have not seen it.
        if not self._in_body:
            super().on_header(name, value)

    def _count_header(self, size: int, lines: int) -> None:
        self._header_bytes += size
        self._header_lines += lines
        if self._header_bytes > MAX_HEADER_BYTES or self._header_lines > MAX_HEADER_LINES:
            self._stop_parsing("headers-too-large")

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= MAX_PIPELINED:
            self._stop_parsing("bad-request")
        if self.parser.get_method() == b"CONNECT":
            self._stop_parsing("bad-request")  # it is for proxies, and would end the parsing
        super().on_headers_complete()
        self._in_body, self._waiting_since = True, self.loop.time()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        self._body_chunks += 1
        self._body_heard_at = self.loop.time()
        # If one read ends a body and begins the next request, only the rest was counted.
        self._overhead_bytes = max(0, self._overhead_bytes - len(body))
        if self._body_bytes < MIN_CHUNK_BYTES * (self._body_chunks - FREE_CHUNKS):
            self._stop_parsing("bad-request")
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body, self._waiting_since = False, self.loop.time()
        super().on_message_complete()

    def _stop_parsing(self, code: str) -> None:
        self._refusal_code = code
        raise StopParsing

    # --- Responses ---

    def on_request_start(self, cycle: Cycle) -> None:
        self._active_cycle, self._responding_since = cycle, self.loop.time()
        if cycle.keep_alive:
            cycle.default_headers = [*cycle.default_headers, self._keep_alive_header]

    def on_response_complete(self) -> None:
        self._waiting_since = self.loop.time()
        super().on_response_complete()
        refused = self._active_cycle and REFUSED in self._active_cycle.scope
        self._refusals_in_a_row = self._refusals_in_a_row + 1 if refused else 0
        if self._refusals_in_a_row > 1 and not self.pipeline:
            position = min(self._refusals_in_a_row, len(THROTTLE_SECONDS)) - 1
            self._throttle(THROTTLE_SECONDS[position])

    def _throttle(self, seconds: float) -> None:
        """Leave the next request unread for a while if the client ignores Retry-After.

        Refusing it immediately, again and again, would take the time that predictions need.
        """
        self.flow.pause_reading()
        self._throttle_timer = self.loop.call_later(seconds, self.flow.resume_reading)

    def resume_writing(self) -> None:
        self._unsent_bytes = 0
        super().resume_writing()

    # --- Time limits ---

    def _check_deadlines(self) -> None:
        """Close the connection if the client has kept the server waiting for too long."""
        now = self.loop.time()
        self._check_timer = self.loop.call_later(CHECK_INTERVAL_SECONDS, self._check_deadlines)
        self._record_unsent(now)
        if self._leaves_response_unread(now):
            self._abort()
        elif self._refusal_code and not self.is_responding:
            if now > self._waiting_since + LINGER_SECONDS:
                self._abort()
        elif self._server_is_working:
            self._waiting_since = now
        elif self._is_ending:
            pass  # uvicorn closes it
        elif now > self._patient_until:
            self._time_out()

    @property
    def _server_is_working(self) -> bool:
        """Whether the client has nothing to send at the moment."""
        return self.flow.read_paused or (self.is_responding and not self._in_body)

    @property
    def _is_ending(self) -> bool:
        return self.is_idle or self.transport.is_closing()

    @property
    def _patient_until(self) -> float:
        """When the client will have kept the server waiting for too long.

        Body bytes earn time, but none if the response has not waited for them.
        """
        limit = self._waiting_since + CLIENT_TIMEOUT_SECONDS
        if not (self._in_body and self.is_responding):
            return limit
        heard_at = max(self._body_heard_at, self._waiting_since)
        return min(limit + self._body_bytes / MIN_BYTES_PER_SECOND, heard_at + MAX_SILENCE_SECONDS)

    def _record_unsent(self, now: float) -> None:
        """Record how much of the response the client has not read, and since when."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent or not self._unsent_bytes:
            self._unsent_bytes, self._unsent_since = unsent, now
        self._unsent_bytes = max(self._unsent_bytes, unsent)

    def _leaves_response_unread(self, now: float) -> bool:
        read = self._unsent_bytes - self.transport.get_write_buffer_size()
        return now > self._unsent_since + CLIENT_TIMEOUT_SECONDS + read / MIN_BYTES_PER_SECOND

    def _time_out(self) -> None:
        """Answer 408 if a request has begun and no response has; otherwise just close."""
        begun = self._in_body or self._overhead_bytes or self._header_bytes
        if begun and not (self._in_body and not self.is_responding):
            self._refuse("request-timeout")
        else:
            self._abort()

    # --- Closing connections ---

    @property
    def _exceeds_max_connections(self) -> bool:
        limit = self._max_connections
        return limit is not None and len(self.connections) > limit

    def _evict_connections(self) -> None:
        """Close a twentieth of the connections that the server waits for.

        If there are none, close those with the longest-running responses instead. These are event
        streams, and their clients reconnect.
        """
        others = [it for it in self.connections if isinstance(it, HttpProtocol) and it is not self]
        evicted = sorted(
            (it for it in others if it.waits_for_client), key=lambda it: it._waiting_since
        )
        if not evicted:
            evicted = sorted(
                (it for it in others if it.has_started_response),
                key=lambda it: it._responding_since,
            )
        for other in evicted[: len(evicted) // 20 + 1]:
            self.connections.discard(other)
            other._abort()

    @property
    def waits_for_client(self) -> bool:
        return self._in_body or not self.is_responding

    @property
    def has_started_response(self) -> bool:
        return self._active_cycle is not None and self._active_cycle.response_started

    def _abort(self) -> None:
        """Reset the connection. SO_LINGER makes the kernel discard unsent bytes immediately."""
        kernel_socket: socket.socket = self.transport.get_extra_info("socket")
        with suppress(OSError):  # it is closed already
            kernel_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _refuse(self, code: str) -> None:
        """Send a problem if that is still possible, and close the connection."""
        self._refusal_code = code
        self.cancel_keep_alive_timer()
        if self.pipeline and self._active_cycle:  # the client has to send the later ones again
            self.pipeline.clear()
            self.cycle, self._in_body = self._active_cycle, False
        if self.is_responding and not self._in_body:
            self.cycle.keep_alive = False  # a complete request is answered first
        elif self._in_body and self.cycle.response_started:
            self._abort()
        else:
            self._send_refusal(code)

    def _send_refusal(self, code: str) -> None:
        if self._in_body:
            disconnect(self.cycle)
            self.cycle.response_complete = True
        self._waiting_since = self.loop.time()
        self.transport.write(response_bytes(code, self.server_state.default_headers))
        self.transport.write_eof()


def _client(client: tuple[str, int] | None, family: int) -> tuple[str, int] | None:
    """Return a client's address; IPv4 on a socket for IPv6 is written as IPv4.

    None is a client that has gone already. It must not pass for one of a UNIX socket, because those
    are trusted as proxies.
    """
    if family == socket.AF_UNIX:
        return LOCAL_CLIENT, 0
    if client is None:
        return None
    host, port = client
    return host.removeprefix("::ffff:") if "." in host else host, port
