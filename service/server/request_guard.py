"""Checks of Host and Origin, and the security headers that every response gets."""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from mlp_client.records import Problem
from service.api import problem_responses
from service.api.session import SESSION_PATH
from service.server.forwarded import forwarded_hosts

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
)
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
"""These methods change nothing."""
PROBES = ("/livez", "/readyz")
"""Orchestrators and load balancers ask for these by address, by other names, or without a name."""
ORIGIN_ALLOWED = "origin_allowed"
"""Key that marks the scope of a request from a page whose origin MLP_ALLOWED_ORIGINS lists."""
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_][a-z0-9._-]*)(?::[0-9]*)?")
BROWSERS_HEADERS = (b"origin", b"sec-fetch-site")
PRINTED_ORIGIN = re.compile(r"[!-~]{1,200}")
MAX_HOST_BYTES = 300
KEPT_HOSTS = 1000
"""Number of Host headers whose check is remembered."""
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
    (cross-site request forgery).

    It is pure ASGI, so the body of a refused request is never read.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Sequence[str]) -> None:
        self._app = app
        self._any_host = "*" in allowed_hosts
        self._names = {host.lower() for host in allowed_hosts if not host.startswith("*")}
        self._suffixes = tuple(host[1:].lower() for host in allowed_hosts if host.startswith("*."))
        self._is_allowed_host = lru_cache(KEPT_HOSTS)(self._compute_is_allowed_host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        problem = self._foreign_host(scope) or _cross_site(scope)
        if problem:
            await problem_responses.refuse(scope, receive, send, problem)
        else:
            await self._app(scope, receive, send)

    def _foreign_host(self, scope: Scope) -> Problem | None:
        """Return the problem of a Host header that is not allowed, or None."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) == 1 and len(hosts[0]) < MAX_HOST_BYTES and self._is_allowed_host(hosts[0]):
            return None
        any_host = self._any_host or scope.get("path") in PROBES
        if any_host and len(hosts) <= 1:
            return None
        host = b", ".join(hosts)[:100].decode("latin-1")
        detail = f"Host {host!r} is not allowed; MLP_ALLOWED_HOSTS lists the allowed names."
        return problem_responses.problem("host-not-allowed", detail)

    def _compute_is_allowed_host(self, header: bytes) -> bool:
        """Return whether a Host header has an allowed name or an IP address.

        A page needs a name to point to this service by DNS rebinding. One that was loaded from an
        IP address can reach no other, so addresses are allowed: probes and scrapers use them.
        """
        found = HOST.fullmatch(header.decode("latin-1").strip().lower())
        if not found:
            return False
        host = found[1]
        return host in self._names or host.endswith(self._suffixes) or _is_ip_address(host)


def _cross_site(scope: Scope) -> Problem | None:
    """Return the problem of a change that a page of another site requests, or None.

    The user of that page has not asked for the change.
    """
    if scope["method"] in SAFE_METHODS or not is_sent_by_another_site(scope):
        return None
    if scope["path"] == SESSION_PATH:
        return not_own_page()
    return None if ORIGIN_ALLOWED in scope else other_site(scope)


def not_own_page() -> Problem:
    """Return the problem of a page that begins, ends or uses a session and may not."""
    detail = (
        "Sessions are for the service's own page, and the browser does not say that this request "
        "is from it; send the API key as `Authorization: Bearer mlp_…` instead."
    )
    return problem_responses.problem("not-own-page", detail)


def other_site(scope: Scope) -> Problem:
    """Return the problem of a request from a page whose origin is not allowed."""
    origin = Headers(scope=scope).get("origin", "")
    if not PRINTED_ORIGIN.fullmatch(origin):
        origin = "the page's origin"
    detail = (
        "A page of another site requested this. The service's own pages may do it, and those of "
        f"the origins in MLP_ALLOWED_ORIGINS; to allow this page, add {origin} there"
    )
    with_keys = " (it counts once there are API keys)" if origin == "null" else ""
    return problem_responses.problem("cross-site", f"{detail}{with_keys}.")


def is_sent_by_own_page(scope: Scope) -> bool:
    """Return whether a browser says that this service's page, or its user, requests this."""
    return _is_sent_by_browser(scope) and not is_sent_by_another_site(scope)


def has_origin(scope: Scope) -> bool:
    return any(name == b"origin" for name, _ in scope["headers"])


def _is_sent_by_browser(scope: Scope) -> bool:
    return any(name in BROWSERS_HEADERS for name, _ in scope["headers"])


def is_sent_by_another_site(scope: Scope) -> bool:
    """Decide by Sec-Fetch-Site, or else by Origin; only browsers send them.

    Sec-Fetch-Site is more reliable: a proxy may have replaced the name in Host. Browsers omit it
    where neither TLS nor localhost is used; then a proxy can pass the name in X-Forwarded-Host.
    """
    if not _is_sent_by_browser(scope):
        return False
    headers = Headers(scope=scope)
    sites, origins = headers.getlist("sec-fetch-site"), headers.getlist("origin")
    if sites:
        return any(site not in ("same-origin", "none") for site in sites)
    host = origins[0].lower().partition("://")[2]
    own = [headers.get("host", "").strip().lower(), *forwarded_hosts(scope)]
    return len(origins) > 1 or not host or host not in own


def _is_ip_address(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return host.startswith("[") == (":" in host)
