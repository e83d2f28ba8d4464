"""The layer around all others: request ids, standard headers, metrics and the access log.

One layer does all of it, because each further function around `send` takes longer than any of them.
"""

from collections.abc import Sequence
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import problem_responses
from service.domain.request_facts import REQUEST, RequestFacts
from service.server import request_id
from service.server.access_log import AccessLog
from service.server.admission import REFUSED
from service.server.metrics import Metrics
from service.server.request_guard import RAW_SECURITY_HEADERS

SERVER_ERROR = 500
Headers = Sequence[tuple[bytes, bytes]]


class Observation:
    """Gives each request an id, each response its standard headers, and records how it ended."""

    def __init__(self, app: ASGIApp, metrics: Metrics, access_log: AccessLog | None) -> None:
        self._app, self._metrics, self._access_log = app, metrics, access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        facts = RequestFacts(request_id.chosen(scope["headers"]))
        REQUEST.set(facts)
        response = ObservedResponse(send, facts.id)
        begun, started = self._metrics.begin(scope), perf_counter()
        try:
            await self._app(scope, receive, response.send)
        except BaseException as exc:
            response.error = type(exc).__qualname__
            if not response.status and isinstance(exc, Exception):
                # A layer has crashed; the framework answers its own crashes.
                await problem_responses.crashed()(scope, receive, response.send_crash)
            raise
        finally:
            seconds = perf_counter() - started
            self._metrics.end(begun, scope, facts, response.status, response.error, seconds)
            if self._access_log and REFUSED not in scope:
                self._access_log.add(scope, facts, response.status, seconds)


class ObservedResponse:
    """A response on its way to the client."""

    __slots__ = ("_headers", "_send", "error", "status")

    def __init__(self, send: Send, id_: str) -> None:
        self._send = send
        self._headers = [*RAW_SECURITY_HEADERS, (b"request-id", id_.encode())]
        self.status = 0
        self.error = "ConnectionError"  # until the response is complete

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._completed(message["headers"])
            await self._send(message)
            return
        await self._send(message)
        if not message.get("more_body"):
            self.error = str(self.status) if self.status >= SERVER_ERROR else ""

    async def send_crash(self, message: Message) -> None:
        """Send the answer to a crash, which remains the error of this request."""
        error = self.error
        await self.send(message)
        self.error = error

    def _completed(self, given: Headers) -> Headers:
        """Return the headers of a response with the standard ones that it does not have."""
        present = {name for name, _ in given}
        return [*given, *[header for header in self._headers if header[0] not in present]]
