"""Authentication by API keys, before anything of a request's body is read."""

import asyncio
import hmac
import math
import re
import time
from functools import lru_cache, partial

import structlog
from anyio import CapacityLimiter, to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api import problem_responses
from service.api.openapi import ANY
from service.api.predict_route import is_prediction
from service.domain.errors import StoreBroken
from service.domain.principal import ANONYMOUS, Principal
from service.domain.request_facts import REQUEST
from service.server.key_uses import KeyUses
from service.store.api_keys import ApiKey, ApiKeyStore, sha256_of

logger = structlog.get_logger(__name__)

KEY_CACHE_SECONDS = 1.0
"""How long keys are cached; a revoked key still works for up to this long."""

BEARER = re.compile(r"(?i:bearer) +mlp_([a-z0-9]{8,12})_([A-Za-z0-9_-]{43})")
MAX_RECOGNISED = 1000
"""Most Authorization headers that are remembered; one key can be written in several ways."""
PUBLIC_PATHS = re.compile(r"/|/livez|/readyz|/docs|/openapi\.json|/(vendor|web|problems)/.*")
KEY_OPTIONAL = ("/v1/system",)
"""Paths that answer with less if no key is sent; one that is sent must be valid."""
CHANGES_NOTHING = {("POST", "/v1/jobs/preview")}
"""Requests that are POST only because they have a body."""
NO_SECRET = "0" * 64  # no secret has this digest

HOW_TO_AUTHENTICATE = (
    "Send `Authorization: Bearer mlp_…`; the operator creates keys with `mlp-service keys create`."
)


@lru_cache(100)
def needed_scope(method: str, path: str) -> str | None:
    """Return the scope that a request needs, or None if it needs no key.

    Method and path alone decide, so a new route is never left open by accident. OPTIONS reveals
    only the methods of an address, and never reaches a route.
    """
    if method == "OPTIONS":
        return None
    if method in ("GET", "HEAD"):
        if path in KEY_OPTIONAL:
            return ANY
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


class KeyRing:
    """A cache of all keys, so that a running server notices changes within about a second."""

    def __init__(self, store: ApiKeyStore) -> None:
        self._store = store
        self._keys: dict[str, ApiKey] = {}
        self._failure: StoreBroken | None = None
        self._read_at = -math.inf
        self._reading: asyncio.Task[None] | None = None
        # A thread of its own: requests that occupy all other threads must not block authentication.
        self._thread = CapacityLimiter(1)
        self.uses = KeyUses(store)

    async def keys(self) -> dict[str, ApiKey]:
        """Return the keys by id.

        Raises:
            StoreBroken: the keys can't be read; then no key is accepted.
        """
        oldest = time.monotonic() - KEY_CACHE_SECONDS
        while self._read_at < oldest:
            # All requests wait for the same read and share its result, also if it is an error.
            # They continue together; with a lock, a thousand would continue one after another.
            self._reading = self._reading or asyncio.create_task(self._read())
            await asyncio.shield(self._reading)
        if self._failure:
            raise StoreBroken(str(self._failure))
        return self._keys

    async def _read(self) -> None:
        started = time.monotonic()
        try:
            found = await to_thread.run_sync(self._store.all, limiter=self._thread)
            self._keys, self._failure = {key.id: key for key in found}, None
        except StoreBroken as exc:
            self._failure = exc
        finally:
            self._reading = None
        self._read_at = started

    async def is_open(self) -> bool:
        """Return whether no key was ever created."""
        return not await self.keys()

    async def is_valid(self, key_id: str) -> bool:
        """Return whether there is a key with this id that has neither expired nor been revoked."""
        key = (await self.keys()).get(key_id)
        return key is not None and not _why_invalid(key)


