"""Hosts that are cut off from the database, from the bucket, or from both, for a while."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from tests.support.campaign import Campaign
from tests.support.cluster import Cluster, HostProcess
from tests.support.cluster_ledger import ClusterLedger
from tests.support.partition import CUTS, Network, needs_networks, network
from tests.support.postgresql_server import postgres_server
from tests.support.s3_server import s3_server
from tests.support.server_process import eventually

LONG = {"preset": "linear", "batch_size": 256, "epochs": 2000}
SHORT = {"preset": "linear", "batch_size": 4096, "epochs": 3}
LOST_AFTER = 15
"""A worker is given up after so many seconds of silence."""
TAKEN_OVER = 17
"""After so many seconds, its job is to go on elsewhere."""
BEGUN = "SELECT 1 FROM jobs WHERE id = %s AND attempt = %s AND heartbeat > 0"
HEARTBEAT = "SELECT heartbeat FROM jobs WHERE id = %s"
STALE = """
SELECT id FROM (
    SELECT id, attempt, max(attempt) OVER (PARTITION BY job ORDER BY number) AS newest
    FROM (SELECT checkpoints.*, jobs.id FROM checkpoints JOIN jobs ON jobs.number = job) AS named
) AS ordered WHERE attempt < newest
"""
"""Jobs for which a replaced attempt has named a checkpoint after its successor had."""


@pytest.fixture
def cables() -> Iterator[Network]:
    with network() as found:
        yield found


@pytest.fixture
def far_cluster(tmp_path: Path, datasets_dir: Path, cables: Network) -> Iterator[Cluster]:
    """A server beside the database and the bucket, and two hosts at the ends of cables."""
    addresses = f"127.0.0.1,{cables.database}"
    with (
        postgres_server(fsync="off", listen_addresses=addresses) as postgres,
        s3_server(cables.bucket) as s3,
    ):
        postgres.trust(cables.everyone)
        url = postgres.url(postgres.create()).replace("127.0.0.1", cables.database)
        environment = s3.environment | {"MLP_ARTIFACTS_URL": s3.url}
        cluster = Cluster(tmp_path, datasets_dir, url, environment)
        try:
            cluster.server()
            for name in ("one", "two"):
                cluster.host(name, prefix=cables.add(name))
            yield cluster
        finally:
            cluster.end()


@dataclass
class Case:
    """What happened to a job whose host was cut off."""

    cut: str
    seconds: int
    attempts: int = 1
    """How many attempts the job had begun before the cable was healed."""
    taken_over: float | None = None
    """Seconds from the cut to the first beat of the next attempt."""
    healed: float = 0.0
    """Seconds from the healing until the host does work again."""

    @property
    def must_move(self) -> bool:
        """Whether the job must go on elsewhere: a worker without the bucket is alive."""
        return self.cut != "bucket" and self.seconds > LOST_AFTER


@needs_networks
def test_hosts_that_are_cut_off_disturb_nothing_and_come_back(
    far_cluster: Cluster, cables: Network, campaign: Campaign
) -> None:
    plan = campaign.of(
        [("database", 4)], [(cut, seconds) for seconds in (5, 20, 60) for cut in CUTS]
    )
    cases = [cut_off(far_cluster, cables, Case(cut, seconds)) for cut, seconds in plan]
    early = [case for case in cases if case.attempts > 1 and not case.must_move]
    lost = [case for case in cases if case.must_move and case.attempts != 2]
    stale = far_cluster.query(STALE)
    ledger = ClusterLedger(far_cluster)
    gaps = ledger.unnumbered()
    campaign.figure("cuts", target="12", measured=len(cases), met=len(cases) == 12)
    wrongs = {
        "jobs that moved without need": len(early),
        "jobs that did not go on elsewhere, or more than once": len(lost),
        "writes of replaced attempts": len(stale),
        "jobs with a doubled or missing event": len(gaps),
    }
    for what, number in wrongs.items():
        campaign.figure(what, target="0", measured=number, met=not number)
    note_seconds(campaign, cases)
    assert (early, lost, stale, gaps) == ([], [], [], [])


def note_seconds(campaign: Campaign, cases: list[Case]) -> None:
    moved = [case.taken_over for case in cases if case.taken_over is not None]
    if moved:
        measured = f"{max(moved):.1f} at most in {len(moved)}, median {median(moved):.1f}"
        what = "seconds from the cut to the next attempt's first beat elsewhere"
        campaign.figure(what, target="17", measured=measured, met=max(moved) <= TAKEN_OVER)
    worst = max(cases, key=lambda case: case.healed)
    measured = f"{worst.healed:.1f} at most ({worst.cut}, {worst.seconds} s)"
    what = "seconds from the healing until the host does work again"
    campaign.figure(what, target="2", measured=measured, met=worst.healed <= 2)


def cut_off(cluster: Cluster, cables: Network, case: Case) -> Case:
    """Cut the host of a job off for a while, and watch what becomes of both."""
    job = cluster.submit(**LONG)
    cluster.wait_for_epochs(job, 2)
    host = cluster.host_of(job)
    other = next(each for each in cluster.hosts.values() if each is not host)
    begun_before = time.monotonic()
    with cables.cut(host.data_dir.name, case.cut):
        while (passed := time.monotonic() - begun_before) < case.seconds:
            time.sleep(0.05)
            if case.taken_over is None and cluster.query(BEGUN, job, 2):
                case.taken_over = passed
        case.attempts = cluster.job(job)["attempt"]
        beats = cluster.query(HEARTBEAT, job)
        waiting = cluster.submit(**SHORT)  # the other host is busy if it has taken the job over
    healed = time.monotonic()
    if case.attempts == 1:
        eventually(lambda: cluster.query(HEARTBEAT, job) != beats, "a beat", 60)
    else:
        eventually(lambda: cluster.query(BEGUN, waiting, 1), "the next job", 60)
        assert cluster.host_of(waiting) == host
    case.healed = time.monotonic() - healed
    eventually(lambda: stale_workers(cluster, host) == [], "the stale worker to leave")
    assert cluster.wait(waiting)["bit_exact"]
    assert cluster.job(job)["bit_exact"]
    assert cluster.http.post(f"/v1/jobs/{job}/cancel").is_success
    cluster.wait(job, "cancelled")
    assert other.is_running
    assert host.is_running
    return case


def stale_workers(cluster: Cluster, host: HostProcess) -> list[str]:
    """Return the jobs on which workers of a host still work that are other attempts' by now."""
    current = dict(cluster.query("SELECT id, attempt FROM jobs"))
    return [each.row for each in host.workers() if current[each.row] != each.attempt]
