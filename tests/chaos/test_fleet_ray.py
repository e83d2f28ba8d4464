"""Ray runs the hosts: they come when jobs wait, survive what Ray's parts do, and leave nothing."""

import random
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

import httpx2
import pytest

from service.store.job_counts import Demand
from service.work.fleet import FleetSize
from tests.chaos.test_cluster_database import all_have_ended, faults
from tests.conftest import QUICK
from tests.support.campaign import Campaign
from tests.support.cluster import ApiServer, Cluster
from tests.support.ray_cluster import (
    DASHBOARD,
    GCS,
    HOST,
    RAYLET,
    SUPERVISOR,
    RayCluster,
    RayNode,
    ray_cluster,
)
from tests.support.server_process import Server, eventually
from tests.support.steady_clients import SteadyClient, acknowledged, working
from tests.support.undisturbed import undisturbed

COLD_SECONDS = 5
RETURN_SECONDS = 60
NOTICED_SECONDS = 5
"""What depends on a part that has died ends within so many seconds, or does not depend on it."""
ROUNDS = 6
OF_OUTAGES = ("jobs that no client was told of", "workers that had begun and ended by an outage")
"""What says nothing here: clients get an answer at once, and workers die with their nodes."""
SPECS = (
    {"preset": "linear", "batch_size": 4096, "epochs": 2},
    {"hidden": [48], "batch_size": 512, "epochs": 20},
)
DEMAND = """
SELECT count(*) FILTER (WHERE state = 'queued'),
    count(*) FILTER (WHERE state IN ('running', 'pausing', 'cancelling')) FROM jobs
"""
OF_A_NODE: dict[str, Callable[[RayNode], object]] = {
    "supervisor of a host": lambda node: node.kill_one(SUPERVISOR),
    "host": lambda node: node.kill_one(*HOST),
    "raylet": lambda node: node.kill_one(RAYLET),
    "node": RayNode.kill,
}
OF_THE_HEAD: dict[str, Callable[[RayNode], object]] = {
    "GCS": lambda head: head.kill_one(GCS),
    "dashboard": lambda head: head.kill_one(DASHBOARD),
}
DEATHS = OF_A_NODE | OF_THE_HEAD


@pytest.fixture
def in_full(campaign: Campaign) -> None:
    """Skip the test, before any cluster starts, unless campaigns run in full."""
    if not campaign.full:
        pytest.skip("takes minutes: run `make chaos K=fleet_ray`")


@pytest.fixture
def ray(cluster: Cluster, datasets_dir: Path, campaign: Campaign) -> Iterator[RayCluster]:
    """A cluster whose head has two cores or, in full, whose two nodes have two cores each."""
    cores, nodes = campaign.of((2, 0), (0, 2))
    with ray_cluster(cluster.environment, datasets_dir, cores, nodes) as ray:
        for _ in range(nodes):
            ray.add_node(cpus=2)
        yield ray


def serve(cluster: Cluster, ray: RayCluster, most: int) -> ApiServer:
    """Start a server with a fleet of hosts with one slot each."""
    return cluster.server(
        MLP_FLEET="ray",
        MLP_RAY_URL=ray.url,
        MLP_RAY_TOKEN_FILE=str(ray.token_file),
        MLP_HOST_COMMAND=f"{sys.executable} -m service work",
        MLP_FLEET_SLOTS="1",
        MLP_FLEET_HOSTS=str(most),
        MLP_FLEET_IDLE="3",
    )


