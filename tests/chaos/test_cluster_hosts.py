"""Hosts beside each other on one machine, with clocks hours apart, and a leader that is killed."""

import time
from pathlib import Path

from tests.chaos.test_clocks import faked
from tests.support.campaign import Campaign
from tests.support.cluster import Cluster, HostProcess, Member
from tests.support.server_process import eventually

ENDLESS = {"preset": "linear", "batch_size": 64, "epochs": 5000}
LONG = ENDLESS | {"epochs": 40}
LEADER = """
SELECT client_port FROM pg_stat_activity JOIN pg_locks USING (pid)
WHERE locktype = 'advisory' AND granted AND datname = current_database()
AND (classid::bigint << 32 | objid::bigint) = hashtextextended('leader', 0)
"""
CLOCKS = {"early": "-5h", "late": "+7h"}


def on_clocks_apart(cluster: Cluster, tmp_path: Path) -> tuple[HostProcess, HostProcess]:
    """Start two hosts on this machine, between whose clocks half a day lies."""
    hosts = []
    for name, to in CLOCKS.items():
        clock = tmp_path / f"{name}.clock"
        clock.write_text(to)
        hosts.append(cluster.host(name, more=faked(clock)))
    return hosts[0], hosts[1]


def test_hosts_of_one_machine_with_other_clocks_leave_each_others_workers_alone(
    cluster: Cluster, campaign: Campaign, tmp_path: Path
) -> None:
    # A bucket refuses what a host signs whose clock is wrong by more than a quarter of an hour.
    cluster.environment["MLP_ARTIFACTS_URL"] = str(tmp_path / "shared")
    cluster.server()
    early, late = on_clocks_apart(cluster, tmp_path)
    touched = 0
    for _ in range(campaign.of(1, 10)):
        jobs = [cluster.submit(**ENDLESS, seed=seed) for seed in (1, 2)]
        for job in jobs:
            cluster.wait_for_epochs(job, 1)
        by_host = {cluster.host_of(job): job for job in jobs}
        assert set(by_host) == {early, late}
        [worker] = late.workers()
        assert early.terminate() == 0
        touched += worker not in late.workers()
        early.start()
        eventually(early.workers, "the job to go on where it was")
        early.kill()
        early.start()
        touched += worker not in late.workers()
        assert [cluster.job(by_host[host])["attempt"] for host in (early, late)] == [2, 1]
        for job in jobs:
            assert cluster.http.post(f"/v1/jobs/{job}/cancel").is_success
            assert cluster.wait(job, "cancelled")["lost_workers"] == 0
    measured = f"{touched}, clocks of the hosts 12 hours apart"
    what = "workers of another dispatcher of the machine that were touched"
    campaign.figure(what, target="0", measured=measured, met=not touched)
    assert touched == 0
    assert len(cluster.query("SELECT 1 FROM hosts WHERE seen_at > now() - interval '30 s'")) == 3


def test_a_killed_leader_is_replaced_and_its_jobs_go_on(
    cluster: Cluster, campaign: Campaign
) -> None:
    """The leader dies with its workers, and what it did for others is done by another process."""
    first = cluster.host("one")
    eventually(lambda: leader(cluster) is first, "the first host to lead")
    cluster.server()
    job = cluster.submit(**LONG)
    cluster.wait_for_epochs(job, 1)
    if campaign.full:
        cluster.host("two")
    first.cut_power()
    died = time.monotonic()
    eventually(lambda: leader(cluster), "another leader", 10)
    seconds = time.monotonic() - died
    what = "seconds until another process leads after the leader was killed"
    campaign.figure(what, target="6", measured=f"{seconds:.1f}", met=seconds <= 6)
    if campaign.full:
        begun = "SELECT attempt FROM jobs WHERE id = %s AND attempt = 2 AND heartbeat > 0"
        eventually(lambda: cluster.query(begun, job), "the next attempt", 60)
        seconds = time.monotonic() - died
        what = "seconds until the job of the killed leader's host goes on elsewhere"
        campaign.figure(what, target="22", measured=f"{seconds:.1f}", met=seconds <= 22)
        assert cluster.wait(job)["bit_exact"]


def leader(cluster: Cluster) -> Member | None:
    """Return the member that holds the lock of leadership."""
    ports = {port for (port,) in cluster.query(LEADER)}
    for member in cluster.members:
        if member.is_running and ports & ports_of(member.pid):
            return member
    return None


def ports_of(pid: int) -> set[int]:
    """Return the local TCP ports of a process."""
    links = [path.readlink().name for path in Path(f"/proc/{pid}/fd").iterdir()]
    rows = [row.split() for row in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].split(":")[1], 16) for row in rows if f"socket:[{row[9]}]" in links}
