"""Answers HEAD and OPTIONS for every route; no route declares them."""

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problem_responses import METHODS

NO_METHOD = "-"
"""A method that no route can have; the framework answers it with 405, and names the methods."""


class HeadAndOptions:
    """Answers HEAD as GET without a body, and OPTIONS with the methods of the address.

    It comes last before the framework, so that all other layers see the method that was sent.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"] if scope["type"] == "http" else ""
        if method == "HEAD":
            await _Substitute(scope, receive, send).answer_head(self._app)
        elif method != "OPTIONS":
            await self._app(scope, receive, send)
        elif scope["path"] == "*":  # the service as a whole
            answer = Response(status_code=204, headers={"Allow": ", ".join(METHODS)})
            await answer(scope, receive, send)
        else:
            await _Substitute(scope, receive, send).answer_options(self._app)


class _Substitute:
    """Runs a request with another method, and replaces the response."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._run_as: Scope = {}
        self._is_answered = False

    async def answer_head(self, app: ASGIApp) -> None:
        self._run_as = {**self._scope, "method": "GET"}
        await app(self._run_as, self._receive_until_answered, self._send_headers)

    async def answer_options(self, app: ASGIApp) -> None:
        self._run_as = {**self._scope, "method": NO_METHOD}
        await app(self._run_as, self._receive, self._send_methods)

    async def _receive_until_answered(self) -> Message:
        """Receive from the client, who has left as soon as it has the headers.

        This ends the stream of a response, which may be long or endless.
        """
        return {"type": "http.disconnect"} if self._is_answered else await self._receive()

    async def _send_headers(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._note_route()
            await self._answer(message)

    async def _send_methods(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._note_route()
            if message["status"] == 405:
                allow = Headers(raw=message["headers"])["allow"].encode()
                await self._answer({**message, "status": 204, "headers": [(b"allow", allow)]})
                return
        if not self._is_answered:
            await self._send(message)

    async def _answer(self, start: Message) -> None:
        await self._send(start)
        self._is_answered = True
        await self._send({"type": "http.response.body", "body": b""})

    def _note_route(self) -> None:
        """Note in the scope what the framework has found, for the layers around this one."""
        self._scope.update({**self._run_as, "method": self._scope["method"]})
