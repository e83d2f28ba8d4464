"""Several machines against one: PostgreSQL and a bucket take turns with SQLite and a folder."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.environments import PLACE
from benchmarks.jobs import percentile
from benchmarks.own_server import moment, own_server
from benchmarks.report import Figure, figure
from benchmarks.serving import CORE, PREDICT, family, load, pin, ratios
from benchmarks.simulated_workers import Plan, Seen, Workers
from service.store.dataset_files import DatasetFiles
from service.store.jobs import JobStore
from service.store.sql.database import Database
from service.store.sql.migrate import migrate
from service.store.stored_dataset import MNIST
from tests.conftest import QUICK, submit
from tests.support.cluster import Cluster, cluster_at
from tests.support.load import post
from tests.support.postgresql_server import PostgresServer, postgres_server
from tests.support.s3_server import s3_server
from tests.support.server_process import Server

JOBS = int(os.environ.get("CLUSTER_JOBS", "40"))
"""How many quick jobs each of the two trains; a rough measurement asks for fewer."""
ROUNDS = int(os.environ.get("CLUSTER_ROUNDS", "9"))
IMPORTS = 15
IDLE_SECONDS = 60
LEAST_EFFICIENT = {50: 0.95, 200: 0.90, 500: 0.85}
"""How much of the time of so many workers must be training."""
CROWDS = [int(it) for it in os.environ.get("CLUSTER_WORKERS", "50,200,500").split(",")]
JOB_SECONDS = 20.0
JOBS_EACH = 2
PROCESSES = 4
TRANSACTIONS = """
SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()
"""
ENDS = "SELECT count(*) - count(DISTINCT finish_number) FROM jobs WHERE state = 'succeeded'"
IMPORT = "import service.work.worker"
IMPORT_SHARED = (
    f"{IMPORT}, service.store.sql.postgresql, service.store.files.bucket, "
    "service.store.files.shared_folders"
)


def measure() -> list[Figure]:
    DatasetFiles(PLACE / "datasets").open(MNIST.sha256)
    return [*_jobs(), *_imports(), *_predictions(), *_idle(), *_crowds()]


@contextmanager
def _cluster(**settings: str) -> Iterator[tuple[PostgresServer, str, Cluster]]:
    """Yield PostgreSQL, the name of its database, and a cluster without members."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(postgres_server(**settings))
        name = postgres.create()
        s3 = stack.enter_context(s3_server())
        environment = {
            **s3.environment,
            "MLP_ARTIFACTS_URL": f"{s3.url}/benchmark",
            "MLP_LOG_LEVEL": "warning",
            "PYTHONDONTWRITEBYTECODE": "",
        }
        url = postgres.url(name)
        cluster = stack.enter_context(cluster_at(place, PLACE / "datasets", url, environment))
        yield postgres, name, cluster


# --- Jobs ---


def _jobs() -> list[Figure]:
    """Train the same short job on one machine and on a host, in turns."""
    with own_server(MLP_CONCURRENT_JOBS="1") as alone, _cluster() as (_, _, cluster):
        cluster.environment["MLP_LOG_LEVEL"] = "info"  # by which the tests know that a host is up
        cluster.server()
        cluster.host("host")
        here, there = list[tuple[float, float]](), list[tuple[float, float]]()
        for turn in range(JOBS + 2):
            pair = _times(alone), _times(cluster)
            if turn > 1:  # the first ones read files that are in no cache yet
                here.append(pair[0])
                there.append(pair[1])
    claims = [1000 * claimed for claimed, _ in there]
    local = [1000 * claimed for claimed, _ in here]
    whole = [ended for _, ended in there], [ended for _, ended in here]
    note = f"{1000 * median(whole[0]):.0f} ms against {1000 * median(whole[1]):.0f} ms, medians"
    return [
        figure("a job's claim on a host, p50", median(claims), "ms", at_most=15),
        figure("a job's claim on a host, p99", percentile(claims, 99), "ms"),
        figure("a job's claim on one machine, p50", median(local), "ms"),
        figure(
            "a short job on a host, against one machine",
            median(whole[0]) / median(whole[1]),
            "x",
            at_most=1.1,
            note=note,
        ),
    ]


def _times(service: Server | Cluster) -> tuple[float, float]:
    """Return the seconds from a job's submission to its claim, and to its end."""
    id_ = service.submit(**QUICK)
    job = service.wait(id_, "succeeded")
    submitted = moment(job["created_at"])
    return moment(job["started_at"]) - submitted, moment(job["finished_at"]) - submitted


# --- Imports ---


def _imports() -> list[Figure]:
    """Import what a worker needs, without and with the two drivers, in turns."""
    took: dict[str, list[float]] = {IMPORT: [], IMPORT_SHARED: []}
    for _ in range(IMPORTS):
        for program, seconds in took.items():
            before = _children_seconds()
            subprocess.run([sys.executable, "-c", program], check=True)
            seconds.append(_children_seconds() - before)
    added = 1000 * (min(took[IMPORT_SHARED]) - min(took[IMPORT]))
    note = f"processor time, the best of {IMPORTS}; without them {1000 * min(took[IMPORT]):.0f} ms"
    return [figure("a worker's import of both drivers", added, "ms", at_most=15, note=note)]


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# --- Predictions ---


