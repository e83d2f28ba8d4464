"""What jobs have done is added up, and only ever grows."""

from datetime import timedelta

import pytest

from service.store import training_activity
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.database import Database
from service.store.sql.values import now
from service.store.training_activity import Done, TrainingActivity
from tests.conftest import submit
from tests.support.job_records import query
from tests.support.live_service import claimed, fail, record, succeed

BATCHES = 469
"""60 000 images in batches of 128."""
EPOCH = BATCHES * 128


def test_epochs_and_images_are_counted_from_the_first_look(
    database: Database, jobs: JobStore
) -> None:
    activity = TrainingActivity(database)
    submit(jobs, batch_size=128)
    attempt = claimed(database)
    record(attempt, 1, 2)
    assert activity.update() == Done(0, 0, 0)  # what was done before is unknown
    record(attempt, 3)
    assert activity.update() == Done(1, EPOCH, 0)
    attempt.heartbeat((3, 10), [])
    assert activity.update() == Done(1, EPOCH + 1280, 0)
    assert activity.update() == Done(1, EPOCH + 1280, 0)


def test_a_job_that_ends_between_two_looks_is_counted(database: Database, jobs: JobStore) -> None:
    activity = TrainingActivity(database)
    activity.update()
    for end in (succeed, fail):
        submit(jobs, batch_size=128)
        attempt = claimed(database)
        record(attempt, 1, 2)
        end(attempt)
    assert activity.update() == Done(4, 4 * EPOCH, 0)
    assert activity.update() == Done(4, 4 * EPOCH, 0)


def test_deleting_a_job_takes_nothing_away(database: Database, jobs: JobStore) -> None:
    activity = TrainingActivity(database)
    activity.update()
    id_ = submit(jobs, batch_size=128)
    attempt = claimed(database)
    record(attempt, 1)
    succeed(attempt)
    before = activity.update()
    jobs.delete(id_)
    assert activity.update() == before == Done(1, EPOCH, 0)


def test_epochs_that_are_trained_again_count_again(database: Database, jobs: JobStore) -> None:
    """A worker is lost, and the next one begins from the start because there is no checkpoint."""
    activity = TrainingActivity(database)
    activity.update()
    submit(jobs, batch_size=128)
    first = claimed(database)
    record(first, 1, 2)
    assert activity.update() == Done(2, 2 * EPOCH, 0)
    Queue(database).lose(first.job, first.number, "it has gone")
    assert activity.update().lost_workers == 1
    second = claimed(database)
    record(second, 1)
    assert activity.update().epochs == 2
    record(second, 2)
    assert activity.update().epochs == 3


def test_many_unfinished_jobs_are_not_remembered_without_end(
    database: Database, jobs: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_activity, "MAX_FOLLOWED", 2)
    activity = TrainingActivity(database)
    activity.update()
    for _ in range(4):
        submit(jobs, batch_size=128)
        record(claimed(database), 1)
    assert activity.update().epochs == 4


def test_the_age_of_the_queue_is_that_of_its_first_job(database: Database, jobs: JobStore) -> None:
    def set_back(**passed: float) -> None:
        query(database, "UPDATE events SET at = :at", at=now() - timedelta(**passed))

    activity = TrainingActivity(database)
    assert activity.queue_age() == 0
    first = submit(jobs)
    set_back(seconds=90)
    submit(jobs)
    assert activity.queue_age() == pytest.approx(90, abs=10)
    jobs.act("pause", first)
    jobs.act("resume", first)  # since then it has been waiting anew
    assert activity.queue_age() == pytest.approx(0, abs=10)
    set_back(seconds=-3600)
    assert activity.queue_age() == 0  # the clock was set back
