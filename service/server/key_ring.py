"""The API keys in memory, and which of them is valid."""

import asyncio
import hmac
import math
import re
import time

from anyio import CapacityLimiter, to_thread

from service.domain.errors import KeyRefused, StoreBroken
from service.server.key_uses import KeyUses
from service.store.api_keys import ApiKey, ApiKeyStore, sha256_of

KEY_CACHE_SECONDS = 1.0
"""How long keys are cached; a revoked key still works for up to this long."""

KEY = re.compile(r"mlp_([a-z0-9]{8,12})_([A-Za-z0-9_-]{43})")
NO_SECRET = "0" * 64  # no secret has this digest
HOW_TO_AUTHENTICATE = (
    "Send `Authorization: Bearer mlp_…`; the operator creates keys with `mlp-service keys create`."
)


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
        return key is not None and not why_invalid(key)


def valid_key(keys: dict[str, ApiKey], key: str) -> ApiKey:
    """Return the key that a client has sent.

    Only a client that knows the secret of a key learns that it has expired or was revoked.

    Raises:
        KeyRefused: it is unknown or no longer valid.
    """
    sent = KEY.fullmatch(key)
    if sent is None:
        raise KeyRefused("This is no key of this service: keys begin with `mlp_`.")
    found = keys.get(sent[1])
    # Secrets are compared for unknown ids too, so that the time taken reveals nothing.
    same = hmac.compare_digest(found.secret_sha256 if found else NO_SECRET, sha256_of(sent[2]))
    if found is None or not same:
        raise KeyRefused("This key is unknown.")
    check_valid(found)
    return found


def check_valid(key: ApiKey) -> None:
    """Raise KeyRefused if a key has expired or was revoked."""
    if reason := why_invalid(key):
        raise KeyRefused(f"The key {key.id} {reason}.")


def why_invalid(key: ApiKey) -> str | None:
    if key.revoked_at:
        return "was revoked"
    return "has expired" if key.expired else None
