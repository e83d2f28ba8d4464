"""Workers, leaders and hosts of a cluster that freeze, and continue later."""

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from service.store.jobs import JobStore
from service.store.sql.database import Database
from tests.chaos.test_cluster_hosts import leader
from tests.conftest import submit
from tests.support.campaign import Campaign
from tests.support.cluster import Cluster, Member, WorkerProcess
from tests.support.s3_server import S3Server
from tests.support.server_process import eventually
from tests.support.undisturbed import undisturbed

LONG = {"hidden": [64], "batch_size": 256, "epochs": 20}
LOCK = "SELECT 1 FROM jobs WHERE id = %s FOR UPDATE"
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"
IN_TRANSACTION = """
SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'
AND datname = current_database() AND application_name = 'mlp-service'
"""
ATTEMPTS = """
SELECT data->>'attempt' FROM events WHERE type = 'state'
AND job = (SELECT number FROM jobs WHERE id = %s) ORDER BY number
"""
SHORT_TRANSACTIONS = "?options=-c%20idle_in_transaction_session_timeout%3D1s"


@pytest.fixture
def only_in_full(campaign: Campaign) -> None:
    if not campaign.full:
        pytest.skip("it takes half a minute; test_leadership and test_zombies try parts of it")


@pytest.fixture
def cluster(
    tmp_path: Path,
    datasets_dir: Path,
    postgres_url: str,
    s3: S3Server,
    bucket_url: str,
    campaign: Campaign,
) -> Iterator[Cluster]:
    """A cluster; in the short run the server ends idle transactions after 1 s, and not after 10."""
    environment = {"MLP_ARTIFACTS_URL": bucket_url, **s3.environment}
    url = postgres_url + campaign.of(SHORT_TRANSACTIONS, "")
    cluster = Cluster(tmp_path, datasets_dir, url, environment)
    yield cluster
    cluster.end()


def test_a_worker_that_freezes_in_a_transaction_holds_up_nobody_else(
    cluster: Cluster, campaign: Campaign, datasets_dir: Path
) -> None:
    cluster.server()
    cluster.host("one")
    times, writes = list[float](), list[float]()
    spec = LONG | {"epochs": campaign.of(8, 20)}
    [digest] = undisturbed([spec], datasets_dir)
    for _ in range(campaign.of(1, 5)):
        job = cluster.submit(**spec)
        cluster.wait_for_epochs(job, 1)
        [worker] = cluster.host_of(job).workers()
        freeze_in_transaction(cluster, worker)
        frozen = time.monotonic()
        writes += write_until_free(cluster, job)
        times.append(time.monotonic() - frozen)
        worker.send(signal.SIGCONT)
        ended = cluster.wait(job)
        assert ended["lost_workers"] == 0
        assert ended["weights_sha256"] == digest
    target, slow = campaign.of(2, 11), sorted(writes)[int(0.95 * len(writes))] * 1000
    measured = f"{max(times):.1f} ({len(times)} times)"
    what = "seconds until the row of a worker frozen in a transaction is free"
    campaign.figure(what, target="11", measured=measured, met=max(times) <= target)
    measured = f"{slow:.0f}, the slowest of {len(writes)} {max(writes) * 1000:.0f}"
    what = "milliseconds that 95 of 100 writes of others take meanwhile"
    campaign.figure(what, target="50", measured=measured, met=slow <= 50)
    assert max(times) <= target + 2, "on a busy machine"
    assert max(writes) < target, "nobody waits for the frozen one"


def freeze_in_transaction(cluster: Cluster, worker: WorkerProcess) -> None:
    """Stop a worker in the middle of a transaction, in which it has locked its row."""
    with contextlib.closing(psycopg2.connect(cluster.database_url)) as holder:
        holder.cursor().execute(LOCK, [worker.row])
        eventually(lambda: cluster.query(WAITING)[0][0] == 1, "the worker to wait for its row")
        assert worker.send(signal.SIGSTOP)
        holder.rollback()  # the server gives the row to the frozen worker
    eventually(lambda: cluster.query(IN_TRANSACTION)[0][0] == 1, "it to be in a transaction")


