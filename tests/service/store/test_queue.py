"""Claims, lost workers, artifacts that count, and which finished jobs are deleted."""

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from mlp_client.job_state import FINAL, State
from service.store import queue as module
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
    query,
    saved,
    started,
    stop,
    succeed,
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
    assert queue.lose(attempt.job, attempt.number, "it was killed") == (to, 0 if action else 1)
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
    attempt = claimed(database)
    for lost_workers in (1, 2, 3, 4):
        assert queue.lose(attempt.job, attempt.number, "its process ended") == (
            "queued",
            lost_workers,
        )
        assert jobs.get(attempt.job).lost_workers == lost_workers
        attempt = claim(database, attempt.job)
    assert queue.lose(attempt.job, attempt.number, "ended by SIGSEGV") == ("failed", 5)
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
        assert queue.lose(attempt.job, attempt.number, "its process ended") == ("queued", 1)
        attempt = claim(database, attempt.job)


def test_a_shutdown_does_not_count_as_a_lost_worker(
    database: Database, jobs: JobStore, queue: Queue
) -> None:
    attempt = claimed(database)
    for _ in range(7):
        lost = queue.lose(attempt.job, attempt.number, "shut down", code="shutdown", counts=False)
        assert lost == ("queued", 0)
        reason = jobs.get(attempt.job).reason
        assert reason is not None
        assert (reason.code, reason.message) == ("shutdown", "shut down")
        attempt = claim(database, attempt.job)
    assert jobs.get(attempt.job).lost_workers == 0


def test_a_shutdown_never_fails_a_job_that_has_lost_workers(
    database: Database, jobs: JobStore, queue: Queue
) -> None:
    attempt = claimed(database)
    for _ in range(4):
        queue.lose(attempt.job, attempt.number, "its process ended")
        attempt = claim(database, attempt.job)
    jobs.act("pause", attempt.job)
    assert queue.lose(attempt.job, attempt.number, "asked to pause") == ("paused", 4)
    assert jobs.act("resume", attempt.job).lost_workers == 4
    attempt = claim(database, attempt.job)
    assert queue.lose(attempt.job, attempt.number, "shut down", counts=False) == ("queued", 4)


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


# --- Retention ---


def finished(database: Database, *states: str) -> list[str]:
    return [in_state(database, state) for state in states]


def pruned(queue: Queue, keep: int, until: int | None = None) -> list[str]:
    """Prune once; return the ids of the jobs that are gone."""
    gone = queue.prune(keep) if until is None else queue.prune(keep, until)
    return [job.id for job in gone]


def kept(jobs: JobStore) -> set[str]:
    return {job.id for job in jobs.page(100).jobs}


def give(database: Database, owner: str, *ids: str) -> None:
    for id_ in ids:
        query(database, "UPDATE jobs SET owner = :owner WHERE id = :id", owner=owner, id=id_)


def test_nothing_is_pruned_while_no_more_jobs_have_finished_than_are_kept(
    database: Database, queue: Queue
) -> None:
    finished(database, "cancelled", "failed", "succeeded")
    before = content(database)
    assert pruned(queue, 3) == []
    assert content(database) == before


def test_the_jobs_that_finished_first_are_pruned_first_and_a_few_together(
    database: Database, jobs: JobStore, queue: Queue
) -> None:
    early = submit(jobs)
    done = finished(database, *["cancelled", "failed"] * 5)
    jobs.act("cancel", early)  # the oldest, but it finished last
    assert pruned(queue, 2) == done[:5]
    assert pruned(queue, 2) == done[5:9]
    assert pruned(queue, 2) == []
    assert kept(jobs) == {done[9], early}


def test_failed_cancelled_and_unlearned_jobs_are_pruned_before_any_model(
    database: Database, jobs: JobStore, queue: Queue
) -> None:
    models = [succeed(database, 0.9), succeed(database, 0.95)]
    poor = finished(database, "failed", "cancelled")
    poor.append(succeed(database, 0.1135))
    models.append(succeed(database, 0.91))
    assert pruned(queue, 5) == poor[:1]
    assert pruned(queue, 2) == [*poor[1:], models[0]]
    assert kept(jobs) == set(models[1:])


def test_the_newest_and_the_best_model_of_an_owner_are_never_pruned(
    database: Database, jobs: JobStore, queue: Queue
) -> None:
    best, middle, latest = (succeed(database, accuracy) for accuracy in (0.99, 0.9, 0.5))
    assert pruned(queue, 0) == [middle]
    assert pruned(queue, 0) == []
    assert kept(jobs) == {best, latest}
    assert jobs.latest() == latest


