"""PostgreSQL that is stopped, killed or full while a cluster works."""

import contextlib
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx2
import pytest

from service.domain.errors import StoreFull
from service.store.jobs import JobStore
from service.store.sql.database import Database
from service.store.sql.migrate import migrate
from tests.chaos.test_disk import fill, needs_mounts
from tests.conftest import submit
from tests.support.campaign import Campaign
from tests.support.cluster import Cluster
from tests.support.postgresql_server import PostgresServer, postgres_server
from tests.support.s3_server import S3Server
from tests.support.server_process import eventually
from tests.support.steady_clients import SteadyClient, acknowledged, working
from tests.support.undisturbed import undisturbed

SPECS = (
    {"preset": "linear", "batch_size": 4096, "epochs": 2},
    {"hidden": [48], "batch_size": 512, "epochs": 6},
    {"hidden": [32, 16], "activation": "tanh", "batch_size": 512, "epochs": 4},
)
LONG = {"hidden": [64], "batch_size": 256, "epochs": 12, "seed": 5}
OUTAGES: dict[str, Callable[[PostgresServer], None]] = {
    "killed with all its processes": PostgresServer.kill,
    "stopped fast": lambda postgres: postgres.stop(signal.SIGINT),
    "stopped at once": lambda postgres: postgres.stop(signal.SIGQUIT),
}
STATES = "SELECT id, state, attempt, lost_workers, weights_sha256 FROM jobs"
ENDS = """
SELECT id FROM jobs WHERE 1 <> (SELECT count(*) FROM events WHERE job = jobs.number
AND type = 'state' AND data->>'state' IN ('succeeded', 'failed', 'cancelled'))
"""
GAPS = """
SELECT id FROM jobs WHERE event_count <> (SELECT count(*) FROM events
WHERE job = jobs.number AND events.number IS NOT NULL)
OR (spec->>'epochs')::int <> (SELECT count(*) FROM epochs WHERE job = jobs.number)
"""


