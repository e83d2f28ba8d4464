import json
import re
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from mlp_client.job_state import State
from mlp_client.spec import SPEC_VERSION
from service.domain.errors import JobNotFound, KeyReused, WrongMove
from service.store import idempotency
from service.store.attempts import SUCCEEDED
from service.store.jobs import JobStore
from service.store.sql.connector import Database
from tests.conftest import submission, submit
from tests.support.job_records import (
    DONE,
    claim,
    epoch,
    in_state,
    query,
    saved,
    started,
    succeed,
    told,
)

# DESIGN.md §4, written out: what each action makes of each state; None is refused.
#                cancel        pause      resume
ACTION_TABLE = {
    "queued": ("cancelled", "paused", "queued"),
    "running": ("cancelling", "pausing", "running"),
    "pausing": ("cancelling", "pausing", "running"),
    "paused": ("cancelled", "paused", "queued"),
    "cancelling": ("cancelling", None, None),
    "succeeded": (None, None, None),
    "failed": (None, None, None),
    "cancelled": ("cancelled", None, None),
}
ALLOWED = {
    "queued": {"cancel", "pause", "delete"},
    "running": {"cancel", "pause"},
    "pausing": {"cancel", "resume"},
    "paused": {"cancel", "resume", "delete"},
    "cancelling": set(),
    "succeeded": {"delete"},
    "failed": {"delete"},
    "cancelled": {"delete"},
}
CASES = [
    (action, state, row[column])
    for state, row in ACTION_TABLE.items()
    for column, action in enumerate(("cancel", "pause", "resume"))
]


def event_count(database: Database, job: str) -> int:
    return len(JobStore(database).events(job)[1])


# --- Submit ---


def test_a_submitted_job_is_queued_with_its_whole_spec(database: Database, jobs: JobStore) -> None:
    job = jobs.get(submit(jobs, preset="linear", epochs=3))
    assert job.state == "queued"
    assert (job.attempt, job.losses, job.bit_exact, job.reason) == (0, 0, True, None)
    assert (job.started_at, job.finished_at, job.weights_sha256) == (None, None, None)
    assert job.spec_version == SPEC_VERSION == 1
    [(stored,)] = query(database, "SELECT spec FROM jobs")
    spec = json.loads(stored)
    assert (spec["preset"], spec["hidden"], spec["epochs"]) == ("linear", [], 3)
    assert spec["learning_rate"] == 0.1, "defaults are stored too"
    assert spec["optimizer"] == {"type": "sgd", "momentum": 0.0, "nesterov": False}


def test_the_first_event_is_the_submission(jobs: JobStore) -> None:
    _, [event] = jobs.events(submit(jobs))
    assert (event.number, event.type) == (1, "state")
    assert event.data == {"state": "queued", "attempt": 0, "reason": None}
    assert abs(datetime.now(UTC) - event.at) < timedelta(seconds=10)


def test_ids_are_uuids_of_version_7_in_order_of_time(jobs: JobStore) -> None:
    before = time.time_ns() // 1_000_000
    ids = []
    for _ in range(5):
        ids.append(submit(jobs))
        time.sleep(0.002)
    assert ids == sorted(ids)
    for id_ in ids:
        assert re.fullmatch(r"job_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", id_)
        number = uuid.UUID(id_.removeprefix("job_"))
        assert (number.version, number.variant) == (7, uuid.RFC_4122)
        assert before <= number.int >> 80 <= time.time_ns() // 1_000_000


def test_ids_of_one_millisecond_differ(jobs: JobStore) -> None:
    assert len({submit(jobs) for _ in range(30)}) == 30


def test_the_place_in_the_queue_counts_the_jobs_ahead(database: Database, jobs: JobStore) -> None:
    first, second, third = (submit(jobs) for _ in range(3))
    assert [jobs.get(job).queue_position for job in (first, second, third)] == [1, 2, 3]
    claim(database, second)
    assert [jobs.get(job).queue_position for job in (first, second, third)] == [1, None, 2]


def test_the_answer_to_a_submission_tells_the_place_in_the_queue(jobs: JobStore) -> None:
    submit(jobs)
    answer = json.loads(submission(jobs).answer)
    assert answer["queue_position"] == 2


def test_a_resumed_job_tells_its_place_in_the_queue(jobs: JobStore) -> None:
    submit(jobs)
    job = submit(jobs)
    jobs.act("pause", job)
    assert jobs.act("resume", job).queue_position == 2
    assert jobs.act("resume", job).queue_position == 2


# --- Idempotency keys ---


