"""The rows of snapshots: named with the records that they were measured for, and by one attempt."""

import pytest

from service.domain.errors import Replaced
from service.store.attempts import FAILED, STOPPED, Attempt
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.snapshots import NewSnapshot
from service.store.sql.database import Database
from tests.support.job_records import BAD, SHUTDOWN, claim, epoch, query, saved, started, taken


def commit(attempt: Attempt, position: int, *snapshots: NewSnapshot) -> list[str]:
    """Save a checkpoint with the records of some snapshots, and name these."""
    epochs = [snapshot.epoch for snapshot in snapshots]
    return attempt.commit(saved(attempt, position), epochs, snapshots)[1]


def kept(jobs: JobStore, job: str) -> list[int]:
    return [snapshot.epoch for snapshot in jobs.with_snapshots(job)[2]]


def test_a_snapshot_is_named_with_the_record_of_its_epoch(
    database: Database, jobs: JobStore
) -> None:
    attempt = started(database)
    first, third = taken(attempt, 1, planned=True), taken(attempt, 3, accuracy=0.95)
    assert commit(attempt, 3, first, third) == []
    job, _, snapshots = jobs.with_snapshots(attempt.job)
    assert job.id == attempt.job
    assert [(it.file, it.test_accuracy) for it in snapshots] == [
        (first.file, 0.9),
        (third.file, 0.95),
    ]


def test_the_best_of_the_unplanned_ones_stays_until_a_better_one_is_named(
    database: Database, jobs: JobStore
) -> None:
    attempt = started(database)
    commit(attempt, 1, taken(attempt, 1, planned=True, accuracy=0.5))
    commit(attempt, 2, second := taken(attempt, 2, accuracy=0.8))
    assert kept(jobs, attempt.job) == [1, 2]
    dropped = commit(attempt, 3, taken(attempt, 3, planned=True, accuracy=0.7))
    assert (dropped, kept(jobs, attempt.job)) == ([f"{attempt.job}/1/1-0.safetensors"], [1, 2, 3])
    assert second.file.key in commit(attempt, 5, taken(attempt, 5, accuracy=0.9))
    assert kept(jobs, attempt.job) == [1, 3, 5]


def test_of_equal_epochs_the_first_is_the_best(database: Database, jobs: JobStore) -> None:
    attempt = started(database)
    first, second = (taken(attempt, number, accuracy=0.8) for number in (1, 2))
    assert second.file.key in commit(attempt, 2, first, second)
    assert kept(jobs, attempt.job) == [1]
    assert query(database, "SELECT CAST(best ->> 'epoch' AS INTEGER) FROM jobs") == [(1,)]


def test_a_commit_that_is_repeated_changes_nothing(database: Database, jobs: JobStore) -> None:
    """One that reported failure may have happened."""
    attempt = started(database)
    snapshots = taken(attempt, 1, planned=True), taken(attempt, 2, accuracy=0.95)
    assert commit(attempt, 2, *snapshots) == commit(attempt, 2, *snapshots) == []
    assert kept(jobs, attempt.job) == [1, 2]


def test_a_snapshot_is_not_named_for_a_record_of_other_numbers(
    database: Database, jobs: JobStore
) -> None:
    """An earlier attempt recorded the epoch, in an environment that gives other bits."""
    first = started(database)
    first.heartbeat((1, 0), [epoch(1, loss=0.5)])
    Queue(database).lose(first.job, 1, "killed")
    second = claim(database, first.job)
    other = taken(second, 1, planned=True, loss=0.5000001)
    assert commit(second, 1, other) == [other.file.key]
    assert kept(jobs, first.job) == []
    commit(second, 2, taken(second, 1, planned=True, loss=0.5))
    assert kept(jobs, first.job) == [1]


def test_an_attempt_that_was_replaced_names_nothing(database: Database, jobs: JobStore) -> None:
    first = started(database)
    Queue(database).lose(first.job, 1, "killed")
    claim(database, first.job)
    for write in (
        lambda: commit(first, 1, taken(first, 1)),
        lambda: first.end(STOPPED, SHUTDOWN, snapshots=[taken(first, 1)]),
    ):
        with pytest.raises(Replaced):
            write()
    assert query(database, "SELECT * FROM snapshots") == []


def test_the_end_names_the_last_snapshots(database: Database, jobs: JobStore) -> None:
    attempt = started(database)
    last = taken(attempt, 4, planned=True)
    attempt.end(FAILED, BAD, None, [last.epoch], snapshots=[last])
    assert kept(jobs, attempt.job) == [4]


def test_the_rows_go_with_the_job(database: Database, jobs: JobStore) -> None:
    attempt = started(database)
    commit(attempt, 1, taken(attempt, 1, planned=True))
    attempt.end(FAILED, BAD)
    jobs.delete(attempt.job)
    assert query(database, "SELECT * FROM snapshots") == []