@pytest.fixture
def only_in_full(campaign: Campaign) -> None:
    if not campaign.full:
        pytest.skip("the test before it tries the same without a cluster")


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL server of this test alone, which keeps what it has acknowledged."""
    with postgres_server() as postgres:
        yield postgres


def cluster_on(
    postgres: PostgresServer, place: Path, datasets_dir: Path, s3: S3Server, bucket_url: str
) -> Cluster:
    """Return a cluster whose database is a new one of a server."""
    url = postgres.url(postgres.create())
    migrate(url)
    return Cluster(place, datasets_dir, url, {"MLP_ARTIFACTS_URL": bucket_url, **s3.environment})


def test_a_database_that_fails_again_and_again_costs_no_job_and_no_attempt(
    failing: PostgresServer,
    campaign: Campaign,
    tmp_path: Path,
    datasets_dir: Path,
    s3: S3Server,
    bucket_url: str,
) -> None:
    cluster, draw = cluster_on(failing, tmp_path, datasets_dir, s3, bucket_url), random.Random(18)
    try:
        digests = undisturbed(SPECS, datasets_dir)
        server = cluster.server()
        cluster.host("one", slots=2)
        clients = [SteadyClient(server.url, f"client-{number}", SPECS) for number in range(2)]
        outages: Counter[str] = Counter()
        with working(clients):
            until = time.monotonic() + campaign.of(4, 1800)
            while time.monotonic() < until or len(outages) < len(OUTAGES) - (not campaign.full):
                time.sleep(draw.uniform(0.5, 1) if not campaign.full else draw.uniform(5, 40))
                what = list(OUTAGES)[sum(outages.values()) % len(OUTAGES)]
                OUTAGES[what](failing)
                outages[what] += 1
                time.sleep(draw.uniform(0.2, campaign.of(1.5, 20)))
                failing.start()
        jobs = acknowledged(clients)
        eventually(lambda: all_have_ended(cluster), "all jobs to end", 90 + len(jobs))
        note(campaign, clients, outages)
        wrongs = faults(cluster, jobs, digests)
        wrongs["answers that were neither success nor 503 with Retry-After"] = [
            wrong for client in clients for wrong in client.wrong
        ]
        for found, names in wrongs.items():
            campaign.figure(found, target="0", measured=len(names), met=not names)
        assert not any(wrongs.values()), wrongs
        assert "Traceback" not in server.log()
    finally:
        cluster.end()


def all_have_ended(cluster: Cluster) -> bool:
    states = {state for _, state, *_ in cluster.query(STATES)}
    return not states & {"queued", "running", "pausing", "cancelling"}


def note(campaign: Campaign, clients: Sequence[SteadyClient], outages: Counter[str]) -> None:
    jobs = len(acknowledged(clients))
    measured = f"{jobs} jobs while the server was " + ", ".join(
        f"{count} times {what}" for what, count in outages.items()
    )
    target, most = campaign.of((1, 1), (300, 50))
    met = jobs >= target and sum(outages.values()) >= most
    campaign.figure("outages", target="50, with 300 jobs or more", measured=measured, met=met)
    answers = sum((client.answers for client in clients), Counter[str]())
    slowest = max(client.slowest for client in clients)
    measured = ", ".join(f"{count} x {what}" for what, count in sorted(answers.items()))
    measured += f"; the slowest after {slowest:.1f} s"
    campaign.figure("answers", target="each within 15 s", measured=measured, met=slowest <= 15)


def faults(cluster: Cluster, jobs: dict[str, int], digests: Sequence[str]) -> dict[str, list[str]]:
    """Return every kind of fault, each with the jobs that show it."""
    rows = {job: row for job, *row in cluster.query(STATES)}
    return {
        "acknowledged jobs lost": [
            job for job in jobs if job not in rows or rows[job][0] != "succeeded"
        ],
        "jobs that no client was told of": sorted(set(rows) - set(jobs)),
        "jobs with two ends, or none": [job for (job,) in cluster.query(ENDS)],
        "jobs with a doubled or missing epoch or event": [job for (job,) in cluster.query(GAPS)],
        "networks with other bytes than an undisturbed run": [
            job for job, spec in jobs.items() if job in rows and rows[job][3] != digests[spec]
        ],
        "workers that had begun and ended by an outage": [
            job for job, row in rows.items() if begun_again(cluster, job, row[1])
        ],
    }


def begun_again(cluster: Cluster, job: str, attempts: int) -> bool:
    """Return whether an attempt was replaced although its worker had begun."""
    logs = [host.data_dir / "logs" / job / "worker.log" for host in cluster.hosts.values()]
    text = "".join(log.read_text() for log in logs if log.exists())
    return any(f"attempt {number} begins" in text for number in range(1, attempts))


# --- A full disk ---


@needs_mounts
def test_a_full_disk_of_the_database_is_told_and_harms_nothing() -> None:
    with postgres_server(small_disk, fsync="off", **SMALL) as postgres:
        url = postgres.url(postgres.create())
        migrate(url)
        with contextlib.closing(Database(url)) as database:
            jobs = JobStore(database)
            before = submit(jobs)
            ballast = fill(postgres.directory)
            with pytest.raises(StoreFull):
                submit_until_full(jobs)
            assert jobs.get(before).state == "queued"
            ballast.unlink()
            submit(jobs)


def submit_until_full(jobs: JobStore) -> None:
    """Submit jobs; at first there is space within the files."""
    for _ in range(200):
        submit(jobs)


@needs_mounts
@pytest.mark.usefixtures("only_in_full")
def test_a_full_disk_of_the_database_refuses_new_work_and_costs_no_job(
    campaign: Campaign, tmp_path: Path, datasets_dir: Path, s3: S3Server, bucket_url: str
) -> None:
    with postgres_server(small_disk, fsync="off", **SMALL) as postgres:
        cluster = cluster_on(postgres, tmp_path, datasets_dir, s3, bucket_url)
        try:
            server, _ = cluster.server(), cluster.host("one")
            job = cluster.submit(**LONG)
            cluster.wait_for_epochs(job, 1)
            ballast = fill(postgres.directory)
            refused = use_full_disk(server.http, seconds=45)
            ballast.unlink()
            freed = time.monotonic()
            eventually(lambda: server.http.post("/v1/jobs", json=LONG).status_code == 201, "room")
            seconds = time.monotonic() - freed
            ended = cluster.wait(job)
            [digest] = undisturbed([LONG], datasets_dir)
            answers = Counter(answer.status_code for answer in refused)
            measured = ", ".join(f"{count} x {status}" for status, count in answers.items())
            met = set(answers) <= {201, 503, 507} and 507 in answers
            what = "answers to submissions while the disk of the database is full"
            campaign.figure(what, target="507, 503, or 201", measured=measured, met=met)
            what = "seconds from free space to the next accepted job"
            campaign.figure(what, target="2", measured=f"{seconds:.1f}", met=seconds <= 2)
            lost = "jobs lost, or workers lost"
            is_whole = ended["weights_sha256"] == digest and ended["lost_workers"] == 0
            campaign.figure(lost, target="0", measured=int(not is_whole), met=is_whole)
            assert met
            assert is_whole, ended
            assert all("retry-after" in it.headers for it in refused if it.status_code != 201)
            assert "Traceback" not in server.log()
        finally:
            cluster.end()


SMALL = {"min_wal_size": "32MB", "max_wal_size": "32MB", "autovacuum": "off"}


def small_disk(folder: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(folder)], check=True)


def use_full_disk(http: httpx2.Client, seconds: float) -> list[httpx2.Response]:
    """Submit jobs while the disk is full; return the answers."""
    answers, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        answers.append(http.post("/v1/jobs", json=LONG | {"epochs": 1}))
        time.sleep(0.05)
    return answers
