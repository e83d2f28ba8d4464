"""Eight dispatchers on one store start each job once, and never find the database locked."""

import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import structlog

from mlp_client.job_state import State
from service.domain.errors import StoreBroken
from service.store.attempts import SUCCEEDED, Attempt
from service.store.files.local import LocalArtifacts
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql import sqlite
from service.store.sql.database import Database
from service.work.artifact_gc import JobLeftovers
from service.work.dispatcher import Dispatcher
from service.work.launchers.inline import InlineLauncher
from tests.conftest import submit
from tests.support.campaign import Campaign
from tests.support.job_records import DONE, ENVIRONMENT, HANDLE, query

DISPATCHERS = 8
OTHER_PRAGMAS = [pragma for pragma in sqlite.PRAGMAS if "synchronous" not in pragma]
UNSYNCED = (*OTHER_PRAGMAS, "synchronous=OFF")
"""There is no power cut here, so the small version does not wait for the disk."""


def dispatch(url: str, begin_at: float, pragmas: tuple[str, ...]) -> tuple[int, int]:
    """Run one of the dispatchers until no job is queued.

    Returns:
        How many jobs it ran, and how often the store failed, for example as locked.

    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    setattr(sqlite, "PRAGMAS", pragmas)  # noqa: B010 - its type has a fixed length
    database = Database(url)
    ran, failures = Counter[str](), 0

    def run(job: str, number: int) -> int:
        attempt = Attempt(database, job, number)
        attempt.begin(HANDLE, ENVIRONMENT)
        attempt.end(SUCCEEDED, DONE)
        ran[job] += 1
        return 0

    nowhere = LocalArtifacts(Path(url.removeprefix("sqlite:///")).parent / "jobs")
    queue = Queue(database)
    dispatcher = Dispatcher(queue, InlineLauncher(run), JobLeftovers(queue, nowhere))
    time.sleep(max(0.0, begin_at - time.time()))
    while JobStore(database).counts()[State.QUEUED]:
        try:
            dispatcher.step()
        except StoreBroken:
            failures += 1
    database.close()
    return ran.total(), failures


def dispatch_concurrently(
    url: str, pragmas: tuple[str, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Run the dispatchers; return how many jobs each of them ran, and its failures."""
    arguments = [(url, time.time() + 4, pragmas)] * DISPATCHERS
    with ProcessPoolExecutor(DISPATCHERS, get_context("spawn")) as pool:
        ran, failures = zip(*pool.map(dispatch, *zip(*arguments, strict=True)), strict=True)
    return ran, failures


def test_eight_dispatchers_start_each_job_once(
    campaign: Campaign, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = campaign.of(500, 10_000)
    pragmas = campaign.of(UNSYNCED, sqlite.PRAGMAS)
    monkeypatch.setattr(sqlite, "PRAGMAS", pragmas)
    database = Database(database_url)
    jobs = JobStore(database)
    for _ in range(count):
        submit(jobs)
    ran, failures = dispatch_concurrently(database_url, pragmas)
    database.close()

    span = "SELECT 86400 * (julianday(max(at)) - julianday(min(at))) FROM events WHERE number > 1"
    [(seconds,)] = query(database, span)
    states = query(
        database, "SELECT state, attempt, lost_workers, count(*) FROM jobs GROUP BY 1, 2, 3"
    )
    started = query(
        database,
        "SELECT count(*), count(DISTINCT job) FROM events WHERE data LIKE '%\"running\"%'",
    )
    at_work = sum(number > 0 for number in ran)
    once = states == [("succeeded", 1, 0, count)] and started == [(count, count)]
    measured = f"{sum(ran)} of {count}, by {at_work} of {DISPATCHERS} concurrent dispatchers"
    campaign.figure("jobs started exactly once", target="all", measured=measured, met=once)
    campaign.figure(
        "failures as `database is locked`",
        target="0",
        measured=sum(failures),
        met=not any(failures),
    )
    speed = f"{count / seconds:.0f} jobs a second"
    campaign.figure("speed, three transactions a job", target="none", measured=speed, met=True)
    assert states == [("succeeded", 1, 0, count)]
    assert started == [(count, count)]
    assert sum(ran) == count
    assert not any(failures)
    assert at_work >= 2, ran
