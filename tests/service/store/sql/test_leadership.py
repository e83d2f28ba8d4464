"""Leadership among processes that share a database."""

import time
from pathlib import Path

import pytest

from service.dispatchers import IDLE_SECONDS
from service.domain.errors import StoreBroken
from service.store.sql import leadership as module
from service.store.sql.engine import engine_of
from service.store.sql.leadership import FLEET, AdvisoryLeadership, Leadership, leadership_of
from tests.support.postgresql_server import PostgresServer
from tests.support.server_process import eventually, free_port


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.1)


def of(postgres: PostgresServer) -> Leadership:
    return leadership_of(engine_of(postgres.url("postgres")))


def test_one_process_leads_until_it_gives_up(postgres: PostgresServer) -> None:
    first, second = of(postgres), of(postgres)
    assert (first.is_held(), second.is_held()) == (True, False)
    time.sleep(0.15)
    assert (first.is_held(), second.is_held()) == (True, False)
    first.give_up()
    time.sleep(0.15)
    assert second.is_held()
    second.give_up()


def test_one_process_may_lead_in_the_fleet_and_another_in_everything_else(
    postgres: PostgresServer,
) -> None:
    engine = engine_of(postgres.url("postgres"))
    host, server = of(postgres), leadership_of(engine, FLEET)
    assert (host.is_held(), server.is_held()) == (True, True)
    assert not leadership_of(engine, FLEET).is_held()
    host.give_up()
    server.give_up()


def test_a_silent_leader_is_replaced_and_then_learns_of_it(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 1)
    frozen, other = of(postgres), of(postgres)
    assert frozen.is_held()
    silent_since = time.monotonic()
    eventually(other.is_held, "another process to lead", 5)
    assert 0.9 < time.monotonic() - silent_since < 2
    assert not frozen.is_held(), "no error: the round of a dispatcher goes on"
    time.sleep(0.15)
    assert not frozen.is_held()
    other.give_up()
    eventually(frozen.is_held, "it to lead again", 5)
    frozen.give_up()


def test_a_frozen_leader_is_replaced_within_sixteen_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    assert module.CHECK_SECONDS < IDLE_SECONDS, "so that each round of an idle host asks"
    assert module.SILENT_SECONDS + IDLE_SECONDS < 16
    # A busy leader sweeps once a second, and its round may take a while.
    assert module.CHECK_SECONDS + 5 < module.SILENT_SECONDS


def test_whoever_can_not_ask_does_not_lead() -> None:
    url = f"postgresql://mlp@127.0.0.1:{free_port()}/mlp"
    with pytest.raises(StoreBroken):
        AdvisoryLeadership(engine_of(url)).is_held()


def test_the_only_process_leads(tmp_path: Path) -> None:
    assert leadership_of(engine_of(f"sqlite:///{tmp_path / 'jobs.sqlite3'}")).is_held()
