"""Hosts are seen as long as they say that they are there, by the clock of the database."""

import pytest

from service.store.hosts import ALIVE_SECONDS, HostStore
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.database import Database
from tests.conftest import submit
from tests.support.job_records import query


@pytest.fixture
def database_url(postgres_url: str) -> str:
    """Only databases that several processes may share have hosts."""
    return postgres_url


@pytest.fixture
def hosts(database: Database) -> HostStore:
    return HostStore(database)


def age(database: Database, id_: str, seconds: int) -> None:
    query(
        database,
        "UPDATE hosts SET seen_at = seen_at - INTERVAL '1 second' * :seconds WHERE id = :id",
        seconds=seconds,
        id=id_,
    )


def test_a_host_is_known_from_its_start_to_its_end(hosts: HostStore) -> None:
    assert not hosts.see("a"), "so that it joins"
    hosts.join("a", "lab-1", 4, 10**10, "1.0")
    assert hosts.see("a")
    [host] = hosts.alive()
    assert (host.id, host.name, host.slots, host.busy, host.version) == ("a", "lab-1", 4, 0, "1.0")
    assert host.memory == 10**10
    assert host.seen_at >= host.started_at
    hosts.leave("a")
    assert hosts.alive() == []


def test_a_host_that_starts_again_has_one_record(hosts: HostStore) -> None:
    hosts.join("a", "lab-1", 4, 10**10, "1.0")
    hosts.see("a")
    hosts.join("a", "lab-1", 2, 10**10, "1.1")
    assert [(host.slots, host.version) for host in hosts.alive()] == [(2, "1.1")]


def test_the_slots_of_jobs_with_a_worker_are_busy(hosts: HostStore, database: Database) -> None:
    for id_ in ("a", "b"):
        hosts.join(id_, f"lab-{id_}", 2, 10**10, "1.0")
    jobs = JobStore(database)
    for _ in range(3):
        submit(jobs)
    for host in ("a", "a", "b"):
        Queue(database, host).claim()
    assert [host.busy for host in hosts.alive()] == [2, 1]


def test_a_server_without_slots_is_no_host(hosts: HostStore) -> None:
    hosts.join("a", "api", 0, 10**10, "1.0")
    assert hosts.alive() == []


def test_a_host_that_was_not_seen_lately_is_not_alive(hosts: HostStore, database: Database) -> None:
    for id_ in ("b", "a", "c"):
        hosts.join(id_, f"lab-{id_}", 1, 10**10, "1.0")
    age(database, "b", ALIVE_SECONDS + 1)
    assert [host.id for host in hosts.alive()] == ["a", "c"]
    hosts.see("b")
    assert [host.id for host in hosts.alive()] == ["a", "b", "c"]


def test_hosts_that_are_long_gone_are_forgotten(hosts: HostStore, database: Database) -> None:
    for id_ in ("a", "b"):
        hosts.join(id_, "lab", 1, 10**10, "1.0")
    age(database, "b", 11 * ALIVE_SECONDS)
    hosts.forget_lost()
    assert query(database, "SELECT id FROM hosts") == [("a",)]


def test_a_long_name_is_cut(hosts: HostStore) -> None:
    hosts.join("a", "x" * 300, 1, 10**10, "1.0")
    assert hosts.alive()[0].name == "x" * 64


def test_a_server_without_slots_uses_the_database_too(database: Database, hosts: HostStore) -> None:
    hosts.join("a", "lab-1", 4, 10**10, "1.0")
    hosts.join("b", "api-1", 0, 10**10, "1.0")
    hosts.join("c", "gone", 0, 10**10, "1.0")
    age(database, "c", ALIVE_SECONDS + 1)
    assert hosts.users() == ["api-1", "lab-1"]
