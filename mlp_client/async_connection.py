"""A pool of HTTP connections to one server, for asyncio."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar, Unpack

import httpx2
import tenacity

from mlp_client.calls import Call, CallOptions, Calls
from mlp_client.connection_settings import ConnectionSettings
from mlp_client.errors import ConnectionFailed, ProxyUnusable

T = TypeVar("T")


class AsyncConnection:
    """A pool of HTTP connections to one server; its methods are those of `Connection`."""

    def __init__(
        self, settings: ConnectionSettings, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self._settings = settings
        self.base_url = settings.address.shown
        self.url = settings.address.url
        direct = settings.transport_options()
        if transport is None and direct is not None:
            transport = httpx2.AsyncHTTPTransport(**direct)
        options = settings.http_options()
        try:
            self._http = httpx2.AsyncClient(**options, transport=transport)
        except (ImportError, ValueError) as error:
            raise ProxyUnusable(error) from error

    async def close(self) -> None:
        await self._http.aclose()

    async def send(
        self, call: Call[T], timeout: float | None = None, max_retries: int | None = None
    ) -> T:
        retrying = tenacity.AsyncRetrying(**self._settings.retry_options(call, max_retries))
        options = self._settings.request_options(call, timeout)
        try:
            response: httpx2.Response = await retrying(self._http.request, **options)
        except httpx2.TransportError as error:
            raise ConnectionFailed(self.base_url, error) from error
        return call.result(response)

    async def send_each(self, calls: Calls[T], **options: Unpack[CallOptions]) -> AsyncIterator[T]:
        call = next(calls, None)
        while call is not None:
            result = await self.send(call, **options)
            yield result
            try:
                call = calls.send(result)
            except StopIteration:
                return

    @asynccontextmanager
    async def events(
        self, path: str, after: str, timeout_seconds: float
    ) -> AsyncIterator[httpx2.EventSource]:
        options = self._settings.stream_options(after, timeout_seconds)
        async with self._http.sse(path, **options) as source:
            yield source
