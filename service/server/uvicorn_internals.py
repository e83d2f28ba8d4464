"""Every use of uvicorn's internals, so that an upgrade of uvicorn has one file to check.

uvicorn documents its command line and `Config`, not its protocol classes. pyproject.toml therefore
pins its minor version, and tests/service/server/test_library_internals.py names what is used here.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

__all__ = ["STATUS_LINE", "Cycle", "UvicornProtocol", "disconnect"]

Cycle = RequestResponseCycle
"""One request and its response."""


class UvicornProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol, with plain names for what is private in it."""

    def on_request_start(self, cycle: Cycle) -> None:
        """Run when the application is about to be called for a request."""

    def _start_asgi_task(self, cycle: Cycle, app: Any) -> None:
        self.on_request_start(cycle)
        super()._start_asgi_task(cycle, app)

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing: HTTP allows a server to ignore an Upgrade header."""

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
