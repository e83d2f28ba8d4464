"""Every use of uvicorn's internals, so that an upgrade of uvicorn has one file to check.

uvicorn documents its command line and `Config`, not its protocol classes. pyproject.toml therefore
pins its minor version, and tests/service/server/test_library_internals.py names what is used here.
"""

from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import (
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


PROTOCOL_HEADERS = (b"upgrade", b"http2-settings")
"""Headers by which a client offers another protocol."""


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

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            while data:
                data = self._parse(data)
        except HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("")

    def _parse(self, data: bytes) -> bytes:
        """Feed the parser; return what is still to be fed, which begins with a request's head."""
        try:
            self.parser.feed_data(data)
            return b""
        except HttpParserUpgrade as upgrade:
            head, self._offered_upgrade = self._head_without_offer(), False
            self.parser = HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            return head + data[upgrade.args[0] :]

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

    def on_message_complete(self) -> None:
        if not self._offered_upgrade:
            super().on_message_complete()

    def on_request_start(self, cycle: Cycle) -> None:
        """Run when the application is about to be called for a request."""

    def _start_asgi_task(self, cycle: Cycle, app: Any) -> None:
        self.on_request_start(cycle)
        super()._start_asgi_task(cycle, app)

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


def disconnect(cycle: Cycle) -> None:
    """Let the application see that the client of this request has disconnected."""
    cycle.disconnected = True
    cycle.message_event.set()