def test_a_repeated_submission_gets_the_first_answer(jobs: JobStore) -> None:
    first = submission(jobs, "key", b"body", epochs=2)
    jobs.act("pause", first.job)
    again = submission(jobs, "key", b"body", epochs=2)
    assert (again.job, again.answer) == (first.job, first.answer)
    assert (first.replayed, again.replayed) == (False, True)
    assert len(jobs.page(10).jobs) == 1


def test_a_repeated_submission_is_answered_after_the_job_was_deleted(jobs: JobStore) -> None:
    first = submission(jobs, "key")
    jobs.delete(first.job)
    assert submission(jobs, "key").answer == first.answer
    assert jobs.page(10).jobs == []


def test_a_key_with_another_body_is_refused(jobs: JobStore) -> None:
    submission(jobs, "key", b"one")
    with pytest.raises(KeyReused, match="'key'"):
        submission(jobs, "key", b"two")
    assert len(jobs.page(10).jobs) == 1


def test_without_a_key_every_submission_makes_a_job(jobs: JobStore) -> None:
    assert submission(jobs, None, b"body").job != submission(jobs, None, b"body").job


def test_twenty_threads_with_one_key_make_one_job(jobs: JobStore) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: submission(jobs, "key", b"body"), range(20)))
    assert len({answer.job for answer in answers}) == 1
    assert len({answer.answer for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert len(jobs.page(10).jobs) == 1


def test_a_refused_answer_stores_neither_job_nor_key(database: Database, jobs: JobStore) -> None:
    first = submission(jobs)

    def fail(_: object) -> str:
        raise RuntimeError("can't be rendered")

    spec, cost = jobs.get(first.job).spec, jobs.get(first.job).cost
    with pytest.raises(RuntimeError):
        jobs.submit(spec, cost, 1, fail, "key")
    assert query(database, "SELECT count(*) FROM jobs") == [(1,)]
    assert query(database, "SELECT count(*) FROM idempotency_keys") == [(0,)]


KEY_AGES = {"old": 25, "young": 23, "ahead": -23, "far ahead": -25}  # in hours


@pytest.mark.parametrize(("jobs_later", "kept"), [(1, set(KEY_AGES)), (10, {"young", "ahead"})])
def test_keys_are_forgotten_after_a_day_and_many_jobs(
    database: Database,
    jobs: JobStore,
    monkeypatch: pytest.MonkeyPatch,
    jobs_later: int,
    kept: set[str],
) -> None:
    """A clock that jumps must not make a retried submission a second job."""
    monkeypatch.setattr(idempotency, "KEY_JOBS", 6)
    first = {key: submission(jobs, key).job for key in KEY_AGES}
    for key, hours in KEY_AGES.items():
        then = (datetime.now(UTC) - timedelta(hours=hours)).replace(tzinfo=None)
        query(database, f"UPDATE idempotency_keys SET created_at = '{then}' WHERE key = '{key}'")
    for number in range(jobs_later):
        submission(jobs, f"later {number}")
    assert {key for key in KEY_AGES if jobs.replay(key, b"")} == kept
    assert {submission(jobs, key).job for key in kept} == {first[key] for key in kept}


# --- Actions ---


@pytest.mark.parametrize(("action", "state", "to"), CASES)
def test_each_action_does_to_each_state_what_the_table_says(
    database: Database, jobs: JobStore, action: str, state: str, to: str | None
) -> None:
    job = in_state(database, state)
    before = event_count(database, job)
    if to is None:
        with pytest.raises(WrongMove) as refused:
            jobs.act(action, job)
        assert set(refused.value.allowed) == ALLOWED[state]
        assert all(name in str(refused.value) for name in (action, state, *ALLOWED[state]))
    else:
        assert jobs.act(action, job).state == to
    assert jobs.get(job).state == (to or state)
    assert event_count(database, job) == before + (to not in (None, state))


@pytest.mark.parametrize(("action", "state", "to"), [case for case in CASES if case[2]])
def test_a_repeated_action_is_harmless(
    database: Database, jobs: JobStore, action: str, state: str, to: str
) -> None:
    job = in_state(database, state)
    first = jobs.act(action, job)
    events = event_count(database, job)
    assert jobs.act(action, job) == first
    assert event_count(database, job) == events


@pytest.mark.parametrize("state", ALLOWED)
def test_only_a_job_without_a_worker_is_deleted(
    database: Database, jobs: JobStore, state: str
) -> None:
    job = in_state(database, state)
    if "delete" in ALLOWED[state]:
        jobs.delete(job)
        with pytest.raises(JobNotFound):
            jobs.get(job)
    else:
        with pytest.raises(WrongMove) as refused:
            jobs.delete(job)
        assert set(refused.value.allowed) == ALLOWED[state]
        assert jobs.get(job).state == state


def test_a_clients_wish_is_the_reason(database: Database, jobs: JobStore) -> None:
    job = in_state(database, "running")
    reason = jobs.act("pause", job).reason
    assert reason is not None
    assert (reason.code, reason.message) == ("user", "a client asked to pause")
    assert jobs.act("resume", job).reason is None
    _, events = jobs.events(job)
    assert [event.data["state"] for event in events[-2:]] == ["pausing", "running"]
    assert events[-2].data["reason"] == {"code": "user", "message": "a client asked to pause"}


def test_only_a_final_state_finishes_a_job(database: Database, jobs: JobStore) -> None:
    job = in_state(database, "running")
    assert jobs.act("cancel", job).finished_at is None
    queued = in_state(database, "queued")
    assert jobs.act("pause", queued).finished_at is None
    assert jobs.act("cancel", queued).finished_at is not None


def test_delete_takes_all_that_belongs_to_the_job(database: Database, jobs: JobStore) -> None:
    gone, stays = succeed(database), succeed(database)
    jobs.delete(gone)
    for table in ("epochs", "events", "checkpoints"):
        numbers = query(database, f"SELECT DISTINCT job FROM {table}")
        assert numbers == query(database, f"SELECT number FROM jobs WHERE id = '{stays}'")


def test_the_number_of_a_deleted_job_is_not_used_again(database: Database, jobs: JobStore) -> None:
    jobs.delete(submit(jobs))
    submit(jobs)
    assert query(database, "SELECT number FROM jobs") == [(2,)]


READERS: list[Callable[[JobStore], object]] = [
    lambda jobs: jobs.get("job_none"),
    lambda jobs: jobs.act("cancel", "job_none"),
    lambda jobs: jobs.delete("job_none"),
    lambda jobs: jobs.epochs("job_none"),
    lambda jobs: jobs.events("job_none"),
    lambda jobs: jobs.page(1, after="job_none"),
    lambda jobs: jobs.with_checkpoints("job_none"),
]


@pytest.mark.parametrize("read", READERS)
def test_a_job_that_does_not_exist_is_not_found(
    jobs: JobStore, read: Callable[[JobStore], object]
) -> None:
    with pytest.raises(JobNotFound, match="'job_none'"):
        read(jobs)


# --- Lists ---


def test_pages_go_from_the_newest_to_the_oldest(jobs: JobStore) -> None:
    ids = [submit(jobs) for _ in range(5)]
    first = jobs.page(2)
    assert ([job.id for job in first.jobs], first.has_more) == ([ids[4], ids[3]], True)
    second = jobs.page(2, after=ids[3])
    assert ([job.id for job in second.jobs], second.has_more) == ([ids[2], ids[1]], True)
    last = jobs.page(2, after=ids[1])
    assert ([job.id for job in last.jobs], last.has_more) == ([ids[0]], False)


def test_a_page_that_just_fits_is_the_last(jobs: JobStore) -> None:
    submit(jobs), submit(jobs)
    assert not jobs.page(2).has_more
    assert jobs.page(1).has_more


def test_a_list_holds_only_the_states_asked_for(database: Database, jobs: JobStore) -> None:
    ids = {state: in_state(database, state) for state in ("paused", "running", "failed")}
    submit(jobs)
    page = jobs.page(10, states=[State.PAUSED, State.RUNNING])
    assert {job.id for job in page.jobs} == {ids["paused"], ids["running"]}
    after = jobs.page(10, after=ids["running"], states=[State.PAUSED, State.RUNNING])
    assert [job.id for job in after.jobs] == [ids["paused"]]


def test_lists_do_not_tell_places_in_the_queue(jobs: JobStore) -> None:
    submit(jobs)
    assert [job.queue_position for job in jobs.page(1).jobs] == [None]


def test_every_state_is_counted(database: Database, jobs: JobStore) -> None:
    assert jobs.counts() == dict.fromkeys(State, 0)
    for state in ("queued", "paused", "paused", "succeeded"):
        in_state(database, state)
    counts = {state: count for state, count in jobs.counts().items() if count}
    assert counts == {"queued": 1, "paused": 2, "succeeded": 1}


# --- What is known about a job ---


def test_progress_is_worked_out_from_the_cursor(database: Database, jobs: JobStore) -> None:
    attempt = started(database, epochs=4, batch_size=6000)  # 10 batches an epoch
    attempt.beat((1, 5), [epoch(1, seconds=2.0)])
    progress = jobs.get(attempt.job).progress
    assert (progress.epochs_done, progress.epochs) == (1, 4)
    assert (progress.batches_done, progress.batches_per_epoch) == (5, 10)
    assert progress.fraction == 1.5 / 4
    assert progress.eta_seconds == 2.5 * 2.0


def test_before_the_first_epoch_the_cost_model_tells_the_time_left(
    database: Database, jobs: JobStore
) -> None:
    attempt = started(database, epochs=4, batch_size=6000)
    attempt.beat((0, 5))
    job = jobs.get(attempt.job)
    assert job.progress.eta_seconds == pytest.approx(job.cost.seconds * 3.5 / 4, abs=0.06)


@pytest.mark.parametrize("state", [state for state in State if state != "running"])
def test_only_a_running_job_has_a_time_left(
    database: Database, jobs: JobStore, state: State
) -> None:
    assert jobs.get(in_state(database, state)).progress.eta_seconds is None


def test_metrics_are_the_latest_the_best_and_the_final_epoch(
    database: Database, jobs: JobStore
) -> None:
    attempt = started(database, epochs=3)
    epochs = [epoch(1, accuracy=0.8), epoch(2, accuracy=0.9), epoch(3, accuracy=0.9)]
    attempt.beat((2, 0), epochs[:2])
    _, second, third = map(told, epochs)
    metrics = jobs.get(attempt.job).metrics
    assert (metrics.latest, metrics.best, metrics.final) == (second, second, None)
    attempt.end(SUCCEEDED, DONE, saved(attempt, 3), epochs[2:])
    metrics = jobs.get(attempt.job).metrics
    assert (metrics.latest, metrics.best, metrics.final) == (third, second, third)


def test_epochs_are_read_from_the_one_behind(database: Database, jobs: JobStore) -> None:
    attempt = started(database, epochs=3)
    epochs = [epoch(number, loss=1 / number) for number in (1, 2, 3)]
    attempt.beat((3, 0), epochs)
    assert jobs.epochs(attempt.job) == [told(it) for it in epochs]
    assert jobs.epochs(attempt.job, after=2) == [told(epochs[2])]


def test_events_are_read_from_the_one_behind(database: Database, jobs: JobStore) -> None:
    attempt = started(database, epochs=2)
    attempt.beat((1, 0), [epoch(1)])
    attempt.warn("code", "message")
    job, events = jobs.events(attempt.job, after=1)
    assert job.id == attempt.job
    assert [(event.number, event.type) for event in events] == [
        (2, "state"),
        (3, "epoch"),
        (4, "warning"),
    ]
    assert events[1].data == told(epoch(1)).model_dump()
    assert events[2].data == {"code": "code", "message": "message"}


def test_news_tell_what_has_changed(database: Database, jobs: JobStore) -> None:
    attempt, queued = started(database), submit(jobs)
    attempt.beat((0, 1))
    assert jobs.news([attempt.job, queued, "job_none"]) == {
        attempt.job: (2, 2, "running"),
        queued: (1, 0, "queued"),
    }


def test_the_latest_model_is_that_of_the_job_that_succeeded_last(
    database: Database, jobs: JobStore
) -> None:
    with pytest.raises(JobNotFound, match="No job has succeeded yet"):
        jobs.latest_succeeded()
    older, newer = started(database), started(database)
    for attempt in (newer, older):
        attempt.end(SUCCEEDED, DONE)
    in_state(database, "failed")
    assert jobs.latest_succeeded() == older.job


def test_no_clock_decides_which_model_is_the_latest(database: Database, jobs: JobStore) -> None:
    older, newer = succeed(database), succeed(database)
    query(database, f"UPDATE jobs SET finished_at = '2099-01-01' WHERE id = '{older}'")
    assert jobs.latest_succeeded() == newer
    jobs.delete(newer)
    assert jobs.latest_succeeded() == older
    assert jobs.latest_succeeded() != (newest := succeed(database))
    assert jobs.latest_succeeded() == newest


def test_links_lead_to_the_job(jobs: JobStore) -> None:
    id_ = submit(jobs)
    links = jobs.get(id_).links
    assert (links.self, links.epochs) == (f"/v1/jobs/{id_}", f"/v1/jobs/{id_}/epochs")
    assert links.predict == f"/v1/models/{id_}/predict"


def test_times_are_in_utc(database: Database, jobs: JobStore) -> None:
    job = jobs.get(succeed(database))
    assert job.started_at is not None
    assert job.finished_at is not None
    for at in (job.created_at, job.started_at, job.finished_at):
        assert at.utcoffset() == timedelta(0)
    assert job.created_at <= job.started_at <= job.finished_at
