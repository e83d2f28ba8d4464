"""Several machines: PostgreSQL, a bucket, an API server that trains nothing, and two hosts."""

import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.conftest import QUICK
from tests.support.cluster import Cluster
from tests.support.server_process import Server, eventually

LONG = {"preset": "mlp-relu", "epochs": 6, "seed": 3}


@pytest.fixture
def cluster(cluster: Cluster) -> Cluster:
    """A cluster with a server."""
    cluster.server()
    return cluster


def test_two_hosts_train_what_a_server_accepts(cluster: Cluster) -> None:
    waiting = cluster.submit(**QUICK)
    assert cluster.job(waiting)["state"] == "queued", "the server itself trains nothing"
    cluster.host("one"), cluster.host("two")
    cluster.wait(waiting)
    jobs = [cluster.submit(**QUICK | {"epochs": 30, "seed": seed}) for seed in range(4)]
    done = [cluster.wait(job) for job in jobs]
    assert {job["attempt"] for job in done} == {1}
    used = cluster.query("SELECT DISTINCT host FROM jobs")
    assert {host for [host] in used} == {host.id for host in cluster.hosts.values()}
    assert cluster.http.get(f"/v1/models/{jobs[0]}/weights.safetensors").is_success
    assert cluster.http.get(f"/v1/models/{jobs[0]}/layers/1/weights.png").is_success


def test_a_host_that_is_stopped_leaves_its_job_to_another_one_with_the_same_bits(
    cluster: Cluster, datasets_dir: Path, tmp_path: Path
) -> None:
    first = cluster.host("one")
    job = cluster.submit(**LONG)
    cluster.wait_for_epochs(job, 2)
    cluster.host("two")
    assert first.terminate() == 0
    moved = cluster.wait(job)
    assert (moved["attempt"], moved["bit_exact"], moved["lost_workers"]) == (2, True, 0)
    alone = Server(tmp_path / "alone", datasets_dir).start()
    try:
        answer = httpx2.post(f"{alone.url}/v1/jobs", json=LONG).json()["id"]
        at_home = f"{alone.url}/v1/jobs/{answer}"
        eventually(lambda: httpx2.get(at_home).json()["state"] == "succeeded", "the twin", 90)
        assert httpx2.get(at_home).json()["weights_sha256"] == moved["weights_sha256"]
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
