"""Claims, lost workers, and artifacts that count."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from mlp_client.job_state import State
from service.store.attempts import SUCCEEDED
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.database import Database
from tests.conftest import submit
from tests.support.job_records import (
    DONE,
    ENVIRONMENT,
    HANDLE,
    claim,
    claimed,
    content,
    in_state,
    restarted,
    saved,
    started,
    stop,
)

# --- Claim ---


def test_the_oldest_queued_job_is_claimed_first(jobs: JobStore, queue: Queue) -> None:
    ids = [submit(jobs) for _ in range(3)]
    jobs.act("pause", ids[0])
    attempts = [queue.claim() for _ in range(2)]
    assert [attempt and attempt.job for attempt in attempts] == ids[1:]
    assert queue.claim() is None


def test_a_resumed_job_keeps_its_place(jobs: JobStore, queue: Queue) -> None:
    first, _ = submit(jobs), submit(jobs)
    jobs.act("pause", first)
    jobs.act("resume", first)
    claim = queue.claim()
    assert claim is not None
    assert claim.job == first


def test_jobs_that_wait_are_passed_over(jobs: JobStore, queue: Queue) -> None:
    first, second = submit(jobs), submit(jobs)
    claim = queue.claim({first: 12.5}.keys())
    assert claim is not None
    assert claim.job == second
    assert queue.claim([first]) is None


@pytest.mark.parametrize("state", [state for state in State if state != "queued"])
def test_only_a_queued_job_is_claimed(database: Database, queue: Queue, state: State) -> None:
    in_state(database, state)
    assert queue.claim() is None


def test_a_claim_moves_the_job_and_raises_its_attempt(
    database: Database, jobs: JobStore, queue: Queue
) -> None:
    job = submit(jobs)
    for number in (1, 2, 3):
        attempt = claim(database, job)
        assert attempt.number == number
        assert (jobs.get(job).state, jobs.get(job).attempt) == ("running", number)
        _, events = jobs.events(job)
        assert events[-1].data == {"state": "running", "attempt": number, "reason": None}
        stop(attempt)
    assert queue.active() == []


def test_a_claim_keeps_only_the_time_of_the_first_start(
    database: Database, jobs: JobStore, queue: Queue
) -> None:
    attempt = started(database)
    attempt.heartbeat((0, 1))
    first = jobs.get(attempt.job).started_at
    assert first is not None
    stop(attempt)
    claim(database, attempt.job)
    [active] = queue.active()
    assert (active.attempt, active.heartbeat, active.handle) == (2, 0, None)
    assert jobs.get(attempt.job).started_at == first
    assert jobs.get(attempt.job).reason is None


def test_many_threads_claim_each_job_once(jobs: JobStore, queue: Queue) -> None:
    ids = [submit(jobs) for _ in range(12)]
    with ThreadPoolExecutor(16) as pool:
        claims = list(pool.map(lambda _: queue.claim(), range(16)))
    won = [claim for claim in claims if claim is not None]
    assert sorted(claim.job for claim in won) == sorted(ids)
    assert {claim.attempt for claim in won} == {1}


# --- Active ---


def test_jobs_with_a_worker_are_active_oldest_first(database: Database, queue: Queue) -> None:
    ids = [in_state(database, state) for state in ("running", "paused", "cancelling", "pausing")]
    in_state(database, "succeeded")
    assert [row.job for row in queue.active()] == [ids[0], *ids[2:]]
    assert [row.state for row in queue.active()] == ["running", "cancelling", "pausing"]


# --- Lose ---


@pytest.mark.parametrize(
    ("action", "to", "code"),
    [(None, "queued", "worker_lost"), ("pause", "paused", "user"), ("cancel", "cancelled", "user")],
)
def test_a_lost_worker_leaves_the_job_where_its_client_wants_it(
    database: Database, jobs: JobStore, queue: Queue, action: str | None, to: str, code: str
) -> None:
    attempt = started(database)
    if action:
        jobs.act(action, attempt.job)
    lost = queue.lose(attempt.job, attempt.number, "it was killed")
    assert lost == (to, 0 if action else 1, True)
    job = jobs.get(attempt.job)
    assert job.reason is not None
    assert (job.state, job.reason.code) == (to, code)
    assert job.reason.message == (
        f"A client asked to {action} the job." if action else "it was killed"
    )
    assert queue.active() == []


def test_five_lost_workers_in_a_row_fail_the_job(
    database: Database, jobs: JobStore, queue: Queue
) -> None:
    attempt = started(database)
    for lost_workers in (1, 2, 3, 4):
        assert queue.lose(attempt.job, attempt.number, "its process ended") == (
            "queued",
            lost_workers,
            True,
        )
        assert jobs.get(attempt.job).lost_workers == lost_workers
        attempt = restarted(database, attempt.job)
    assert queue.lose(attempt.job, attempt.number, "ended by SIGSEGV") == ("failed", 5, True)
    job = jobs.get(attempt.job)
    assert job.reason is not None
    assert (job.reason.code, job.reason.message) == ("worker_lost", "ended by SIGSEGV")
    assert job.finished_at is not None


def test_lost_workers_with_progress_between_them_never_fail_the_job(
    database: Database, queue: Queue
) -> None:
    attempt = claimed(database, epochs=20)
    for number in range(1, 8):
        attempt.begin(HANDLE, ENVIRONMENT)
        attempt.commit(saved(attempt, number), [])
        lost = queue.lose(attempt.job, attempt.number, "its process ended")
        assert lost == ("queued", 1, True)
        attempt = claim(database, attempt.job)


def test_a_shutdown_does_not_count_as_a_lost_worker(
    database: Database, jobs: JobStore, queue: Queue
) -> None:
    attempt = started(database)
    for _ in range(7):
        lost = queue.lose(attempt.job, attempt.number, "shut down", code="shutdown", counts=False)
        assert lost == ("queued", 0, True)
        reason = jobs.get(attempt.job).reason
        assert reason is not None
        assert (reason.code, reason.message) == ("shutdown", "shut down")
        attempt = restarted(database, attempt.job)
    assert jobs.get(attempt.job).lost_workers == 0


def test_a_worker_that_has_never_begun_is_the_fault_of_its_machine(
    database: Database, jobs: JobStore, queue: Queue
) -> None:
    """A machine on which no worker can start would otherwise fail one job after another."""
    attempt = claimed(database)
    for _ in range(7):
        lost = queue.lose(attempt.job, attempt.number, "its process ended")
        assert lost == ("queued", 0, False)
        attempt = claim(database, attempt.job)


def test_a_shutdown_never_fails_a_job_that_has_lost_workers(
    database: Database, jobs: JobStore, queue: Queue
) -> None:
    attempt = started(database)
    for _ in range(4):
        queue.lose(attempt.job, attempt.number, "its process ended")
        attempt = restarted(database, attempt.job)
    jobs.act("pause", attempt.job)
    assert queue.lose(attempt.job, attempt.number, "asked to pause") == ("paused", 4, True)
    assert jobs.act("resume", attempt.job).lost_workers == 4
    attempt = restarted(database, attempt.job)
    lost = queue.lose(attempt.job, attempt.number, "shut down", counts=False)
    assert lost == ("queued", 4, True)


def test_an_attempt_that_is_over_is_not_lost(
    database: Database, jobs: JobStore, queue: Queue
) -> None:
    attempt = claimed(database)
    attempt.end(SUCCEEDED, DONE)
    other = claimed(database)
    stop(other)
    claim(database, other.job)
    before = content(database)
    assert queue.lose(attempt.job, attempt.number, "its process ended") is None
    assert queue.lose(other.job, other.number, "its process ended") is None
    assert queue.lose("job_none", 1, "its process ended") is None
    assert content(database) == before


# --- Artifacts ---


def test_the_artifacts_that_count_are_those_that_rows_name(
    database: Database, jobs: JobStore, queue: Queue
) -> None:
    attempt = started(database)
    for batches in (1, 2, 3):
        attempt.commit(saved(attempt, 0, batches), [])
    older, newest = (saved(attempt, 0, batches).key for batches in (2, 3))
    assert queue.named_artifacts(attempt.job) == (1, False, {older, newest})
    jobs.act("cancel", attempt.job)
    stop(attempt)
    assert queue.named_artifacts(attempt.job) == (1, True, {newest}), "it never continues"
    jobs.delete(attempt.job)
    assert queue.named_artifacts(attempt.job) is None