def test_of_equally_good_models_only_the_newest_stays(database: Database, queue: Queue) -> None:
    older, _ = succeed(database), succeed(database)
    assert pruned(queue, 0) == [older]


def test_the_models_of_each_owner_are_kept(
    database: Database, jobs: JobStore, queue: Queue
) -> None:
    older, hers, his, nobodys = finished(database, *["succeeded"] * 4)
    give(database, "ada", older, hers)
    give(database, "bob", his)
    after = finished(database, *["cancelled"] * 3)
    assert pruned(queue, 1) == [*after, older]
    assert kept(jobs) == {hers, his, nobodys}


def test_a_job_that_has_just_ended_is_neither_counted_nor_pruned(
    database: Database, jobs: JobStore, queue: Queue
) -> None:
    older, newer = succeed(database), succeed(database)
    until = queue.last_finish()
    failed = in_state(database, "failed")
    assert pruned(queue, 2, until) == [], "or a model would go in its place"
    assert pruned(queue, 1, until) == [older]
    assert kept(jobs) == {newer, failed}
    assert pruned(queue, 1, queue.last_finish()) == [failed]


def test_the_last_finish_is_counted_from_zero(database: Database, queue: Queue) -> None:
    assert queue.last_finish() == 0
    finished(database, "cancelled", "failed")
    assert queue.last_finish() == 2


@dataclass
class Ended:
    """An ended job, as a plain record: the oracle has no SQL."""

    owner: str
    accuracy: float | None
    """None if it failed."""

    @property
    def good(self) -> bool:
        return self.accuracy is not None and self.accuracy > 0.21


def survivors(ended: list[Ended], keep: int) -> set[int]:
    """Return the places of the jobs that stay, found one by one."""
    stay = set(range(len(ended)))
    for poor_ones in (True, False):
        for place, job in enumerate(ended):
            if len(stay) > keep and job.good != poor_ones and not _is_precious(ended, place):
                stay.discard(place)
    return stay


def _is_precious(ended: list[Ended], place: int) -> bool:
    models = [(at, it) for at, it in enumerate(ended) if it.good and it.owner == ended[place].owner]
    best = max(models, key=lambda model: (model[1].accuracy, model[0]), default=(-1, None))
    return place in (best[0], models[-1][0] if models else -1)


def test_what_is_pruned_is_what_the_rules_say(database: Database, queue: Queue) -> None:
    """Against an oracle in plain Python, for many drawn histories."""
    chance = random.Random(15)
    for _ in range(40):
        ended = [
            Ended(chance.choice(["ada", "bob", ""]), chance.choice([None, 0.1, 0.5, 0.9, 0.99]))
            for _ in range(chance.randrange(1, 12))
        ]
        query(database, "DELETE FROM jobs")
        ids = [_bring_about(database, job) for job in ended]
        keep = chance.randrange(6)
        stay = {ids[place] for place in survivors(ended, keep)}
        foreseen = [job.id for job in queue.expendable(keep)]
        gone = []
        while some := pruned(queue, keep):
            gone += some
        assert set(ids) - set(gone) == stay, (ended, keep)
        assert gone == foreseen, "a dry run says what goes, in its order"


def _bring_about(database: Database, job: Ended) -> str:
    id_ = in_state(database, "failed") if job.accuracy is None else succeed(database, job.accuracy)
    if job.owner:
        give(database, job.owner, id_)
    return id_


@pytest.mark.parametrize("state", [state for state in State if state not in FINAL])
def test_only_finished_jobs_are_pruned(database: Database, queue: Queue, state: State) -> None:
    in_state(database, state)
    last = finished(database, "cancelled")
    finished(database, "cancelled")
    assert pruned(queue, 1) == last


def test_a_pruned_job_leaves_no_row_behind(database: Database, queue: Queue) -> None:
    old, _ = succeed(database), succeed(database)
    assert pruned(queue, 1) == [old]
    for table in ("jobs", "epochs", "checkpoints"):
        assert query(database, f"SELECT count(*) FROM {table}") == [(1,)]


@pytest.mark.parametrize(
    "statement",
    [module.FINISHED, module.OLDEST_IN_STATE, module.OLDEST_UNLEARNED, module.OLDEST_SURPASSED],
)
def test_jobs_to_prune_are_found_by_indexes(database: Database, statement: str) -> None:
    values = {"until": 5, "most": 5, "state": "failed"}
    plan = query(database, f"EXPLAIN QUERY PLAN {statement}", **values)
    steps = [row[-1] for row in plan]
    assert not [step for step in steps if step.startswith(("SCAN jobs", "USE TEMP"))], steps
    compared = [step for step in steps if " newer " in step or " better " in step]
    assert all("COVERING INDEX" in step for step in compared), "no row is read to be compared"
