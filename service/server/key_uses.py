"""Remembers when each API key was last used, and writes it down rarely."""

import asyncio
import time
from collections.abc import Collection
from datetime import UTC, datetime

import structlog
from anyio import CapacityLimiter, to_thread

from service.domain.errors import StoreBroken
from service.store.api_keys import ApiKeyStore

WRITE_SECONDS = 60.0
"""Shortest time between two writes for the same key."""
COLLECT_SECONDS = 1.0
"""How long a write waits for the uses of other keys, which it writes too."""

logger = structlog.get_logger(__name__)


class KeyUses:
    """The last use of each key, as far as it is not written yet.

    Noting a use takes a microsecond, and the first one in a minute also plans a write, which no
    request waits for. If a write fails, the uses are written with those of a minute later.
    """

    def __init__(self, store: ApiKeyStore) -> None:
        self._store = store
        self._unwritten: dict[str, float] = {}
        """Seconds since 1970, by the id of the key."""
        self._next_write: dict[str, float] = {}
        """When a use of a key may be written again, by the monotonic clock."""
        self._due: set[str] = set()
        self._writing: asyncio.Task[None] | None = None
        self._thread = CapacityLimiter(1)  # of its own, so that no request waits for a thread

    def note(self, key_id: str) -> None:
        """Remember that a key is used now."""
        self._unwritten[key_id] = time.time()
        now = time.monotonic()
        if now >= self._next_write.get(key_id, 0.0):
            self._next_write[key_id] = now + WRITE_SECONDS
            self._due.add(key_id)
            if self._writing is None or self._writing.done():
                self._writing = asyncio.create_task(self._write_due())

    async def close(self) -> None:
        """Write everything that is not written yet, because the server stops."""
        if self._writing:
            self._writing.cancel()
            await asyncio.wait([self._writing])
        await self._write(self._unwritten)

    async def _write_due(self) -> None:
        while self._due:
            await asyncio.sleep(COLLECT_SECONDS)
            due, self._due = self._due, set()
            await self._write(due & self._unwritten.keys())

    async def _write(self, keys: Collection[str]) -> None:
        used = {id_: self._unwritten[id_] for id_ in keys}
        at = {id_: datetime.fromtimestamp(seconds, UTC) for id_, seconds in used.items()}
        try:
            if at:
                await to_thread.run_sync(self._store.note_uses, at, limiter=self._thread)
        except StoreBroken as exc:
            logger.debug("key_uses_not_written", error=str(exc))
            return
        for id_, seconds in used.items():
            if self._unwritten.get(id_) == seconds:
                del self._unwritten[id_]
