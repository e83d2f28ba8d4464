"""Look-ups on the event loop: what a server answers soon, and what silence costs."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from typing import Any, TypeVar

import pytest

from service.store.sql.database import Database
from service.store.sql.postgresql_lookups import PATIENCE_SECONDS
from tests.support.postgresql_server import PostgresServer
from tests.support.server_process import free_port

ECHO = "SELECT :text WHERE :there"
BACKENDS = """
SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
STALL_SECONDS = 1.0
T = TypeVar("T")


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    with closing(Database(postgres_url)) as database:
        yield database


async def echo(database: Database, text: str, *, there: bool = True) -> Any:
    return await database.find_value(ECHO, {"text": text, "there": there})


async def connected(database: Database) -> None:
    """Wait until look-ups are answered: the first one only begins to connect."""
    for _ in range(1000):
        if await echo(database, "x") == "x":
            return
        await asyncio.sleep(0.01)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 20))


def test_look_ups_find_their_own_values(database: Database) -> None:
    async def work() -> list[Any]:
        await connected(database)
        texts = [f"it's ß {number} % 'of' $1 :text" for number in range(100)]
        found = await asyncio.gather(
            *(echo(database, text, there=bool(n % 7)) for n, text in enumerate(texts))
        )
        return [
            (it, text if n % 7 else None)
            for n, (it, text) in enumerate(zip(found, texts, strict=True))
        ]

    assert all(it == expected for it, expected in run(work()))


def test_a_look_up_of_nul_does_not_disturb_others(database: Database) -> None:
    async def work() -> Any:
        await connected(database)
        await echo(database, "a\0b")
        return await echo(database, "after it")

    assert run(work()) == "after it"
    assert database.try_value(ECHO, {"text": "x", "there": True}) is None, "it would have to wait"


def test_one_connection_serves_loop_after_loop(
    database: Database, postgres: PostgresServer
) -> None:
    for _ in range(3):
        run(connected(database))
    name = database.url.rpartition("/")[2]
    assert len(postgres.execute(BACKENDS, name)) == 1


def test_a_look_up_that_is_refused_leaves_the_next_one_alone(database: Database) -> None:
    async def work() -> Any:
        await connected(database)
        assert await database.find_value("SELECT nothing FROM nowhere", {}) is None
        await connected(database)
        return await echo(database, "again")

    assert run(work()) == "again"


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def longest_turn(until: float) -> float:
    """Return how long the loop was kept from this task at most."""
    longest, last = 0.0, time.monotonic()
    while last < until:
        await asyncio.sleep(0.005)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    return longest


def test_a_server_that_hangs_costs_one_short_wait_and_blocks_no_loop(
    database: Database, postgres: PostgresServer
) -> None:
    async def work(pids: Callable[[], list[int]]) -> tuple[list[float], float]:
        await connected(database)
        waits = []
        with stopped(pids()):
            turns = asyncio.create_task(longest_turn(time.monotonic() + STALL_SECONDS))
            for _ in range(20):
                started = time.monotonic()
                assert await echo(database, "x") is None
                waits.append(time.monotonic() - started)
            longest = await turns
        await connected(database)
        return waits, longest

    name = database.url.rpartition("/")[2]
    waits, longest = run(work(lambda: [pid for [pid] in postgres.execute(BACKENDS, name)]))
    assert longest < STALL_SECONDS / 2
    assert sum(wait > PATIENCE_SECONDS / 2 for wait in waits) <= 2, waits
    assert sum(waits) < 10 * PATIENCE_SECONDS


def test_look_ups_that_ask_while_the_server_hangs_wait_no_longer_than_the_first(
    database: Database, postgres: PostgresServer
) -> None:
    async def work(name: str) -> float:
        await connected(database)
        with stopped([pid for [pid] in postgres.execute(BACKENDS, name)]):
            started = time.monotonic()
            found = await asyncio.gather(*(echo(database, str(number)) for number in range(100)))
            took = time.monotonic() - started
        assert set(found) == {None}
        return took

    assert run(work(database.url.rpartition("/")[2])) < 10 * PATIENCE_SECONDS


def test_a_connection_that_ends_is_replaced(database: Database, postgres: PostgresServer) -> None:
    async def work(name: str) -> Any:
        await connected(database)
        assert len(postgres.execute(BACKENDS, name)) == 1
        postgres.execute(BACKENDS.replace("pid", "pg_terminate_backend(pid)", 1), name)
        await connected(database)
        return await echo(database, "again")

    assert run(work(database.url.rpartition("/")[2])) == "again"


def test_a_server_that_is_away_finds_nothing_at_once() -> None:
    async def work(database: Database) -> float:
        started = time.monotonic()
        for _ in range(50):
            assert await echo(database, "x") is None
        return time.monotonic() - started

    with closing(Database(f"postgresql://mlp@127.0.0.1:{free_port()}/mlp")) as database:
        assert run(work(database)) < 1
