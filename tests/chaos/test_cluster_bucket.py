"""A bucket that is away, slow, cut off or changed on the way while a cluster works."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.store.sql.migrate import migrate
from tests.support.bucket_proxy import BucketProxy, Fault
from tests.support.campaign import Campaign
from tests.support.cluster import ApiServer, Cluster, cluster_at
from tests.support.postgresql_server import PostgresServer
from tests.support.s3_server import S3Server, s3_server
from tests.support.server_process import eventually
from tests.support.steady_clients import SteadyClient, acknowledged, working
from tests.support.undisturbed import undisturbed

SPECS = (
    {"hidden": [64], "batch_size": 1024, "epochs": 2},
    {"preset": "linear", "batch_size": 4096, "epochs": 2},
)
LONG = {"hidden": [64], "batch_size": 256, "epochs": 700, "seed": 5}
"""It trains for longer than all faults last."""
FAULTS: tuple[tuple[Fault, int], ...] = (
    ("cut", 5_000),
    ("changed", 0),
    ("silent", 0),
    ("503", 0),
    ("cut", 0),
    ("refused", 0),
    ("cut", 200),
    ("slow", 0),
    ("cut", 100_000),
)
SHORT_FAULTS, ROUNDS = 3, 4
LAST_BEATS = "SELECT heartbeat, epochs_done FROM jobs WHERE id = %s"
PIXELS = {"pixels": [[0] * 28] * 10 + [[0] * 8 + [255] * 12 + [0] * 8] * 8 + [[0] * 28] * 10}


@pytest.fixture(scope="module")
def bucket(request: pytest.FixtureRequest, campaign: Campaign) -> Iterator[S3Server]:
    """A bucket; that of the full campaign is of this file alone, for it is restarted."""
    if not campaign.full:
        yield request.getfixturevalue("s3")
        return
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module")
def proxy(bucket: S3Server) -> Iterator[BucketProxy]:
    with BucketProxy(bucket.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory,
    datasets_dir: Path,
    postgres: PostgresServer,
    bucket: S3Server,
    proxy: BucketProxy,
) -> Iterator[Cluster]:
    """A server and a host with two slots, which reach their bucket through the proxy."""
    environment = {
        **bucket.environment,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}",
        "MLP_ARTIFACTS_URL": f"{bucket.url}/failing",
    }
    url = postgres.url(postgres.create())
    migrate(url)
    with cluster_at(tmp_path_factory.mktemp("cluster"), datasets_dir, url, environment) as cluster:
        cluster.server()
        cluster.host("one", slots=2)
        yield cluster


@dataclass
class Seen:
    """What was seen while the bucket was disturbed."""

    predictions: Counter[str] = field(default_factory=Counter)
    """Answers, by their status."""
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0
    """Seconds that the slowest prediction took."""
    without_heartbeat: list[str] = field(default_factory=list)
    """Faults during which the long job was not heard of."""

    def predict(self, http: httpx2.Client, job: str) -> dict[str, Any] | None:
        """Ask a network; return the answer if there is one."""
        started = time.monotonic()
        answer = http.post(f"/v1/models/{job}/predict", json=PIXELS)
        self.slowest = max(self.slowest, time.monotonic() - started)
        self.predictions[str(answer.status_code)] += 1
        if answer.status_code == 200:
            return dict(answer.json())
        if answer.status_code != 503 or "retry-after" not in answer.headers:
            self.wrong.append(f"{answer.status_code} {answer.text[:300]}")
        return None


def test_a_bucket_that_fails_again_and_again_changes_no_bit_and_stops_no_training(
    cluster: Cluster,
    proxy: BucketProxy,
    bucket: S3Server,
    campaign: Campaign,
    datasets_dir: Path,
) -> None:
    specs = [*SPECS, LONG] if campaign.full else SPECS
    digests = undisturbed(specs, datasets_dir)
    server = cluster.servers["api"]
    faults = ROUNDS * FAULTS if campaign.full else FAULTS[:SHORT_FAULTS]
    asked = [cluster.submit(**SPECS[0]) for _ in faults]
    for job in asked:
        cluster.wait(job)
    long, seen = cluster.submit(**LONG), Seen()
    cluster.wait_for_epochs(long, 1)
    clients = [SteadyClient(server.url, "client", SPECS, waiting=1)]
    answers = dict[str, dict[str, Any]]()
    with working(clients):
        for (fault, cut_after), job in zip(faults, asked, strict=True):
            with disturbed(proxy, fault, cut_after):
                until = time.monotonic() + campaign.of(1, 6)
                if answer := seen.predict(server.http, job):
                    answers[job] = answer
                note_silence(cluster, long, f"{fault} {cut_after}", seen)
                time.sleep(max(0, until - time.monotonic()))
            time.sleep(campaign.of(0.2, 2))
            if campaign.full:
                restart(bucket)
    assert cluster.job(long)["state"] == "running", "it was to outlast all faults"
    if not campaign.full:
        server.http.post(f"/v1/jobs/{long}/cancel")
    note(campaign, cluster, clients, seen, digests)
    other = [job for job, answer in answers.items() if answer != seen.predict(server.http, job)]
    campaign.figure(
        "predictions with other numbers", target="0", measured=len(other), met=not other
    )
    assert other == seen.wrong == seen.without_heartbeat == []
    assert all(not client.wrong for client in clients), clients
    assert "Traceback" not in server.log()
    if campaign.full:
        assert cluster.wait(long, seconds=600)["weights_sha256"] == digests[-1]


@contextmanager
def disturbed(proxy: BucketProxy, fault: Fault, cut_after: int = 0) -> Iterator[None]:
    proxy.cut_after, proxy.fault = cut_after, fault
    yield
    proxy.fault = ""


def restart(s3: S3Server) -> None:
    s3.kill()
    time.sleep(1)
    s3.start()


def note_silence(cluster: Cluster, job: str, fault: str, seen: Seen) -> None:
    """Note a fault during which the worker of the long job gives no heartbeat."""
    [(before, _)] = cluster.query(LAST_BEATS, job)
    try:
        eventually(lambda: cluster.query(LAST_BEATS, job)[0][0] > before, "a heartbeat", 8)
    except AssertionError:
        seen.without_heartbeat.append(fault)


def note(
    campaign: Campaign,
    cluster: Cluster,
    clients: Sequence[SteadyClient],
    seen: Seen,
    digests: Sequence[str],
) -> None:
    """Record the figures, once all short jobs have ended, and assert them."""
    most, tried = ROUNDS * len(FAULTS), seen.predictions.total()
    campaign.figure("faults", target=str(most), measured=tried, met=tried >= most)
    jobs = acknowledged(clients)
    ended = {job: cluster.wait(job) for job in jobs}
    changed = [job for job, spec in jobs.items() if ended[job]["weights_sha256"] != digests[spec]]
    lost = [job for job, row in ended.items() if row["lost_workers"]]
    measured = ", ".join(f"{count} x {status}" for status, count in seen.predictions.items())
    what = "answers to predictions while the bucket fails"
    campaign.figure(what, target="200 or 503", measured=measured, met=not seen.wrong)
    met = seen.slowest <= 10
    what = "seconds that the slowest of them took"
    campaign.figure(what, target="10", measured=f"{seen.slowest:.1f}", met=met)
    campaign.figure("jobs trained meanwhile", target="1", measured=len(jobs), met=bool(jobs))
    what = "networks with other bytes than an undisturbed run"
    campaign.figure(what, target="0", measured=len(changed), met=not changed)
    campaign.figure("workers lost", target="0", measured=len(lost), met=not lost)
    silent = seen.without_heartbeat
    what = "faults that silenced a worker for 8 seconds"
    campaign.figure(what, target="0", measured=len(silent), met=not silent)
    assert changed == lost == []


def test_a_key_that_is_wrong_is_named_and_nothing_fails_unexpectedly(
    cluster: Cluster, proxy: BucketProxy, campaign: Campaign
) -> None:
    server = cluster.servers["api"]
    job = cluster.submit(**SPECS[1])
    cluster.wait(job)
    with disturbed(proxy, "403"):
        told = uses_of_the_bucket(server, job)
    statuses = Counter(answer.status_code for answer in told)
    named = [it for it in told if "does not accept the key" in it.json().get("detail", "")]
    measured = f"{len(named)} of {len(told)}, {dict(statuses)}"
    met = set(statuses) == {503} and named == told
    what = "answers of a server whose key was withdrawn that name it"
    campaign.figure(what, target="all, 503", measured=measured, met=met)
    assert met, [answer.text for answer in told]
    assert "Traceback" not in server.log()
    assert server.http.post(f"/v1/models/{job}/predict", json=PIXELS).status_code == 200
    code, log = start_with_wrong_key(cluster)
    is_clear = code == 1 and "does not accept the key" in log and "Traceback" not in log
    what = "a server that is started with a wrong key"
    campaign.figure(what, target="refuses, and names it", measured=log.strip(), met=is_clear)
    assert is_clear, log


def start_with_wrong_key(cluster: Cluster) -> tuple[int, str]:
    """Start a server that may not use the bucket; return its exit code and what it says."""
    place, environment = cluster._prepare("wrong", {"AWS_SECRET_ACCESS_KEY": "not the key"})
    server = ApiServer(place, environment)
    server.launch()
    code = server.wait(60)
    server.http.close()
    return code, server.log()


def uses_of_the_bucket(server: ApiServer, job: str) -> list[httpx2.Response]:
    """Return the answers to requests that need the bucket."""
    http, model = server.http, f"/v1/models/{job}"
    return [
        http.post(f"{model}/predict", json=PIXELS),
        http.get(f"{model}/weights.safetensors"),
        http.get(f"{model}/layers/1/weights.png"),
        http.put("/v1/datasets/mine", content=b"not yet a data set"),
    ]
