"""Hosts on which no worker can begin, beside a good one: they must not ruin one job after another.

On one, workers can't import NumPy. On the other, nothing can be written, not even a log. In full,
there is a third, whose clock jumps by hours after its start, so the bucket refuses what it signs.
"""

import re
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from service.work.back_off import AFTER_FAILED_STARTS
from tests.chaos.test_clocks import faked
from tests.conftest import QUICK
from tests.support.campaign import Campaign
from tests.support.cluster import Cluster, HostProcess
from tests.support.server_process import eventually

BROKEN = """
import sys

if "service.work.worker" in sys.orig_argv:
    sys.modules["numpy"] = None  # the import fails, as in an environment that is half installed
"""
TRY = re.compile(r"^(\S+)Z \[.{9}\] (?:worker_started |job_requeued )", re.MULTILINE)
TRIES = """
SELECT job, attempt, extract(epoch FROM ended - at)::float8 FROM (
    SELECT job, data->>'attempt' AS attempt, data->>'state' AS state, at,
        lead(at) OVER (PARTITION BY job ORDER BY number) AS ended,
        lead(data->>'state') OVER (PARTITION BY job ORDER BY number) AS next
    FROM events WHERE type = 'state'
) AS moves WHERE state = 'running' AND next = 'queued'
"""
"""Attempts that were given up, with the seconds for which their job was away from the queue."""
SLACK_SECONDS = 0.05
"""Stamps of a log are not the clock by which the host rests."""


def test_hosts_on_which_no_worker_begins_fail_no_job(
    cluster: Cluster, campaign: Campaign, tmp_path: Path
) -> None:
    """The bad hosts are there first, so that they get jobs for certain."""
    cluster.server()
    (tmp_path / "environment").mkdir()
    (tmp_path / "environment" / "sitecustomize.py").write_text(BROKEN)
    ill = cluster.host("ill", more={"PYTHONPATH": str(tmp_path / "environment")})
    full = cluster.host("full")
    (full.data_dir / "logs").write_text("where a folder is needed")
    jobs = [cluster.submit(**QUICK) for _ in range(campaign.of(4, 12))]
    least = campaign.of(3, 7)
    eventually(lambda: min(len(tries(ill)), len(tries(full))) >= least, "tries", 120)
    good, started = cluster.host("good"), time.monotonic()
    ended = [cluster.wait(job) for job in jobs]
    seconds = time.monotonic() - started

    failed = [job["id"] for job in ended if job["state"] != "succeeded"]
    measured = f"{len(failed)} of {len(jobs)}"
    campaign.figure("jobs failed", target="0", measured=measured, met=not failed)
    blamed = sum(job["lost_workers"] for job in ended)
    what = "lost workers for which a job was blamed"
    campaign.figure(what, target="0", measured=blamed, met=not blamed)
    note_delays(cluster, campaign)
    early = [gap for host in (ill, full) for gap in too_short(host)]
    measured = f"{len(early)} of {len(tries(ill)) + len(tries(full))}"
    what = "tries before the bad host had rested for 1, 2, 4, 8, 16 s"
    campaign.figure(what, target="0", measured=measured, met=not early)
    measured = f"{seconds:.1f} on the good host, beside the bad ones"
    campaign.figure("seconds of all jobs", target="they end", measured=measured, met=True)
    assert (failed, blamed, early) == ([], 0, [])
    assert {cluster.host_of(job["id"]) for job in ended} == {good}
    if campaign.full:
        for host in (ill, full):
            host.kill()
        train_beside_a_wrong_clock(cluster, campaign, tmp_path / "clock")


def train_beside_a_wrong_clock(cluster: Cluster, campaign: Campaign, clock: Path) -> None:
    """Only one job, of which the host learns that it can store nothing, may be trained in vain."""
    clock.write_text("+0")
    late = cluster.host("late", more=faked(clock))
    clock.write_text("+7h")
    time.sleep(2)
    jobs = [cluster.submit(**QUICK) for _ in range(12)]
    ended = [cluster.wait(job, seconds=200) for job in jobs]
    assert sum(job["lost_workers"] for job in ended) == 0
    eventually(lambda: late.log().count("storage_failed ") > 3, "trials", 120)
    time.sleep(30)
    in_vain = late.log().count("worker_started ")
    what = "jobs trained in vain on a host whose clock has jumped by seven hours"
    campaign.figure(what, target="1", measured=in_vain, met=in_vain <= 1)
    assert in_vain <= 1


def note_delays(cluster: Cluster, campaign: Campaign) -> None:
    away = [seconds for _, _, seconds in cluster.query(TRIES)]
    assert away, "no bad host has tried anything"
    measured = f"{max(away):.1f} at most, in {len(away)} tries"
    what = "seconds for which a bad host keeps a job from a good one"
    campaign.figure(what, target="2", measured=measured, met=max(away) <= 2)


def tries(host: HostProcess) -> list[datetime]:
    """Return when a host has tried to start a worker, by its log."""
    return [datetime.fromisoformat(at) for at in TRY.findall(host.log())]


def too_short(host: HostProcess) -> list[float]:
    """Return the times between two tries that are shorter than the host had to rest."""
    found = tries(host)
    gaps = [(after - before).total_seconds() for before, after in pairwise(found)]
    rests = [*AFTER_FAILED_STARTS, *[AFTER_FAILED_STARTS[-1]] * len(gaps)]
    return [gap for gap, rest in zip(gaps, rests, strict=False) if gap < rest - SLACK_SECONDS]
