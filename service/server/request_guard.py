"""What every request passes before it is read: Host and Origin, and headers on every answer."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlp_client.records import Problem
from service.api import problem_responses

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
)
SAFE = ("GET", "HEAD", "OPTIONS")
"""These methods change nothing."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
}
RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


class RequestGuard:
    """Refuses foreign Host headers (DNS rebinding) and the changes that pages of other sites ask
    for (request forgery); adds security headers to answers.

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
            if message["type"] == "http.response.start":
                if message["status"] == 413 and not _is_problem(message):
                    replaced = True
                    too_large = problem_responses.answer(
                        problem_responses.too_large(scope), HEADERS
                    )
                    await too_large(scope, receive, send)
                else:
                    given = {name for name, _ in message["headers"]}
                    missing = [header for header in RAW_HEADERS if header[0] not in given]
                    message["headers"] = [*message["headers"], *missing]
            if not replaced:
                await send(message)

        refused = self._foreign_host(scope) or _cross_site(scope)
        if refused:
            await problem_responses.refuse(scope, receive, send_safely, refused)
        else:
            await self._app(scope, receive, send_safely)

    def _foreign_host(self, scope: Scope) -> Problem | None:
        hosts = Headers(scope=scope).getlist("host")
        host = hosts[0] if len(hosts) == 1 else ", ".join(hosts)
        if len(hosts) <= 1 and ("*" in self._allowed or _name(host) in self._allowed):
            return None
        detail = f"Host {host[:100]!r} is not allowed; MLP_ALLOWED_HOSTS lists the names that are."
        return problem_responses.problem("host-not-allowed", detail)


def _is_problem(start: Message) -> bool:
    return Headers(raw=start["headers"]).get("content-type") == problem_responses.MEDIA_TYPE


def _cross_site(scope: Scope) -> Problem | None:
    """Return why a page of another site must not do this: its user has not asked for it."""
    if scope["method"] in SAFE:
        return None
    headers: dict[bytes, bytes] = dict(scope["headers"])
    if not _sent_by_another_site(headers):
        return None
    asked = headers.get(b"origin", b"another site")[:100].decode("latin-1")
    detail = f"A page of {asked!r} asks for a change; only pages of this service's own host may."
    return problem_responses.problem("cross-site", detail)


def _sent_by_another_site(headers: dict[bytes, bytes]) -> bool:
    """Tell it by what browsers, and only they, send: Sec-Fetch-Site, or at least Origin.

    The first knows better: a proxy may have put its own name for us into Host.
    """
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site not in (b"same-origin", b"none")
    origin, host = headers.get(b"origin"), headers.get(b"host", b"")
    return origin is not None and origin.lower().partition(b"://")[2] != host.strip().lower()


def _name(host: str) -> str:
    """Return a Host header without its port; an IPv6 address keeps its brackets."""
    host = host.strip().lower()
    return host[: host.find("]") + 1] if host.startswith("[") else host.split(":")[0]
