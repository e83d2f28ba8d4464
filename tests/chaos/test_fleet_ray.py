"""Ray runs the hosts: they come when jobs wait, survive what Ray's parts do, and leave nothing."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import QUICK
from tests.support.campaign import Campaign
from tests.support.cluster import Cluster
from tests.support.ray_cluster import RayCluster, ray_cluster
from tests.support.server_process import Server, eventually

COLD_SECONDS = 5


@pytest.fixture
def ray(cluster: Cluster, datasets_dir: Path, campaign: Campaign) -> Iterator[RayCluster]:
    with ray_cluster(cluster.environment, datasets_dir, head_cpus=2) as ray:
        yield ray


def fleet_settings(ray: RayCluster, **more: str) -> dict[str, str]:
    return {
        "MLP_FLEET": "ray",
        "MLP_RAY_URL": ray.url,
        "MLP_RAY_TOKEN_FILE": str(ray.token_file),
        "MLP_HOST_COMMAND": f"{sys.executable} -m service work",
        "MLP_FLEET_SLOTS": "1",
        **more,
    }


def test_ray_starts_a_host_for_a_job_which_gets_the_bits_of_one_machine_and_leaves_nothing(
    ray: RayCluster, cluster: Cluster, datasets_dir: Path, tmp_path: Path, campaign: Campaign
) -> None:
    alone = Server(tmp_path / "alone", datasets_dir).start()
    try:
        twin = alone.submit(**QUICK)
        expected = alone.wait(twin, "succeeded")["weights_sha256"]
    finally:
        alone.stop()
    ray.wait(cpus=2)
    server = cluster.server(**fleet_settings(ray, MLP_FLEET_IDLE="1"))
    begun = time.monotonic()
    job = cluster.submit(**QUICK)
    eventually(lambda: cluster.job(job)["state"] != "queued", "a host", 60)
    seconds = time.monotonic() - begun
    campaign.figure(
        "seconds from a job to its claim when no host is there",
        target=f"at most {COLD_SECONDS}",
        measured=f"{seconds:.1f}",
        met=seconds <= COLD_SECONDS,
    )
    done = cluster.wait(job)
    assert (done["weights_sha256"], done["attempt"]) == (expected, 1)
    eventually(lambda: not ray.jobs(), "Ray to have no job left", 60)
    assert ray.token not in server.log()
