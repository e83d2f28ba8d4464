"""Authentication by API keys, before anything of a request's body is read."""

import re
from dataclasses import dataclass
from functools import lru_cache, partial

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api import problem_responses
from service.api.predict_route import is_prediction
from service.api.session import SESSION_PATH
from service.domain.errors import KeyRefused, StoreBroken
from service.domain.principal import ANONYMOUS, ANY_KEY, Principal
from service.domain.request_facts import REQUEST
from service.server.key_ring import HOW_TO_AUTHENTICATE, KEY, KeyRing, check_valid, valid_key
from service.server.request_guard import (
    SAFE_METHODS,
    has_origin,
    is_sent_by_another_site,
    is_sent_by_own_page,
    not_own_page,
)
from service.server.sessions import Sessions, cookie_headers
from service.store.api_keys import ApiKey
from service.store.sessions import Session

logger = structlog.get_logger(__name__)

BEARER = re.compile(rf"(?i:bearer) +({KEY.pattern})")
MAX_RECOGNISED = 1000
"""Most headers that are remembered; one key can be written in several ways."""
Sent = tuple[bytes, ...]
Proof = tuple[bytes | None, ...]
"""Authorization headers, or None and Cookie headers, so that one is never taken for the other."""
PUBLIC_PATHS = re.compile(r"/|/livez|/readyz|/docs|/openapi\.json|/(vendor|web|problems)/.*")
KEY_OPTIONAL = ("/v1/system",)
"""Paths that answer with less if no key is sent; one that is sent must be valid."""
CHANGES_NOTHING = {("POST", "/v1/jobs/preview")}
"""Requests that are POST only because they have a body."""


@lru_cache(100)
def needed_scope(method: str, path: str) -> str | None:
    """Return the scope that a request needs, or None if it needs no key.

    Method and path alone decide, so a new route is never left open by accident. OPTIONS reveals
    only the methods of an address, and never reaches a route.
    """
    if method == "OPTIONS":
        return None
    if path == SESSION_PATH and method in ("POST", "DELETE"):
        return None
    if method in ("GET", "HEAD"):
        if path in KEY_OPTIONAL:
            return ANY_KEY
        return None if PUBLIC_PATHS.fullmatch(path) else "read"
    if is_prediction(method, path):
        return "predict"
    return "read" if (method, path) in CHANGES_NOTHING else "train"


class AccessDenied(Exception):
    """Raised to answer a request with 401 or 403, before its body is read."""

    def __init__(self, code: str, detail: str) -> None:
        self.problem = problem_responses.problem(code, detail)
        authenticate = code == "unauthenticated"
        self.headers = {"WWW-Authenticate": "Bearer"} if authenticate else {}
        super().__init__(detail)


@dataclass(frozen=True)
class Recognised:
    """The key that a request came with, and how."""

    key: ApiKey
    principal: Principal
    session: Session | None
    """The session whose cookie stands for the key; None if the key itself was sent."""

    @property
    def has_ended(self) -> bool:
        return self.key.expired or (self.session is not None and self.session.has_ended)


