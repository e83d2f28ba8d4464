"""What every request passes before it is read: the Host header, and headers on every answer."""

from collections.abc import Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import problems

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"


class Edge:
    """Refuses foreign Host headers (DNS rebinding), and adds security headers to answers.

    Pure ASGI: a refused request's body is never read. It lies around all that answers, so it also
    words the body limit's own answer, which is plain text, as a problem.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Sequence[str]) -> None:
        self._app = app
        self._allowed = {host.lower() for host in allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        replaced = False

        async def send_safely(message: Message) -> None:
            nonlocal replaced
            if replaced:
                return
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if message["status"] == 413 and headers["Content-Type"] != problems.MEDIA_TYPE:
                    too_large = problems.answer(problems.problem("too-large", problems.TOO_LARGE))
                    await too_large(scope, receive, send_safely)
                    replaced = True
                    return
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Content-Security-Policy", POLICY)
                headers.setdefault("Referrer-Policy", "no-referrer")
            await send(message)

        host = Headers(scope=scope).get("host", "")
        if "*" in self._allowed or _name(host) in self._allowed:
            await self._app(scope, receive, send_safely)
            return
        detail = f"Host {host[:100]!r} is not allowed; MLP_ALLOWED_HOSTS lists the names that are."
        await problems.answer(problems.problem("host-not-allowed", detail))(
            scope, receive, send_safely
        )


def _name(host: str) -> str:
    """Return a Host header without its port; an IPv6 address keeps its brackets."""
    host = host.strip().lower()
    return host[: host.find("]") + 1] if host.startswith("[") else host.split(":")[0]
