"""Every use of uvicorn's internals, so that an upgrade of uvicorn has one file to check.

uvicorn documents its command line and `Config`, not its protocol classes. pyproject.toml therefore
pins its minor version, and tests/service/server/test_library_internals.py names what is used here.
"""

import re
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from starlette.types import Message
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

__all__ = ["LOCAL_CLIENT", "STATUS_LINE", "Cycle", "ProxyHeaders", "UvicornProtocol", "disconnect"]

ProxyHeaders: Any = ProxyHeadersMiddleware
"""A layer that believes X-Forwarded-For and -Proto of trusted addresses; uvicorn's types differ
from Starlette's."""
LOCAL_CLIENT = "unix"
"""The name of clients that connect to a UNIX socket, which have no address."""

Cycle = RequestResponseCycle
"""One request and its response."""


CONTENT_LENGTH = b"content-length"
LARGEST_WHOLE_BYTES = 64 * 1024
"""A larger body takes longer to copy than to write by itself."""
FRAMING = re.compile(rb"connection|transfer-encoding", re.IGNORECASE)
"""Headers that decide how a response ends."""
PROTOCOL_HEADERS = (b"upgrade", b"http2-settings")
"""Headers by which a client offers another protocol."""


class WholeResponse:
    """Calls an application with a `send` that writes a response at once if its body is one message.

    uvicorn looks at each header by itself, and writes the head and the body one after the other,
    each with a system call. All other responses are left to it.
    """

    def __init__(self, app: Any, cycle: Cycle) -> None:
        self._app = app
        self._cycle: Any = cycle  # whose types of messages are stricter than Starlette's
        self._start: Message | None = None
        """The start of a response that says how long its body is, until the body comes."""

    async def __call__(self, scope: Any, receive: Any, _: Any) -> None:
        try:
            await self._app(scope, receive, self._send)
        except BaseException:
            await self._send_start()  # as if it had not been held back
            raise

    async def _send(self, message: Message) -> None:
        if self._start is None and _has_length(message):
            self._start = message
        elif self._start and self._is_simple() and (whole := self._whole(self._start, message)):
            self._start = None
            self._write(whole)
        else:
            await self._send_start()
            await self._cycle.send(message)

    async def _send_start(self) -> None:
        start, self._start = self._start, None
        if start is not None:
            await self._cycle.send(start)

    def _is_simple(self) -> bool:
        """Return whether nothing but writing the response remains to be done."""
        cycle = self._cycle
        if cycle.response_started or cycle.disconnected or cycle.flow.write_paused:
            return False
        return bool(cycle.keep_alive) and cycle.scope["method"] != "HEAD"

    def _whole(self, start: Message, message: Message) -> bytes | None:
        """Return the bytes of a response; None if its headers are wrong or its body goes on."""
        headers, body = [*self._cycle.default_headers, *start["headers"]], message.get("body", b"")
        if message.get("more_body") or len(body) > LARGEST_WHOLE_BYTES:
            return None
        if (CONTENT_LENGTH, b"%d" % len(body)) not in headers:
            return None
        names, values = map(b"".join, zip(*headers, strict=True))
        if HEADER_RE.search(names) or HEADER_VALUE_RE.search(values) or FRAMING.search(names):
            return None
        lines = [b"%s: %s\r\n" % header for header in headers]
        return b"".join((STATUS_LINE[start["status"]], *lines, b"\r\n", body))

    def _write(self, whole: bytes) -> None:
        """Write a response, and leave the cycle as uvicorn's `send` would."""
        cycle = self._cycle
        cycle.transport.write(whole)
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        cycle.on_response()


class UvicornProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol, with plain names for what is private in it.

    It ignores offers to change to another protocol, such as `Upgrade: h2c`, which Java's HttpClient
    sends with every request. The parser stops after the headers of such a request, so a new parser
    reads the same headers without the offer, and then the body, as it would any other request.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._offered_upgrade = False
        """The request being parsed offers another protocol; it begins again without the offer."""

    def data_received(self, data: bytes | memoryview) -> None:
        self._unset_keepalive_if_required()
        try:
            while data:
                data = self._parse(data)
        except HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("")

    def _parse(self, data: bytes | memoryview) -> bytes:
        """Feed the parser; return what is still to be fed, which begins with a request's head."""
        try:
            self.parser.feed_data(data)
            return b""
        except HttpParserUpgrade as upgrade:
            head, self._offered_upgrade = self._head_without_offer(), False
            self.parser = HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            return head + bytes(data[upgrade.args[0] :])

    def _head_without_offer(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                kept = [
                    it for it in value.split(b",") if it.strip().lower() not in PROTOCOL_HEADERS
                ]
                lines.append(b"connection: " + b",".join(kept))
            elif name not in PROTOCOL_HEADERS:
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])

    def on_headers_complete(self) -> None:
        self._offered_upgrade = self.parser.should_upgrade()
        if not self._offered_upgrade:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        # uvicorn appends to a `bytearray`, and copies that when the application receives it.
        if not (self.cycle.body or self.cycle.response_complete):
            self.cycle.body, body = body, b""  # type: ignore[assignment]  # bytes do as well
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._offered_upgrade:
            super().on_message_complete()

    def on_request_start(self, cycle: Cycle) -> None:
        """Run when the application is about to be called for a request."""

    def _start_asgi_task(self, cycle: Cycle, app: Any) -> None:
        self.on_request_start(cycle)
        super()._start_asgi_task(cycle, WholeResponse(app, cycle))

    def cancel_keep_alive_timer(self) -> None:
        """Keep uvicorn from closing the connection when it has been idle for long enough."""
        self._unset_keepalive_if_required()

    @property
    def is_idle(self) -> bool:
        """All requests have been answered, and nothing has arrived since."""
        return self.timeout_keep_alive_task is not None

    @property
    def is_responding(self) -> bool:
        """The newest request has not been answered completely."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def expects_body(self) -> bool:
        """The body of the newest request has not arrived completely."""
        return self.cycle is not None and self.cycle.more_body


def _has_length(message: Message) -> bool:
    """Return whether this is the start of a response that says how long its body is."""
    if message["type"] != "http.response.start":
        return False
    message["headers"] = list(message.get("headers", ()))
    return any(name == CONTENT_LENGTH for name, _ in message["headers"])


def disconnect(cycle: Cycle) -> None:
    """Let the application see that the client of this request has disconnected."""
    cycle.disconnected = True
    cycle.message_event.set()
