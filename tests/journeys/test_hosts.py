"""Several machines: PostgreSQL, a bucket, an API server that trains nothing, and two hosts."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import QUICK
from tests.support.cluster import Cluster
from tests.support.server_process import Server, eventually

LONG = {"preset": "mlp-relu", "epochs": 24, "seed": 3}
"""It still trains when a host has started meanwhile."""
PRESETS = (
    LONG,
    {"preset": "mlp-sigmoid", "epochs": 1},
    {"preset": "linear", "epochs": 2},
    {"preset": "mlp-augmented", "epochs": 1, "hidden": [64]},
)
"""The presets, with fewer epochs and units."""


@pytest.fixture
def cluster(cluster: Cluster) -> Cluster:
    """A cluster with a server."""
    cluster.server()
    return cluster


def is_running(job: dict[str, Any], attempt: int) -> bool:
    return (job["state"], job["attempt"]) == ("running", attempt)


def test_every_preset_has_the_bits_of_one_machine_whatever_ends_meanwhile(
    cluster: Cluster, datasets_dir: Path, tmp_path: Path
) -> None:
    """A worker is killed, and then its host is stopped; another host goes on."""
    alone = Server(tmp_path / "alone", datasets_dir, MLP_CONCURRENT_JOBS="1").start()
    try:
        at_home = [alone.submit(**spec) for spec in PRESETS]
        first = cluster.host("one")
        jobs = [cluster.submit(**spec) for spec in PRESETS]
        cluster.wait_for_epochs(jobs[0], 1)
        cluster.host("two")
        [worker] = first.workers()
        worker.send(signal.SIGKILL)
        eventually(lambda: is_running(cluster.job(jobs[0]), 2), "the second attempt")
        assert cluster.host_of(jobs[0]).terminate() == 0
        done = [cluster.wait(job) for job in jobs]
        assert (done[0]["attempt"], done[0]["lost_workers"]) == (3, 0)
        assert {job["bit_exact"] for job in done} == {True}
        expected = [alone.wait(job, "succeeded")["weights_sha256"] for job in at_home]
        assert [job["weights_sha256"] for job in done] == expected
    finally:
        alone.stop()


def test_the_worker_of_a_killed_host_is_adopted_by_its_next_start(cluster: Cluster) -> None:
    host = cluster.host("one")
    job = cluster.submit(**LONG)
    cluster.wait_for_epochs(job, 1)
    host.kill()
    host.start()
    assert cluster.wait(job)["attempt"] == 1


def test_a_host_ends_when_it_has_had_nothing_to_do(cluster: Cluster) -> None:
    job = cluster.submit(**QUICK)
    host = cluster.host("one", "--until-idle", "1")
    cluster.wait(job)
    assert host.wait() == 0


def test_a_host_needs_a_database_that_can_be_shared(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "service", "work", "--data-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "set MLP_DATABASE_URL to postgresql://" in done.stderr
