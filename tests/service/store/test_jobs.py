"""Jobs as clients use them: submissions, actions, deletions and what is read."""

import json
import re
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from mlp_client.job_spec import SPEC_VERSION
from mlp_client.job_state import State
from service.domain.errors import JobNotFound, NoLatestModel, WrongMove
from service.store.jobs import JobStore
from service.store.sql.database import Database
from tests.conftest import submission, submit
from tests.support.job_records import (
    claim,
    epoch,
    finish,
    in_state,
    query,
    started,
    stored_epoch,
    succeed,
)

# The state that each action leads to from each state; None means that it is refused.
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
    assert (job.attempt, job.lost_workers, job.bit_exact, job.reason) == (0, 0, True, None)
    assert (job.started_at, job.finished_at, job.weights_sha256) == (None, None, None)
    assert job.spec_version == SPEC_VERSION == 1
    [(stored,)] = query(database, "SELECT spec FROM jobs")
    spec = json.loads(stored) if isinstance(stored, str) else stored
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


def test_the_answer_to_a_submission_has_the_place_in_the_queue(jobs: JobStore) -> None:
    submit(jobs)
    answer = json.loads(submission(jobs).answer)
    assert answer["queue_position"] == 2


def test_a_resumed_job_has_its_place_in_the_queue(jobs: JobStore) -> None:
    submit(jobs)
    job = submit(jobs)
    jobs.act("pause", job)
    assert jobs.act("resume", job).queue_position == 2
    assert jobs.act("resume", job).queue_position == 2


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


def test_an_action_is_the_reason_of_the_state(database: Database, jobs: JobStore) -> None:
    job = in_state(database, "running")
    reason = jobs.act("pause", job).reason
    assert reason is not None
    assert (reason.code, reason.message) == ("user", "A client asked to pause the job.")
    assert jobs.act("resume", job).reason is None
    _, events = jobs.events(job)
    assert [event.data["state"] for event in events[-2:]] == ["pausing", "running"]
    assert events[-2].data["reason"] == {
        "code": "user",
        "message": "A client asked to pause the job.",
    }


def test_only_a_final_state_finishes_a_job(database: Database, jobs: JobStore) -> None:
    job = in_state(database, "running")
    assert jobs.act("cancel", job).finished_at is None
    queued = in_state(database, "queued")
    assert jobs.act("pause", queued).finished_at is None
    assert jobs.act("cancel", queued).finished_at is not None


def test_delete_removes_all_rows_of_the_job(database: Database, jobs: JobStore) -> None:
    deleted, kept = succeed(database), succeed(database)
    jobs.delete(deleted)
    for table in ("epochs", "events", "checkpoints"):
        numbers = query(database, f"SELECT DISTINCT job FROM {table} WHERE job > 0")
        assert numbers == query(database, f"SELECT number FROM jobs WHERE id = '{kept}'")


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


@pytest.mark.parametrize("id_", ["a\0b", "\0", "x" * 10_000, "İ\u202e%_\\'"])
def test_no_text_is_too_strange_to_look_for(jobs: JobStore, id_: str) -> None:
    submit(jobs)
    with pytest.raises(JobNotFound):
        jobs.get(id_)


def test_every_state_is_counted(database: Database, jobs: JobStore) -> None:
    assert jobs.counts() == dict.fromkeys(State, 0)
    for state in ("queued", "paused", "paused", "succeeded"):
        in_state(database, state)
    counts = {state: count for state, count in jobs.counts().items() if count}
    assert counts == {"queued": 1, "paused": 2, "succeeded": 1}


# --- What is known about a job ---


def test_epochs_are_read_after_a_number(database: Database, jobs: JobStore) -> None:
    attempt = started(database, epochs=3)
    epochs = [epoch(number, loss=1 / number) for number in (1, 2, 3)]
    attempt.heartbeat((3, 0), epochs)
    assert jobs.epochs(attempt.job) == [stored_epoch(it) for it in epochs]
    assert jobs.epochs(attempt.job, after=2) == [stored_epoch(epochs[2])]


def test_events_are_read_after_a_number(database: Database, jobs: JobStore) -> None:
    attempt = started(database, epochs=2)
    attempt.heartbeat((1, 0), [epoch(1)])
    attempt.warn("code", "message")
    job, events = jobs.events(attempt.job, after=1)
    assert job.id == attempt.job
    assert [(event.number, event.type) for event in events] == [
        (2, "state"),
        (3, "epoch"),
        (4, "warning"),
    ]
    assert events[1].data == stored_epoch(epoch(1))
    assert events[2].data == {"code": "code", "message": "message"}


def test_news_are_counts_and_states_of_existing_jobs(database: Database, jobs: JobStore) -> None:
    attempt, queued = started(database), submit(jobs)
    attempt.heartbeat((0, 1))
    assert jobs.news([attempt.job, queued, "job_none"]) == {
        attempt.job: (2, 2, "running"),
        queued: (1, 0, "queued"),
    }


def test_the_latest_model_is_that_of_the_job_that_succeeded_last(
    database: Database, jobs: JobStore
) -> None:
    with pytest.raises(JobNotFound, match="No job has succeeded yet"):
        jobs.latest()
    older, newer = started(database), started(database)
    for attempt in (newer, older):
        finish(attempt)
    in_state(database, "failed")
    assert jobs.latest() == older.job


@pytest.mark.parametrize(
    ("accuracy", "learned"),
    [(0.0892, False), (0.1135, False), (0.16, False), (0.2, False), (0.21, True), (0.98, True)],
)
def test_a_job_that_learned_nothing_is_not_the_latest_model(
    database: Database, jobs: JobStore, accuracy: float, learned: bool
) -> None:
    good, newer = succeed(database), succeed(database, accuracy)
    assert jobs.get(newer).learned is learned
    assert jobs.latest() == (newer if learned else good)


def test_without_a_job_that_learned_anything_the_newest_that_succeeded_is_named(
    database: Database, jobs: JobStore
) -> None:
    succeed(database, 0.3, name="of another owner")
    query(database, "UPDATE jobs SET owner = 'bob'")
    ada = jobs.seen_by("ada", everything=False)
    with pytest.raises(NoLatestModel, match=r"^No job has succeeded yet.*latest model\.$"):
        ada.latest()
    mine = succeed(database, 0.1135)
    query(database, "UPDATE jobs SET owner = 'ada' WHERE owner IS NULL")
    failed = in_state(database, "failed")
    query(database, "UPDATE jobs SET owner = 'ada' WHERE owner IS NULL")
    with pytest.raises(NoLatestModel, match=rf"learned anything yet.*{mine}.*11\.35%"):
        ada.latest()
    jobs.delete(mine)
    with pytest.raises(NoLatestModel, match=rf"succeeded yet.*newest job is {failed} \(failed\)"):
        ada.latest()


def test_no_clock_decides_which_model_is_the_latest(database: Database, jobs: JobStore) -> None:
    older, newer = succeed(database), succeed(database)
    query(database, f"UPDATE jobs SET finished_at = '2099-01-01' WHERE id = '{older}'")
    assert jobs.latest() == newer
    jobs.delete(newer)
    assert jobs.latest() == older
    assert jobs.latest() != (newest := succeed(database))
    assert jobs.latest() == newest


def test_times_are_in_utc(database: Database, jobs: JobStore) -> None:
    job = jobs.get(succeed(database))
    assert job.started_at is not None
    assert job.finished_at is not None
    for at in (job.created_at, job.started_at, job.finished_at):
        assert at.utcoffset() == timedelta(0)
    assert job.created_at <= job.started_at <= job.finished_at
