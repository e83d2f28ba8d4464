"""A pool of HTTP connections to one server, which blocks until the response is there."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar, Unpack

import httpx2
import tenacity

from mlp_client.calls import Call, CallOptions, Calls
from mlp_client.connection_settings import ConnectionSettings
from mlp_client.errors import ConnectionFailed, ProxyUnusable

T = TypeVar("T")


class Connection:
    """A pool of HTTP connections to one server."""

    def __init__(
        self, settings: ConnectionSettings, transport: httpx2.BaseTransport | None = None
    ) -> None:
        """Prepare the pool; connections are opened by the first requests.

        Args:
            settings: how to reach the server.
            transport: replaces the network, for tests.

        Raises:
            KeyUnusable: the text can't be an API key.
            ProxyUnusable: the environment names a proxy that can't be used.

        """
        self._settings = settings
        self.base_url = settings.address.shown
        self.url = settings.address.url
        direct = settings.transport_options()
        if transport is None and direct is not None:
            transport = httpx2.HTTPTransport(**direct)
        options = settings.http_options()
        try:
            self._http = httpx2.Client(**options, transport=transport)
        except (ImportError, ValueError) as error:  # socks without socksio, or an unknown scheme
            raise ProxyUnusable(error) from error

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def send(
        self, call: Call[T], timeout: float | None = None, max_retries: int | None = None
    ) -> T:
        """Send a request, retry it if necessary, and return the result in the response.

        Raises:
            ConnectionFailed: the last attempt got no response.
            ApiError, UnexpectedAnswer: as `Call.result` raises them.

        """
        retrying = tenacity.Retrying(**self._settings.retry_options(call, max_retries))
        options = self._settings.request_options(call, timeout)
        try:
            response = retrying(self._http.request, **options)
        except httpx2.TransportError as error:
            raise ConnectionFailed(self.base_url, error) from error
        return call.result(response)

    def send_each(self, calls: Calls[T], **options: Unpack[CallOptions]) -> Iterator[T]:
        """Send calls one after the other and yield their results; see `send`."""
        call = next(calls, None)
        while call is not None:
            result = self.send(call, **options)
            yield result
            try:
                call = calls.send(result)
            except StopIteration:
                return

    @contextmanager
    def events(self, path: str, after: str, timeout_seconds: float) -> Iterator[httpx2.EventSource]:
        """Open an event stream, without retries.

        Args:
            path: path of the stream.
            after: id of the last event received, or an empty string for all events.
            timeout_seconds: the stream fails after this time without a byte.

        Raises:
            httpx2.TransportError: the connection failed.

        """
        options = self._settings.stream_options(after, timeout_seconds)
        with self._http.sse(path, **options) as source:
            yield source