class Authenticator:
    """Passes a request on with its Principal, or answers it with 401 or 403.

    It is pure ASGI, and outside everything that reads bodies. As long as no key was ever created,
    every request passes.
    """

    def __init__(self, app: ASGIApp, ring: KeyRing) -> None:
        self._app = app
        self._ring = ring
        self._keys: dict[str, ApiKey] = {}
        self._recognised: dict[tuple[bytes, ...], tuple[ApiKey, Principal]] = {}
        """By their Authorization headers, the keys that were found valid among `_keys`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._authenticate(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        else:  # the service has no web sockets; one that is added must not be open without a key
            await send({"type": "websocket.close"})

    async def _authenticate(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            scope.setdefault("state", {})["principal"] = await self._principal(scope)
        except AccessDenied as denied:
            await problem_responses.refuse(scope, receive, send, denied.problem, denied.headers)
        except StoreBroken as exc:
            logger.error("request_failed", error=str(exc))
            headers = {"Retry-After": problem_responses.RETRY_SECONDS}
            await problem_responses.refuse(scope, receive, send, problem_responses.of(exc), headers)
        else:
            await self._app(scope, receive, send)

    async def _principal(self, scope: Scope) -> Principal:
        needed = needed_scope(scope["method"], scope["path"])
        if needed is None:
            return ANONYMOUS
        keys = await self._ring.keys()
        if not keys:
            return Principal(None, frozenset({"admin"}), self._ring.is_open)
        if needed == ANY and not _has_key(scope):
            return ANONYMOUS
        key, principal = self._recognise(scope, keys)
        self._ring.uses.note(key.id)
        if facts := REQUEST.get():
            facts.key = key.id
        _check_scope(key, needed)
        if needed == "train":  # the log shows who changed jobs
            logger.info("change_requested", key=key.id, owner=key.owner, path=scope["path"][:200])
        return principal

    def _recognise(self, scope: Scope, keys: dict[str, ApiKey]) -> tuple[ApiKey, Principal]:
        """Return the key of a request; digests are only computed once for each reading of the keys.

        Raises:
            AccessDenied: there is no valid key.
        """
        if keys is not self._keys or len(self._recognised) > MAX_RECOGNISED:
            self._keys, self._recognised = keys, {}
        sent = tuple(value for name, value in scope["headers"] if name == b"authorization")
        found = self._recognised.get(sent)
        if found and not found[0].expired:
            return found
        key = _valid_key(keys, [value.decode("latin-1") for value in sent])
        still_valid = partial(self._ring.is_valid, key.id)
        principal = Principal(
            key.owner, key.scopes, still_valid, key.id, key.models_of, key.expires_at
        )
        self._recognised[sent] = key, principal
        return key, principal


def _has_key(scope: Scope) -> bool:
    return any(name == b"authorization" for name, _ in scope["headers"])


def _check_scope(key: ApiKey, needed: str) -> None:
    """Raise AccessDenied if a key does not allow what a request needs."""
    if needed != ANY and not key.scopes & {needed, "admin"}:
        scopes = ", ".join(sorted(key.scopes))
        detail = f"This request needs a key with the scope {needed!r}; this key has: {scopes}."
        raise AccessDenied("forbidden", detail)


def _valid_key(keys: dict[str, ApiKey], headers: list[str]) -> ApiKey:
    """Return the key in the Authorization header.

    Only a client that knows the secret of a key learns that it has expired or was revoked.

    Raises:
        AccessDenied: there is no header, or the key in it is unknown or invalid.
    """
    sent = BEARER.fullmatch(headers[0]) if len(headers) == 1 else None
    if sent is None:
        hint = "The Authorization header holds no key of this service. " if headers else ""
        raise AccessDenied("unauthenticated", f"{hint}{HOW_TO_AUTHENTICATE}")
    key = keys.get(sent[1])
    # Secrets are compared for unknown ids too, so that the time taken reveals nothing.
    same = hmac.compare_digest(key.secret_sha256 if key else NO_SECRET, sha256_of(sent[2]))
    if key is None or not same:
        raise AccessDenied("unauthenticated", f"This key is unknown. {HOW_TO_AUTHENTICATE}")
    if reason := _why_invalid(key):
        detail = f"The key {key.id} {reason}. {HOW_TO_AUTHENTICATE}"
        raise AccessDenied("unauthenticated", detail)
    return key


def _why_invalid(key: ApiKey) -> str | None:
    if key.revoked_at:
        return "was revoked"
    return "has expired" if key.expired else None