def _predictions() -> list[Figure]:
    """Predict one digit on both databases, in rounds, each with the core of the server."""
    digits = np.array(DatasetFiles(PLACE / "datasets").open(MNIST.sha256).test.images)
    request = post(PREDICT, digits[7].tobytes(), "application/octet-stream")
    with own_server(MLP_CONCURRENT_JOBS="1") as alone, _cluster() as (_, _, cluster):
        cluster.environment["MLP_LOG_LEVEL"] = "info"
        shared, host = cluster.server(), cluster.host("host")
        for service in (alone, cluster):
            service.wait(service.submit(preset="mlp-relu", epochs=1), "succeeded")
        host.terminate()
        for server in (alone, shared):
            pin(server.pid, {CORE})
        rounds = [
            (load(alone.port, [alone.pid], request), load(shared.port, [shared.pid], request))
            for _ in range(ROUNDS)
        ]
    rates = [[each[which].rate for each in rounds] for which in (0, 1)]
    clock = [[each[which].seen.rate("200") for each in rounds] for which in (0, 1)]
    by_clock = median(ratios(clock[1], clock[0]))
    note = f"of the server's processor time; by the clock {by_clock:.2f}x"
    what = "one digit on PostgreSQL, requests a second against SQLite"
    return [
        figure(what, ratios(rates[1], rates[0]), "x", at_least=0.8, note=note),
        figure("one digit on PostgreSQL, requests a second", clock[1], "/s"),
    ]


# --- Idle hosts ---


def _idle() -> list[Figure]:
    """Count what a server and two hosts ask while nobody works."""
    with _cluster() as (postgres, name, cluster):
        cluster.environment["MLP_LOG_LEVEL"] = "info"
        cluster.server()
        cluster.host("one"), cluster.host("two")
        cluster.wait(cluster.submit(**QUICK))
        time.sleep(15)
        before = postgres.execute(TRANSACTIONS, name)[0][0]
        time.sleep(IDLE_SECONDS)
        asked = postgres.execute(TRANSACTIONS, name)[0][0] - before
    each = asked / IDLE_SECONDS / 3
    note = "of a server and two hosts, one of which leads"
    return [figure("an idle host's transactions a second", each, "", at_most=1, note=note)]


# --- Simulated workers ---


def _crowds() -> list[Figure]:
    figures = []
    for workers in CROWDS:
        figures += _crowd(workers)
    return figures


def _crowd(workers: int) -> list[Figure]:
    """Let many workers sleep in place of training, with everything else for real."""
    settings = {"max_connections": str(workers + 250), "shared_buffers": "256MB"}
    with postgres_server(**settings) as postgres:
        name = postgres.create()
        url = postgres.url(name)
        migrate(url)
        database = Database(url)
        for _ in range(workers * JOBS_EACH):
            submit(JobStore(database), **QUICK)
        seen, used = _lived(postgres, url, workers)
        [[doubled]] = postgres.execute(ENDS, name)
        database.close()
    if seen.errors or doubled or len(seen.jobs) != workers * JOBS_EACH:
        raise SystemExit(f"{len(seen.jobs)} jobs, {doubled} doubled ends, {seen.errors[:3]}")
    wall = max(ended for _, ended in seen.jobs) - min(began for began, _ in seen.jobs)
    efficiency = len(seen.jobs) * JOB_SECONDS / (workers * wall)
    claims, beats = seen.milliseconds["claim"], seen.milliseconds["heartbeat"]
    note = f"{len(seen.jobs)} jobs of {JOB_SECONDS:.0f} s; heartbeats: p50 {median(beats):.1f} ms, "
    note += f"p99 {percentile(beats, 99):.0f} ms"
    what, least = f"{workers} workers", LEAST_EFFICIENT.get(workers)
    return [
        figure(f"{what}: time in training", efficiency, "x", at_least=least, note=note),
        figure(
            f"{what}: PostgreSQL's processor time, of a core for each",
            100 * used / workers,
            "%",
            at_most=0.3,
        ),
        figure(f"{what}: claims, p99", percentile(claims, 99) / 1000, "s", at_most=2),
    ]


def _lived(postgres: PostgresServer, url: str, workers: int) -> tuple[Seen, float]:
    """Return what the workers saw, and the part of a core that PostgreSQL used meanwhile."""
    begin_at = time.time() + 8
    share = [workers // PROCESSES + (part < workers % PROCESSES) for part in range(PROCESSES)]
    running = [
        Workers(Plan(url, count, JOB_SECONDS, begin_at, f"host-{part}"))
        for part, count in enumerate(share)
        if count
    ]
    time.sleep(max(0.0, begin_at - time.time()))
    before, started = _used(postgres.pid), time.monotonic()
    time.sleep(JOB_SECONDS)
    used = (_used(postgres.pid) - before) / (time.monotonic() - started)
    seen = Seen()
    for workers_of_host in running:
        found = workers_of_host.result()
        seen.jobs += found.jobs
        seen.errors += found.errors
        for what, took in found.milliseconds.items():
            seen.milliseconds.setdefault(what, []).extend(took)
    return seen, used


def _used(pid: int) -> float:
    """Return the processor time of a process, and of its children that live or have ended."""
    ticks = 0
    for each in family(pid):
        with suppress(OSError):  # it has ended, and is counted with its parent the next time
            stat = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, stat[11 : 15 if each == pid else 13]))
    return ticks / os.sysconf("SC_CLK_TCK")
