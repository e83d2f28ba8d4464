"""However many jobs a PostgreSQL server holds, what is asked of it stays as small."""

import contextlib
import uuid

import pytest

from mlp_client.job_state import State
from service.domain.model_ref import model_ref
from service.store.attempts import SUCCEEDED, Attempt
from service.store.event_log import EventLog
from service.store.job_counts import count_demand, count_jobs
from service.store.job_list import ORDERS, JobFilter
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.database import Database
from service.store.training_activity import TrainingActivity
from tests.conftest import submission
from tests.support.campaign import Campaign
from tests.support.job_records import BASELINE, DONE, ENVIRONMENT, HANDLE, epoch, saved
from tests.support.many_jobs import Plan, Statements, fill

MOST_MILLISECONDS = 50
TABLES = {"jobs", "events", "epochs", "checkpoints"}
"""Those that hold many rows here; of small ones, the best plan reads all."""


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


def dispatch(database: Database) -> None:
    queue = Queue(database, "host")
    queue.claim()
    found = queue.claim(["job_a", "job_b"])
    assert found
    queue.active()
    queue.elsewhere()
    attempt = Attempt(database, found.job, found.attempt)
    attempt.begin(HANDLE, ENVIRONMENT)
    attempt.heartbeat((1, 0), [epoch(1)])
    attempt.commit(saved(attempt, 1), [])
    attempt.end(SUCCEEDED, DONE, saved(attempt, 2), [epoch(2)], baseline=BASELINE)
    again = queue.claim()
    assert again
    queue.lose(again.job, again.attempt, "no heartbeat")
    queue.forget(queue.deleted())
    queue.named_artifacts(found.job)


def prune(database: Database) -> None:
    queue = Queue(database, "host")
    until = queue.last_finish()
    assert queue.expendable(count_of(database) - 10, until, 5)


def count_of(database: Database) -> int:
    return sum(count for state, count in JobStore(database).counts().items() if state != "queued")


def serve(jobs: JobStore) -> None:
    keys = [uuid.uuid4().hex for _ in range(3)]
    ids = [submission(jobs, key).job for key in keys]
    jobs.replay(keys[1], b"")
    list_jobs(jobs)
    jobs.get(jobs.latest())
    jobs.get(ids[0])
    jobs.events(ids[0])
    jobs.epochs(ids[0])
    jobs.news(ids)
    jobs.with_snapshots(jobs.latest())
    for ref in ("latest", "latest@best", "latest@1", ids[0]):
        with contextlib.suppress(ValueError):
            jobs.network_key(model_ref(ref))
    jobs.act("pause", ids[0])
    jobs.act("cancel", ids[0])
    jobs.delete(ids[0])


def list_jobs(jobs: JobStore) -> None:
    for order in ORDERS:
        for states in ((), (State.FAILED,), (State.QUEUED, State.RUNNING)):
            page = jobs.page(20, wanted=JobFilter(states, order=order))
            if page.has_more:
                jobs.page(20, after=page.jobs[-1].id, wanted=JobFilter(states, order=order))


def watch(database: Database) -> None:
    """Do what metrics, the page and the fleet ask for."""
    activity, log = TrainingActivity(database), EventLog(database)
    activity.update(), activity.update()
    activity.queue_age()
    newest = log.newest()
    log.news(newest - 10, 20)
    log.between(newest - 10, newest, 20)
    count_demand(database, 100)


def counted(database: Database) -> None:
    count_jobs(database)
    JobStore(database).counts()
    JobStore(database).queue_length()


@pytest.fixture
def many(database: Database, campaign: Campaign) -> Database:
    fill(database, *campaign.of((20_000, 2_000), (1_000_000, 100_000)))
    return database


def test_no_statement_grows_with_the_number_of_jobs(many: Database, campaign: Campaign) -> None:
    statements, counts = Statements(), Statements()
    with statements.recorded():
        dispatch(many)
        serve(JobStore(many))
        serve(JobStore(many).seen_by("owner-3", everything=False))
        watch(many)
    with counts.recorded():
        prune(many)
        counted(many)
    plans = statements.plans(many)
    assert len(plans) > 60
    bad = [plan for plan in plans if plan.scanned & TABLES]
    measured, met = f"{len(bad)} of {len(plans)}", not bad
    what = "PostgreSQL: statements that read a whole table"
    campaign.figure(what, target="0", measured=measured, met=met)
    note_slowest(campaign, "statement", plans, MOST_MILLISECONDS)
    note_slowest(campaign, "count of all jobs", counts.plans(many), 1000)
    assert not bad, report(bad)
    claims = [plan for plan in plans if "SKIP LOCKED" in plan.statement]
    assert claims
    assert not [plan for plan in claims if plan.rows > 100], report(claims)


def note_slowest(campaign: Campaign, what: str, plans: list[Plan], most: int) -> None:
    slowest = max(plan.milliseconds for plan in plans)
    measured, met = f"{slowest:.1f}", slowest <= most
    what = f"PostgreSQL: the slowest {what}, ms"
    campaign.figure(what, target=f"<= {most}", measured=measured, met=met)


def report(plans: list[Plan]) -> str:
    ordered = sorted(plans, key=lambda plan: -plan.milliseconds)
    return "\n\n".join(
        f"{plan.milliseconds:.1f} ms, {plan.pages} pages, {plan.rows} rows, "
        f"{plan.scanned}: {plan.statement}"
        for plan in ordered
    )
