"""When each API key was last used: remembered at once, written rarely."""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from service.domain.errors import StoreBroken
from service.server import key_uses
from service.server.key_uses import KeyUses
from service.store.api_keys import ApiKeyStore
from tests.support.keyed_service import bearer, id_of
from tests.support.live_service import Live
from tests.support.server_process import eventually


class NotedUses:
    """The part of an ApiKeyStore that KeyUses needs."""

    def __init__(self) -> None:
        self.writes: list[Mapping[str, datetime]] = []
        self.failure: StoreBroken | None = None
        self.seconds = 0.0

    def note_uses(self, at: Mapping[str, datetime]) -> None:
        self.writes.append(at)
        time.sleep(self.seconds)
        if self.failure:
            raise self.failure


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> NotedUses:
    monkeypatch.setattr(key_uses, "COLLECT_SECONDS", 0.05)
    return NotedUses()


def uses_of(store: NotedUses) -> KeyUses:
    return KeyUses(cast(ApiKeyStore, store))


def test_many_uses_of_many_keys_are_one_write(noted: NotedUses) -> None:
    before = datetime.now(UTC)

    async def use() -> None:
        uses = uses_of(noted)
        for _ in range(1000):
            uses.note("a")
            uses.note("b")
        assert noted.writes == [], "no request waits for a write"
        await asyncio.sleep(0.2)
        for _ in range(1000):
            uses.note("a")
            uses.note("b")
        await asyncio.sleep(0.2)

    asyncio.run(use())
    [write] = noted.writes
    assert set(write) == {"a", "b"}
    assert all(before - timedelta(seconds=1) < at <= datetime.now(UTC) for at in write.values())


def test_a_key_in_use_is_written_again_after_the_interval(
    noted: NotedUses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_uses, "WRITE_SECONDS", 0.2)

    async def use() -> None:
        uses, end = uses_of(noted), time.monotonic() + 0.7
        while time.monotonic() < end:
            uses.note("a")
            await asyncio.sleep(0.01)

    asyncio.run(use())
    assert 2 <= len(noted.writes) <= 4


def test_a_key_that_is_used_while_another_is_written_is_written_next(noted: NotedUses) -> None:
    noted.seconds = 0.3

    async def use() -> None:
        uses = uses_of(noted)
        uses.note("a")
        await asyncio.sleep(0.2)  # the write has begun
        uses.note("b")
        await asyncio.sleep(1)

    asyncio.run(use())
    assert [set(write) for write in noted.writes] == [{"a"}, {"b"}]


def test_what_is_not_written_yet_is_written_when_the_server_stops(noted: NotedUses) -> None:
    async def use() -> None:
        uses = uses_of(noted)
        uses.note("a")
        await uses.close()
        await uses.close()

    asyncio.run(use())
    assert [set(write) for write in noted.writes] == [{"a"}]


def test_a_store_that_fails_disturbs_nobody_and_gets_the_uses_later(noted: NotedUses) -> None:
    noted.failure = StoreBroken("the disk is full")

    async def use() -> None:
        uses = uses_of(noted)
        uses.note("a")
        await asyncio.sleep(0.2)
        uses.note("b")
        await asyncio.sleep(0.2)
        noted.failure = None
        await uses.close()

    asyncio.run(use())
    assert [set(write) for write in noted.writes] == [{"a"}, {"b"}, {"a", "b"}]


def test_a_running_server_writes_when_a_key_was_used(live: Live) -> None:
    keys = ApiKeyStore(live.database)
    used, unused = keys.create("ada", ["read"]), keys.create("ada", ["read"])
    eventually(lambda: live.http.get("/v1/jobs").status_code == 401, "the first key")
    assert live.http.get("/v1/jobs", headers=bearer(used[:-2] + "xx")).status_code == 401
    assert {key.last_used_at for key in keys.all()} == {None}
    assert live.http.post("/v1/jobs", json={}, headers=bearer(used)).status_code == 403

    def last_use(key: str) -> datetime | None:
        return {it.id: it.last_used_at for it in keys.all()}[id_of(key)]

    eventually(lambda: last_use(used), "the last use to be written")
    assert abs(last_use(used) - datetime.now(UTC)) < timedelta(seconds=30)  # type: ignore[operator]
    assert last_use(unused) is None


def test_a_server_that_stops_writes_the_last_use(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_uses, "COLLECT_SECONDS", 60.0)
    keys = ApiKeyStore(live.database)
    key = keys.create("ada", ["read"])
    eventually(lambda: live.http.get("/v1/jobs").status_code == 401, "the first key")
    assert live.http.get("/v1/jobs", headers=bearer(key)).status_code == 200
    [before] = keys.all()
    live.stop()
    [after] = keys.all()
    assert (before.last_used_at, after.last_used_at is None) == (None, False)
