"""Several machines: PostgreSQL, a bucket, an API server that trains nothing, and two hosts."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.conftest import QUICK
from tests.support.postgresql_server import PostgresServer
from tests.support.s3_server import S3Server
from tests.support.server_process import Server, eventually

LONG = {"preset": "mlp-relu", "epochs": 6, "seed": 3}


class Cluster:
    """Everything that a few machines would run, on this one."""

    def __init__(
        self, place: Path, datasets_dir: Path, url: str, s3: S3Server, prefix: str
    ) -> None:
        self.place, self.environment = (
            place,
            {
                "MLP_DATABASE_URL": url,
                "MLP_ARTIFACTS_URL": prefix,
                "MLP_DATASETS_DIR": str(datasets_dir),
                **s3.environment,
            },
        )
        self.server = Server(
            place / "api", datasets_dir, MLP_CONCURRENT_JOBS="0", **self.environment
        ).start()
        self.hosts: dict[str, subprocess.Popen[bytes]] = {}

    def host(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        """Start a host with one slot."""
        command = [sys.executable, "-m", "service", "work", "--slots", "1", *options]
        command += ["--data-dir", str(self.place / name)]
        with (self.place / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, env=os.environ | self.environment, stdout=log, stderr=log
            )
        self.hosts[name] = process
        return process

    def submit(self, **spec: Any) -> str:
        answer = httpx2.post(f"{self.server.url}/v1/jobs", json=spec)
        return str(answer.raise_for_status().json()["id"])

    def job(self, id_: str) -> dict[str, Any]:
        found: dict[str, Any] = httpx2.get(f"{self.server.url}/v1/jobs/{id_}").json()
        return found

    def wait(self, id_: str, state: str = "succeeded") -> dict[str, Any]:
        eventually(lambda: self.job(id_)["state"] == state, f"{id_} to be {state}", 90)
        return self.job(id_)

    def end(self) -> None:
        for host in self.hosts.values():
            host.terminate()
        for host in self.hosts.values():
            host.wait(20)
        self.server.stop()


@pytest.fixture
def cluster(
    tmp_path: Path, datasets_dir: Path, postgres_url: str, s3: S3Server, bucket_url: str
) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path, datasets_dir, postgres_url, s3, bucket_url)
    yield cluster
    cluster.end()


def test_two_hosts_train_what_a_server_accepts(
    cluster: Cluster, postgres: PostgresServer, postgres_database: str, tmp_path: Path
) -> None:
    waiting = cluster.submit(**QUICK)
    assert cluster.job(waiting)["state"] == "queued", "the server itself trains nothing"
    cluster.host("one"), cluster.host("two")
    cluster.wait(waiting)
    jobs = [cluster.submit(**QUICK | {"epochs": 30, "seed": seed}) for seed in range(4)]
    done = [cluster.wait(job) for job in jobs]
    assert {job["attempt"] for job in done} == {1}
    used = postgres.execute("SELECT DISTINCT host FROM jobs", postgres_database)
    named = {(tmp_path / name / "instance").read_text() for name in ("one", "two")}
    assert {host for [host] in used} == named
    url = f"{cluster.server.url}/v1/models/{jobs[0]}"
    assert httpx2.get(f"{url}/weights.safetensors").is_success
    assert httpx2.get(f"{url}/layers/1/weights.png").is_success


def test_a_host_that_is_stopped_leaves_its_job_to_another_one_with_the_same_bits(
    cluster: Cluster, datasets_dir: Path, tmp_path: Path
) -> None:
    first = cluster.host("one")
    job = cluster.submit(**LONG)
    eventually(lambda: cluster.job(job)["progress"]["epochs_done"] >= 2, "two epochs", 60)
    cluster.host("two")
    first.terminate()
    assert first.wait(20) == 0
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
    eventually(lambda: cluster.job(job)["progress"]["epochs_done"] >= 1, "an epoch", 60)
    host.send_signal(signal.SIGKILL)
    host.wait()
    cluster.host("one")
    assert cluster.wait(job)["attempt"] == 1


def test_a_host_ends_when_it_has_had_nothing_to_do(cluster: Cluster) -> None:
    job = cluster.submit(**QUICK)
    host = cluster.host("one", "--until-idle", "1")
    cluster.wait(job)
    assert host.wait(20) == 0


def test_a_host_needs_a_database_that_can_be_shared(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "service", "work", "--data-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "set MLP_DATABASE_URL to postgresql://" in done.stderr
