"""Checks of Host and Origin, and security headers on every response."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlp_client.records import Problem
from service.api import problem_responses

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
)
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
"""These methods change nothing."""
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
}
RAW_SECURITY_HEADERS = [
    (name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()
]


class RequestGuard:
    """Refuses foreign Host headers (DNS rebinding) and changes that pages of other sites request
    (cross-site request forgery); adds security headers to responses.

    It is pure ASGI, so the body of a refused request is never read. Since it surrounds everything
    that responds, it also turns the plain-text response of FastAPI's body limit into a problem.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Sequence[str]) -> None:
        self._app = app
        self._allowed_hosts = {host.lower() for host in allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        replaced = False

        async def send_with_headers(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start":
                if message["status"] == 413 and not _is_problem(message):
                    replaced = True
                    problem = problem_responses.too_large(scope)
                    response = problem_responses.answer(problem, SECURITY_HEADERS)
                    await response(scope, receive, send)
                else:
                    present = {name for name, _ in message["headers"]}
                    missing = [
                        header for header in RAW_SECURITY_HEADERS if header[0] not in present
                    ]
                    message["headers"] = [*message["headers"], *missing]
            if not replaced:
                await send(message)

        problem = self._foreign_host(scope) or _cross_site(scope)
        if problem:
            await problem_responses.refuse(scope, receive, send_with_headers, problem)
        else:
            await self._app(scope, receive, send_with_headers)

    def _foreign_host(self, scope: Scope) -> Problem | None:
        """Return the problem of a Host header that is not allowed, or None."""
        hosts = Headers(scope=scope).getlist("host")
        host = hosts[0] if len(hosts) == 1 else ", ".join(hosts)
        any_allowed = "*" in self._allowed_hosts
        if len(hosts) <= 1 and (any_allowed or _without_port(host) in self._allowed_hosts):
            return None
        detail = f"Host {host[:100]!r} is not allowed; MLP_ALLOWED_HOSTS lists the allowed names."
        return problem_responses.problem("host-not-allowed", detail)


def _is_problem(start: Message) -> bool:
    return Headers(raw=start["headers"]).get("content-type") == problem_responses.MEDIA_TYPE


def _cross_site(scope: Scope) -> Problem | None:
    """Return the problem of a change that a page of another site requests, or None.

    The user of that page has not asked for the change.
    """
    if scope["method"] in SAFE_METHODS:
        return None
    headers: dict[bytes, bytes] = dict(scope["headers"])
    if not _is_sent_by_another_site(headers):
        return None
    origin = headers.get(b"origin", b"")[:100].decode("latin-1")
    site = repr(origin) if origin else "another site"
    detail = f"A page of {site} requested a change; only pages of this service's host may."
    return problem_responses.problem("cross-site", detail)


def _is_sent_by_another_site(headers: dict[bytes, bytes]) -> bool:
    """Decide by Sec-Fetch-Site, or else by Origin; only browsers send them.

    Sec-Fetch-Site is more reliable: a proxy may have replaced the name in Host.
    """
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site not in (b"same-origin", b"none")
    origin, host = headers.get(b"origin"), headers.get(b"host", b"")
    return origin is not None and origin.lower().partition(b"://")[2] != host.strip().lower()


def _without_port(host: str) -> str:
    """Return a Host header without its port; an IPv6 address keeps its brackets."""
    host = host.strip().lower()
    return host[: host.find("]") + 1] if host.startswith("[") else host.split(":")[0]
