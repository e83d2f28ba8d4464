"""Keeps a closed event stream from being reported as a crash of its request."""

from anyio import BrokenResourceError
from starlette.types import ASGIApp, Receive, Scope, Send


class IgnoreBrokenStream:
    """Ignores the error that FastAPI raises when a client leaves while an event is sent to it.

    FastAPI closes the receiving end of the stream before it stops the task that writes to it, and
    then raises that task's BrokenResourceError, in an exception group.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except* BrokenResourceError:
            pass
