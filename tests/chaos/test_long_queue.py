"""A queue of ten thousand jobs slows down neither requests nor claims."""

import contextlib
import random
import re
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import quantiles

import httpx2
import pytest

from mlp_client.job_state import State
from service.domain.errors import NoLatestModel
from service.domain.model_ref import model_ref
from service.store.attempts import SUCCEEDED, Attempt
from service.store.job_list import JobFilter
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.database import Database
from tests.conftest import submission, submit
from tests.support.campaign import Campaign
from tests.support.job_records import BASELINE, DONE, epoch, finish, saved, started
from tests.support.server_process import Server, resident

CLIENTS = 4
Params = dict[str, str | list[str]]


def fill(server: Server, count: int) -> float:
    """Submit that many jobs over HTTP with several clients; return jobs per second."""

    def client(_: int) -> None:
        with httpx2.Client(base_url=server.url, timeout=60) as http:
            for _ in range(count // CLIENTS):
                assert http.post("/v1/jobs", json={}).status_code == 201

    started = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(client, range(CLIENTS)))
    return count / (time.monotonic() - started)


def best(server: Server, count: int) -> float:
    """Return the jobs per second of the best of three runs, so that a slow disk does not count."""
    return max(fill(server, count) for _ in range(3))


def p99(action: Callable[[], object], times: int) -> float:
    """Return the 99th percentile of the action's milliseconds."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        taken.append(1000 * (time.perf_counter() - started))
    return quantiles(taken, n=100)[-1]


def test_a_long_queue_does_not_slow_the_service_down(
    idle_server: Server, campaign: Campaign
) -> None:
    length, probe = campaign.of((200, 40), (10_000, 1_000))
    fill(idle_server, probe // 4)  # warm
    rate = best(idle_server, probe)
    before = resident(idle_server.pid)
    fill(idle_server, length)
    long_rate = best(idle_server, probe)
    for what, found in (("no jobs", rate), (f"{length} jobs", long_rate)):
        what = f"submissions a second, {what} queued"
        campaign.figure(what, target=">= 300", measured=f"{found:.0f}", met=found >= 300)

    database = Database(f"sqlite:///{idle_server.data_dir / 'jobs.sqlite3'}")
    for what, (most, action) in actions(idle_server, database, length).items():
        took = p99(action, campaign.of(30, 300))
        measured, met = f"{took:.1f}", took <= most
        campaign.figure(f"{what}, p99 in ms", target=f"<= {most}", measured=measured, met=met)
    database.close()
    grown = resident(idle_server.pid) - before
    measured, met = f"{grown:.1f}", grown <= 30
    campaign.figure("memory the server grew by, MB", target="<= 30", measured=measured, met=met)
    assert grown < 60
    assert long_rate > rate / 3, "submissions slow down with the queue"


def actions(
    server: Server, database: Database, length: int
) -> dict[str, tuple[int, Callable[[], object]]]:
    """Return what is measured: the milliseconds it may take at most, and how to do it."""
    queue, rng = Queue(database), random.Random(1)
    ids = [job.id for job in JobStore(database).page(length).jobs]
    several: Params = {"state": ["queued", "running", "failed"]}
    deep: Params = {"after": ids[-50]}

    def page(params: Params) -> tuple[int, Callable[[], object]]:
        return 30, lambda: server.http.get("/v1/jobs", params=params)

    return {
        "a claim": (10, lambda: queue.claim(ids[-8:])),
        "the first page": page({}),
        "a deep page": page(deep),
        "the first page of three states": page(several),
        "a deep page of three states": page(several | deep),
        "a page of a state without jobs": page({"state": "failed"}),
        "a job with its place in the queue": (30, lambda: server.job(rng.choice(ids))),
        "readiness": (30, lambda: server.http.get("/readyz")),
        "metrics": (30, lambda: server.http.get("/metrics")),
    }


# --- Query plans ---


class Plans:
    """Every statement that any engine executes while `explained`, with SQLite's plan for it."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self._statements: set[str] = set()
        self._translate = database.engine.translate
        monkeypatch.setattr(database.engine, "translate", self._note)

    def _note(self, statement: str) -> str:
        translated = self._translate(statement)
        self._statements.add(translated)
        return translated

    def explain(self, database: Database) -> dict[str, str]:
        """Return SQLite's plan for each statement; it does not depend on the parameters."""
        nothing: defaultdict[str, None] = defaultdict(lambda: None)
        with contextlib.closing(sqlite3.connect(str(database.file))) as connection:
            return {
                statement: "\n".join(
                    row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", nothing)
                )
                for statement in self._statements
            }