class Authenticator:
    """Passes a request on with its Principal, or answers it with 401 or 403.

    It is pure ASGI, and outside everything that reads bodies. As long as no key was ever created,
    every request passes.
    """

    def __init__(self, app: ASGIApp, ring: KeyRing, sessions: Sessions) -> None:
        self._app = app
        self._ring = ring
        self._sessions = sessions
        self._keys: dict[str, ApiKey] = {}
        self._recognised: dict[Proof, Recognised] = {}
        """The valid keys among `_keys`, by what was sent as their proof."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._authenticate(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        else:  # the service has no web sockets; one that is added must not be open without a key
            await send({"type": "websocket.close"})

    async def _authenticate(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            principal, session = await self._principal(scope)
            if session:
                send = self._sessions.renewing(scope, send, session)
        except AccessDenied as denied:
            await problem_responses.refuse(scope, receive, send, denied.problem, denied.headers)
        except StoreBroken as exc:
            logger.error("request_failed", error=str(exc))
            headers = {"Retry-After": problem_responses.RETRY_SECONDS}
            await problem_responses.refuse(scope, receive, send, problem_responses.of(exc), headers)
        else:
            scope.setdefault("state", {})["principal"] = principal
            await self._app(scope, receive, send)

    async def _principal(self, scope: Scope) -> tuple[Principal, Session | None]:
        needed = needed_scope(scope["method"], scope["path"])
        if needed is None:
            return ANONYMOUS, None
        keys = await self._ring.keys()
        if not keys:
            return Principal(None, frozenset({"admin"}), self._ring.is_open), None
        sent = _authorization(scope)
        try:
            found = self._recognise(scope, keys, sent)
        except AccessDenied:
            if needed == ANY_KEY and not sent:
                return ANONYMOUS, None
            raise
        self._note(found, scope, needed)
        return found.principal, found.session

    def _note(self, found: Recognised, scope: Scope, needed: str) -> None:
        """Note the use of a key, and check that it allows the request.

        Raises:
            AccessDenied: the key's scopes do not allow it, or a session may not do it.
        """
        key = found.key
        self._ring.uses.note(key.id)
        if facts := REQUEST.get():
            facts.key = key.id
        if found.session:
            _check_own_page(scope)
        _check_scope(key, needed)
        if needed == "train":  # the log shows who changed jobs
            logger.info("change_requested", key=key.id, owner=key.owner, path=scope["path"][:200])

    def _recognise(self, scope: Scope, keys: dict[str, ApiKey], sent: Sent) -> Recognised:
        """Return the key of a request; digests are only computed once for each reading of the keys.

        Raises:
            AccessDenied: there is no valid key.
            StoreBroken: there is a cookie, and the identity of the service can't be read.
        """
        if keys is not self._keys or len(self._recognised) > MAX_RECOGNISED:
            self._keys, self._recognised = keys, {}
        # A cookie is not even looked at if there is an Authorization header.
        proof: Proof = sent or (None, *cookie_headers(scope))
        found = self._recognised.get(proof)
        if found and not found.has_ended:
            return found
        session = None if sent else self._sessions.of(scope)
        key = _key_of_session(keys, session) if session else _valid_key(keys, sent)
        found = Recognised(key, self._principal_of(key, session), session)
        self._recognised[proof] = found
        return found

    def _principal_of(self, key: ApiKey, session: Session | None) -> Principal:
        ends = [each.expires_at for each in (key, session) if each and each.expires_at]
        still_valid = partial(self._still_valid, key.id, session)
        expires_at = min(ends, default=None)
        return Principal(key.owner, key.scopes, still_valid, key.id, key.models_of, expires_at)

    async def _still_valid(self, key_id: str, session: Session | None) -> bool:
        return not (session and session.has_ended) and await self._ring.is_valid(key_id)


def _authorization(scope: Scope) -> Sent:
    return tuple(value for name, value in scope["headers"] if name == b"authorization")


def _check_scope(key: ApiKey, needed: str) -> None:
    """Raise AccessDenied if a key does not allow what a request needs."""
    if needed != ANY_KEY and not key.scopes & {needed, "admin"}:
        scopes = ", ".join(sorted(key.scopes))
        detail = f"This request needs a key with the scope {needed!r}; this key has: {scopes}."
        raise AccessDenied("forbidden", detail)


def _check_own_page(scope: Scope) -> None:
    """Raise AccessDenied if a page that is not the service's own may use a session here.

    Browsers send a cookie also with what the pages of other ports of the host request, so a cookie
    alone allows only to read, and not with a script's cross-origin request.
    """
    is_change = scope["method"] not in SAFE_METHODS
    is_refused = (
        not is_sent_by_own_page(scope)
        if is_change
        else has_origin(scope) and is_sent_by_another_site(scope)
    )
    if is_refused:
        problem = not_own_page()
        raise AccessDenied(problem.code, problem.detail)


def _key_of_session(keys: dict[str, ApiKey], session: Session) -> ApiKey:
    """Return the key that a session stands for.

    Raises:
        AccessDenied: the key is no longer valid.
    """
    try:
        key = keys.get(session.key_id)
        if key is None:
            raise KeyRefused("The key of this session is unknown.")
        check_valid(key)
    except KeyRefused as exc:
        raise AccessDenied("unauthenticated", f"{exc} {HOW_TO_AUTHENTICATE}") from exc
    return key


def _valid_key(keys: dict[str, ApiKey], headers: Sent) -> ApiKey:
    """Return the key in the Authorization header.

    Raises:
        AccessDenied: there is no header, or the key in it is unknown or invalid.
    """
    sent = BEARER.fullmatch(headers[0].decode("latin-1")) if len(headers) == 1 else None
    if sent is None:
        hint = "The Authorization header holds no key of this service. " if headers else ""
        raise AccessDenied("unauthenticated", f"{hint}{HOW_TO_AUTHENTICATE}")
    try:
        return valid_key(keys, sent[1])
    except KeyRefused as exc:
        raise AccessDenied("unauthenticated", f"{exc} {HOW_TO_AUTHENTICATE}") from exc
