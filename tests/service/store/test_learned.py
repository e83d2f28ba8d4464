"""What the end of an attempt says about a network that has learned something, or nothing."""

import pytest

from mlp_client.job_state import State
from service.domain.errors import Replaced
from service.store.attempts import FAILED, STOPPED, SUCCEEDED
from service.store.jobs import JobStore
from service.store.sql.database import Database
from service.store.stored_job import Reason
from tests.support.job_records import (
    BAD,
    BASELINE,
    DONE,
    claim,
    epoch,
    finish,
    query,
    saved,
    started,
    stop,
)


@pytest.mark.parametrize(
    ("accuracy", "learned"), [(0.0892, False), (0.1135, False), (0.2, False), (0.9, True)]
)
def test_success_judges_whether_anything_was_learned(
    database: Database, jobs: JobStore, accuracy: float, learned: bool
) -> None:
    attempt = started(database, epochs=1, learning_rate=5.0)
    finish(attempt, accuracy, saved(attempt, 1))
    job, events = jobs.events(attempt.job)
    assert (job.state, job.learned) == ("succeeded", learned)
    assert job.reason is not None
    warnings = [event.data for event in events if event.type == "warning"]
    if learned:
        assert (job.reason.code, job.reason.message, warnings) == (*DONE, [])
        return
    assert job.reason.code == "learned_nothing"
    [warning] = warnings
    assert warning["code"] == "learned_nothing"
    assert job.reason.message == f"{DONE[1]} {warning['message']}"
    for part in (f"{accuracy:.2%}", "11.35%", "lower learning_rate: it was 5, and 0.1"):
        assert part in warning["message"]
    assert [event.type for event in events[-2:]] == ["warning", "state"]


def test_the_last_epoch_is_judged_also_if_it_was_recorded_before(
    database: Database, jobs: JobStore
) -> None:
    attempt = started(database, epochs=2)
    attempt.commit(saved(attempt, 2), [epoch(1, accuracy=0.9), epoch(2, accuracy=0.1)])
    attempt.end(SUCCEEDED, DONE, None, [], "f" * 64, BASELINE)
    assert jobs.get(attempt.job).learned is False
    assert query(database, "SELECT test_accuracy FROM jobs") == [(0.1,)]


def test_a_job_that_learned_little_is_told_how_to_learn_more(
    database: Database, jobs: JobStore
) -> None:
    attempt = started(database, epochs=8)
    losses = (2.2, 2.0, 1.9, 1.8, 1.7, 1.6, 1.5, 1.4)
    epochs = [epoch(at, loss=loss, accuracy=0.5) for at, loss in enumerate(losses, start=1)]
    attempt.commit(saved(attempt, 8), epochs)
    attempt.end(SUCCEEDED, DONE, None, [], "f" * 64, BASELINE)
    job, events = jobs.events(attempt.job)
    advice = "Try more epochs than 8: the training loss was still falling."
    assert job.learned is True
    assert job.reason == Reason("learned_little", f"{DONE[1]} {advice}")
    [warning] = [event.data for event in events if event.type == "warning"]
    assert (warning["code"], warning["message"]) == ("learned_little", advice)


@pytest.mark.parametrize(
    ("moves", "action"), [(FAILED, None), (STOPPED, None), (SUCCEEDED, "cancel")]
)
def test_only_a_job_that_succeeds_is_judged(
    database: Database, jobs: JobStore, moves: dict[State, State], action: str | None
) -> None:
    attempt = started(database)
    if action:
        jobs.act(action, attempt.job)
    attempt.end(moves, BAD, None, [epoch(1, accuracy=0.1)], None, BASELINE)
    job, events = jobs.events(attempt.job)
    assert job.learned is None
    assert "warning" not in [event.type for event in events]


def test_a_worker_that_was_replaced_judges_nothing(database: Database, jobs: JobStore) -> None:
    attempt = started(database)
    stop(attempt)
    claim(database, attempt.job)
    with pytest.raises(Replaced):
        finish(attempt, 0.1)
    assert jobs.get(attempt.job).learned is None
