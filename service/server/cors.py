"""Web pages of other origins: which of them may use the service, and the headers that browsers ask
for (the Fetch Standard, "CORS protocol").

Starlette's CORSMiddleware answers 200 and 400 with plain text, and its list of origins is fixed;
here a refusal is a problem that names the setting, and `*` depends on whether there are API keys.
"""

import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.address_settings import ANY, UNLISTED
from service.api import problem_responses
from service.domain.errors import StoreBroken
from service.server.key_ring import KeyRing
from service.server.request_guard import ORIGIN_ALLOWED, SECURITY_HEADERS, other_site

METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
"""Methods that no route has are allowed too: their 405 says more than a browser would."""
REQUEST_HEADERS = (
    "Accept",
    "Authorization",
    "Cache-Control",
    "Content-Encoding",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "Last-Event-ID",
    "Request-Id",
    "X-Requested-With",
)
MAX_REQUESTED_CHARACTERS = 1000
HEADER_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
RESPONSE_HEADERS = (
    "Checkpoint-Sha256, Classes, Content-Disposition, Epochs-Done, ETag, Idempotent-Replayed, "
    "Location, Model, Request-Id, Retry-After, Scale, Units, WWW-Authenticate"
)
"""What scripts may read beyond the few headers that they always may."""
PREFLIGHT_SECONDS = "7200"
"""How long a browser keeps the answer to a preflight; no browser keeps it longer than a day."""
PREFLIGHT_VARY = (
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers, "
    "Access-Control-Request-Private-Network"
)


class Cors:
    """Answers preflights, marks requests of allowed origins, and adds CORS headers to responses.

    It is the outermost layer, so that the pages can also read the refusals of all others. It allows
    no credentials of the browser (`Access-Control-Allow-Credentials`): the cookie of a session is
    for the service's own page, and pages of other origins send the key itself.
    """

    def __init__(self, app: ASGIApp, allowed: Sequence[str], ring: KeyRing) -> None:
        self._app = app
        self._allowed = frozenset(allowed).difference(UNLISTED)
        self._unlisted = frozenset(allowed).intersection(UNLISTED)
        self._ring = ring

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        if not origins:
            answered = _varying(send) if self._allowed or self._unlisted else send
            await self._app(scope, receive, answered)
            return
        # Browsers send one origin. Two are ambiguous, so neither counts.
        origin = origins[0].decode("latin-1") if len(origins) == 1 else ""
        allowed = await self._allows(origin)
        if _is_preflight(scope):
            await self._preflight(scope, origin if allowed else None)(scope, receive, send)
        elif allowed:
            scope[ORIGIN_ALLOWED] = True
            await self._app(scope, receive, _readable(send, origins[0]))
        else:
            await self._app(scope, receive, _varying(send))

    async def _allows(self, origin: str) -> bool:
        if origin in self._allowed:
            return True
        if not origin or not self._unlisted & {ANY, origin}:
            return False
        try:
            return not await self._ring.is_open()
        except StoreBroken:  # nobody knows whether there are keys
            return False

    def _preflight(self, scope: Scope, origin: str | None) -> Response:
        if origin is None:
            headers = SECURITY_HEADERS | {"Vary": PREFLIGHT_VARY}
            return problem_responses.answer(other_site(scope), headers)
        asked = Headers(scope=scope)
        headers = {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": _allowed_headers(asked),
            "Access-Control-Max-Age": PREFLIGHT_SECONDS,
            "Vary": PREFLIGHT_VARY,
        }
        if "access-control-request-private-network" in asked:
            headers["Access-Control-Allow-Private-Network"] = "true"
        return Response(status_code=204, headers=SECURITY_HEADERS | headers)


def _is_preflight(scope: Scope) -> bool:
    asks = any(name == b"access-control-request-method" for name, _ in scope["headers"])
    return asks and scope["method"] == "OPTIONS"


def _allowed_headers(asked: Headers) -> str:
    """Return the usual headers and those that the page asks for, if that is a short list of names.

    None of them does any harm: a page that is allowed may send what a program may send.
    """
    requested = ",".join(asked.getlist("access-control-request-headers"))
    names = [name.strip() for name in requested.split(",")]
    if len(requested) > MAX_REQUESTED_CHARACTERS or not all(map(HEADER_NAME.fullmatch, names)):
        return ", ".join(REQUEST_HEADERS)
    usual = {name.lower() for name in REQUEST_HEADERS}
    more = [name for name in dict.fromkeys(names) if name.lower() not in usual]
    return ", ".join([*REQUEST_HEADERS, *more])


def _varying(send: Send) -> Send:
    """Return a `send` that keeps caches from giving a page the answer to a request without it."""
    return _adding(send, [(b"vary", b"Origin")])


def _readable(send: Send, origin: bytes) -> Send:
    """Return a `send` that lets scripts of `origin` read the response, its headers and timing."""
    return _adding(
        send,
        [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", RESPONSE_HEADERS.encode()),
            (b"timing-allow-origin", origin),
            (b"vary", b"Origin"),
        ],
    )


def _adding(send: Send, headers: list[tuple[bytes, bytes]]) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *headers]
        await send(message)

    return send_with_headers