def test_ray_starts_a_host_for_a_job_which_gets_the_bits_of_one_machine_and_leaves_nothing(
    ray: RayCluster, cluster: Cluster, datasets_dir: Path, tmp_path: Path, campaign: Campaign
) -> None:
    alone, took = Server(tmp_path / "alone", datasets_dir).start(), []
    try:
        digest = alone.wait(alone.submit(**QUICK), "succeeded")["weights_sha256"]
    finally:
        alone.stop()
    ray.wait(cpus=campaign.of(2, 4))
    server = serve(cluster, ray, most=1)
    for _ in range(campaign.of(1, 20)):
        begun = time.monotonic()
        job = cluster.submit(**QUICK)
        eventually(partial(is_claimed, cluster, job), "a host", 150)
        took.append(time.monotonic() - begun)
        done = cluster.wait(job)
        assert (done["weights_sha256"], done["lost_workers"]) == (digest, 0)
        nothing_is_left(ray)
    campaign.figure(
        "seconds from a job to its claim when no host is there",
        target=f"at most {COLD_SECONDS} in the middle",
        measured=f"{median(took):.1f} in the middle, {max(took):.1f} at most, of {len(took)}",
        met=median(took) <= COLD_SECONDS,
    )
    assert ray.token not in server.log()


def is_claimed(cluster: Cluster, job: str) -> bool:
    return bool(cluster.job(job)["state"] != "queued")


def test_whatever_of_ray_dies_no_job_is_lost_or_doubled_and_hosts_return(
    in_full: None, ray: RayCluster, cluster: Cluster, datasets_dir: Path, campaign: Campaign
) -> None:
    digests = undisturbed(SPECS, datasets_dir)
    ray.wait(cpus=4)
    size = FleetSize(slots=1, most=4)
    server = serve(cluster, ray, size.most)
    clients = [SteadyClient(server.url, f"client-{number}", SPECS, 3) for number in range(3)]
    with working(clients):
        deaths(ray, cluster, campaign, size)
    eventually(lambda: all_have_ended(cluster), "all jobs to end", 300)
    jobs = acknowledged(clients)
    for found, names in faults(cluster, jobs, digests).items():
        if found not in OF_OUTAGES:
            measured = f"{len(names)} of {len(jobs)}"
            campaign.figure(found, target="0", measured=measured, met=not names)
            assert not names, found
    nothing_is_left(ray)
    campaign.figure("jobs left behind in Ray", target="0", measured=0, met=True)


def deaths(ray: RayCluster, cluster: Cluster, campaign: Campaign, size: FleetSize) -> None:
    """Kill part after part, and wait each time until as many hosts are there as are wanted."""
    draw, took = random.Random(18), dict[str, list[float]]()

    def are_there() -> bool:
        ray.restart_ended()
        [(queued, running)] = cluster.query(DEMAND)
        return queued > 0 and len(ray.hosts()) >= size.wanted(Demand(queued, running))

    eventually(are_there, "the first hosts", 120)
    for number in range(ROUNDS * len(DEATHS)):
        what = list(DEATHS)[number % len(DEATHS)]
        before, begun = set(ray.hosts()), time.monotonic()
        DEATHS[what](ray.head if what in OF_THE_HEAD else draw.choice(ray.nodes))
        while before <= set(ray.hosts()) and time.monotonic() - begun < NOTICED_SECONDS:
            time.sleep(0.1)
        if what in OF_THE_HEAD:  # nobody can start anything until there is a head again
            ray.wait(cpus=4)
            begun = time.monotonic()
        eventually(are_there, f"the hosts to return after the death of a {what}", 180)
        took.setdefault(what, []).append(time.monotonic() - begun)
        time.sleep(draw.uniform(0, 5))
    for what, seconds in took.items():
        campaign.figure(
            f"seconds until all wanted hosts are there after the death of a {what}",
            target=f"at most {RETURN_SECONDS}",
            measured=f"{median(seconds):.1f} in the middle, {max(seconds):.1f} at most, "
            f"of {len(seconds)}",
            met=max(seconds) <= RETURN_SECONDS,
        )


def nothing_is_left(ray: RayCluster) -> None:
    """Wait until all hosts have ended and Ray knows none of them."""

    def is_clean() -> bool:
        ray.restart_ended()
        try:
            return not ray.hosts() and not ray.jobs()
        except httpx2.HTTPError:
            return False

    eventually(is_clean, "Ray to have no job left", 120)