def write_until_free(cluster: Cluster, job: str) -> list[float]:
    """Submit jobs until the row of another one is free; return the seconds that each took."""
    seconds = []
    with contextlib.closing(Database(cluster.database_url)) as database:
        jobs = JobStore(database)
        while not is_free(cluster, job):
            started = time.monotonic()
            other = submit(jobs)
            seconds.append(time.monotonic() - started)
            jobs.act("cancel", other)
            time.sleep(0.02)
    return seconds


def is_free(cluster: Cluster, job: str) -> bool:
    try:
        cluster.query(f"{LOCK} NOWAIT", job)
    except psycopg2.errors.LockNotAvailable:
        return False
    return True


@pytest.mark.usefixtures("only_in_full")
def test_a_frozen_leader_is_replaced(cluster: Cluster, campaign: Campaign) -> None:
    cluster.server()
    for name in ("one", "two"):
        cluster.host(name)
    times = [freeze_leader(cluster) for _ in range(5)]
    worst = max(times)
    measured = f"{worst:.1f} ({len(times)} times)"
    what = "seconds until another process leads after the leader froze"
    campaign.figure(what, target="16", measured=measured, met=worst <= 16)
    assert worst <= 18, "on a busy machine"


def freeze_leader(cluster: Cluster) -> float:
    """Freeze the leader until another process leads; return the seconds that this took."""
    first = eventually(lambda: leader(cluster), "a leader")
    first.send(signal.SIGSTOP)
    frozen = time.monotonic()
    second = eventually(lambda: another_leader(cluster, first), "another leader", 40)
    took = time.monotonic() - frozen
    first.send(signal.SIGCONT)
    time.sleep(6)  # it asks again
    assert leader(cluster) is second
    assert first.is_running
    return took


def another_leader(cluster: Cluster, first: Member) -> Member | None:
    found = leader(cluster)
    return found if found is not first else None


@pytest.mark.usefixtures("only_in_full")
def test_what_a_frozen_host_writes_when_it_continues_is_refused(
    cluster: Cluster, campaign: Campaign, datasets_dir: Path
) -> None:
    cluster.server()
    for name in ("one", "two"):
        cluster.host(name)
    spec = LONG | {"epochs": 20}
    [digest] = undisturbed([spec], datasets_dir)
    stale, times = list[str](), list[float]()
    for _ in range(3):
        job = cluster.submit(**spec)
        times.append(freeze_host_of(cluster, job))
        ended = cluster.wait(job)
        attempts = [int(attempt) for (attempt,) in cluster.query(ATTEMPTS, job)]
        if attempts != sorted(attempts) or ended["weights_sha256"] != digest:
            stale.append(job)
    measured = f"{max(times):.1f} ({len(times)} times)"
    what = "seconds until the job of a frozen host goes on elsewhere"
    campaign.figure(what, target="22", measured=measured, met=max(times) <= 22)
    what = "jobs with writes of a worker that had been replaced, or other bytes"
    campaign.figure(what, target="0", measured=len(stale), met=not stale)
    assert stale == []


def freeze_host_of(cluster: Cluster, job: str) -> float:
    """Freeze the host of a job, with its worker, until the next attempt begins elsewhere.

    Returns the seconds that this took. The worker then finds that it has been replaced.
    """
    cluster.wait_for_epochs(job, 2)
    host = cluster.host_of(job)
    [worker] = host.workers()
    worker.send(signal.SIGSTOP)
    host.send(signal.SIGSTOP)
    stopped = time.monotonic()
    eventually(lambda: cluster.job(job)["attempt"] == 2, "the next attempt", 60)
    took = time.monotonic() - stopped
    assert cluster.host_of(job) is not host
    for each in (host, worker):
        each.send(signal.SIGCONT)
    log = host.data_dir / "logs" / job / "worker.log"
    eventually(lambda: "another one has replaced it" in log.read_text(), "it to be refused")
    return took
