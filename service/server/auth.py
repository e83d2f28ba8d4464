"""Who may do what: API keys, looked at before anything of a request's body is read."""

import asyncio
import hmac
import math
import re
import time

import structlog
from anyio import CapacityLimiter, to_thread
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api import problem_responses
from service.domain.errors import StoreBroken
from service.domain.principal import STRANGER, Principal
from service.store.api_keys import Key, KeyStore, sha256_of

logger = structlog.get_logger(__name__)

FRESH_SECONDS = 1.0
"""How old what is known of the keys may be; so long a key lives on after it was revoked."""

BEARER = re.compile(r"(?i:bearer) +mlp_([a-z0-9]{8,12})_([A-Za-z0-9_-]{43})")
OPEN = re.compile(r"/|/livez|/readyz|/docs|/openapi\.json|/(vendor|problems)/.*")
PREDICT = re.compile(r"/v1/models/[^/]+/predict")
NO_SECRET = "0" * 64  # the digest of nothing

HOW = "Send `Authorization: Bearer mlp_…`; the operator makes keys by `mlp-service keys create`."


def needed_scope(method: str, path: str) -> str | None:
    """Return the scope that a request needs, None if it needs no key.

    Method and path alone decide, so a new route is never left open by oversight.
    """
    if method in ("GET", "HEAD"):
        return None if OPEN.fullmatch(path) else "read"
    return "predict" if method == "POST" and PREDICT.fullmatch(path) else "train"


class Refusal(Exception):
    """The request is answered by this problem."""

    def __init__(self, code: str, detail: str) -> None:
        self.problem = problem_responses.problem(code, detail)
        authenticate = code == "unauthenticated"
        self.headers = {"WWW-Authenticate": "Bearer"} if authenticate else {}
        super().__init__(detail)


class KeyRing:
    """All keys as they were a moment ago; a server that runs learns of changes in a second."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._keys: dict[str, Key] = {}
        self._failure: StoreBroken | None = None
        self._read_at = -math.inf
        self._reading: asyncio.Task[None] | None = None
        self._thread = CapacityLimiter(1)  # requests that hold all threads must not keep others out

    async def keys(self) -> dict[str, Key]:
        """Return the keys by their ids.

        Raises:
            StoreBroken: they can't be read; then nobody is let in.

        """
        oldest = time.monotonic() - FRESH_SECONDS
        while self._read_at < oldest:
            # All wait for one reading and share what came of it, an error too: they go on together,
            # where a lock would let a thousand requests go on one by one.
            self._reading = self._reading or asyncio.create_task(self._read())
            await asyncio.shield(self._reading)
        if self._failure:
            raise StoreBroken(str(self._failure))
        return self._keys

    async def _read(self) -> None:
        began = time.monotonic()
        try:
            found = await to_thread.run_sync(self._store.all, limiter=self._thread)
            self._keys, self._failure = {key.id: key for key in found}, None
        except StoreBroken as exc:
            self._failure = exc
        finally:
            self._reading = None
        self._read_at = began

    async def is_open(self) -> bool:
        """Tell whether there has never been a key."""
        return not await self.keys()

    async def still_valid(self, id_: str) -> bool:
        key = (await self.keys()).get(id_)
        return key is not None and not _why_invalid(key)


class Authenticator:
    """Lets a request pass, with its Principal, or answers it by 401 or 403.

    Pure ASGI, outside of all that reads bodies. As long as no key was ever made, all may pass.
    """

    def __init__(self, app: ASGIApp, ring: KeyRing) -> None:
        self._app = app
        self._ring = ring

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._pass(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        else:  # there is nothing behind web sockets, and there shall be nothing without a key
            await send({"type": "websocket.close"})

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            scope.setdefault("state", {})["principal"] = await self._principal(scope)
        except Refusal as no:
            await problem_responses.refuse(scope, receive, send, no.problem, no.headers)
        except StoreBroken as exc:
            logger.error("request_failed", error=str(exc))
            headers = {"Retry-After": problem_responses.RETRY_SECONDS}
            await problem_responses.refuse(scope, receive, send, problem_responses.of(exc), headers)
        else:
            await self._app(scope, receive, send)

    async def _principal(self, scope: Scope) -> Principal:
        needed = needed_scope(scope["method"], scope["path"])
        if needed is None:
            return STRANGER
        keys = await self._ring.keys()
        if not keys:
            return Principal(None, frozenset({"admin"}), self._ring.is_open)
        key = _valid_key(keys, Headers(scope=scope).getlist("authorization"))
        if not key.scopes & {needed, "admin"}:
            has = ", ".join(sorted(key.scopes))
            detail = f"This needs a key with the scope {needed!r}; the key sent has: {has}."
            raise Refusal("forbidden", detail)
        if needed == "train":  # what has changed the service's jobs can be told later
            logger.info("change_asked", key=key.id, owner=key.owner, path=scope["path"][:200])

        async def still_valid() -> bool:
            return await self._ring.still_valid(key.id)

        return Principal(key.owner, key.scopes, still_valid)


def _valid_key(keys: dict[str, Key], headers: list[str]) -> Key:
    """Return the key that was sent, or refuse; only who knows its secret learns why."""
    sent = BEARER.fullmatch(headers[0]) if len(headers) == 1 else None
    if sent is None:
        why = "The Authorization header holds no key of this service. " if headers else ""
        raise Refusal("unauthenticated", f"{why}{HOW}")
    key = keys.get(sent[1])
    # Compared for unknown ids too, so that the time tells nothing.
    same = hmac.compare_digest(key.secret_sha256 if key else NO_SECRET, sha256_of(sent[2]))
    if key is None or not same:
        raise Refusal("unauthenticated", f"The key that was sent is not known here. {HOW}")
    if invalid := _why_invalid(key):
        raise Refusal("unauthenticated", f"The key {key.id} {invalid}. {HOW}")
    return key


def _why_invalid(key: Key) -> str | None:
    if key.revoked_at:
        return "was revoked"
    return "has expired" if key.expired else None