def dispatch(database: Database) -> None:
    queue = Queue(database)
    queue.claim()
    found = queue.claim(["job_a", "job_b"])
    assert found
    queue.active()
    queue.lose(found.job, found.attempt, "no heartbeat")
    queue.prune(5)
    queue.forget(queue.deleted())
    queue.named_artifacts(found.job)


def serve(database: Database) -> None:
    everyones = JobStore(database)
    serve_to(everyones)
    serve_to(everyones.seen_by("ada", everything=False))


def serve_to(jobs: JobStore) -> None:
    ids = [submission(jobs, f"key-{number}").job for number in range(3)]
    jobs.replay("key-1", b"")
    jobs.page(20)
    jobs.page(20, after=ids[2])
    jobs.page(20, after=ids[2], wanted=JobFilter((State.QUEUED,)))
    jobs.page(20, after=ids[2], wanted=JobFilter(tuple(State)))
    with contextlib.suppress(NoLatestModel):  # of an owner without jobs
        jobs.latest()
    jobs.events(ids[0])
    jobs.epochs(ids[0])
    jobs.news(ids)
    jobs.with_checkpoints(ids[0])
    jobs.network_key(model_ref(ids[0]))
    jobs.network_key(model_ref("latest"))
    jobs.act("pause", ids[0])
    jobs.act("cancel", ids[0])
    jobs.delete(ids[0])


def train(database: Database) -> None:
    attempt = started(database, epochs=2)
    attempt.heartbeat((1, 0), [epoch(1)])
    attempt.warn("code", "message")
    attempt.commit(saved(attempt, 1), [])
    attempt.end(SUCCEEDED, DONE, saved(attempt, 2), [epoch(2)], baseline=BASELINE)


def test_no_statement_reads_the_whole_queue(
    database: Database, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement that sorts the queue reads it whole, too."""
    jobs = JobStore(database)
    for number in range(30):  # SQLite's plans do not depend on how many there are
        submit(jobs)
        if number % 3 == 0:
            claimed = Queue(database).claim()
            assert claimed
            finish(
                Attempt(database, claimed.job, claimed.attempt), accuracy=0.1 if number < 9 else 0.9
            )
    plans = Plans(database, monkeypatch)
    for part in (dispatch, serve, train):
        part(database)
    found = plans.explain(database)
    assert len(found) > 40
    bad = {statement: plan for statement, plan in found.items() if not _is_small(statement, plan)}
    measured, met = f"{len(bad)} of {len(found)}", not bad
    what = "statements that read or sort a whole table"
    campaign.figure(what, target="0", measured=measured, met=met)
    assert not bad, "\n\n".join(f"{statement}\n{plan}" for statement, plan in bad.items())


def _is_small(statement: str, plan: str) -> bool:
    """Return whether the work stays the same, however many jobs there are."""
    if "ORDER BY number DESC" in statement and "LIMIT" in statement:
        # It scans the numbers in order, and no further than the limit.
        plan = re.sub(r"SCAN jobs$", "", plan, flags=re.MULTILINE)
    if "state IN" in statement and "handle" in statement:
        plan = plan.replace("USE TEMP B-TREE FOR ORDER BY", "")  # of the jobs with workers
    if "FROM jobs WHERE id IN (" in statement:
        plan = plan.replace("USE TEMP B-TREE FOR ORDER BY", "")  # of the jobs that are named
    return not re.search(r"SCAN (jobs|events|epochs|checkpoints|idempotency_keys)|B-TREE", plan)
