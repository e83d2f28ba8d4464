"""The events of all jobs in one order, for those who follow everything."""

import threading

import pytest

from service.store import deletion
from service.store.attempts import Attempt
from service.store.event_log import EventLog
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.database import Database
from service.store.transitions import record_change
from tests.conftest import submit
from tests.support.engines import only_sqlite
from tests.support.job_records import epoch, finish, query, saved, started


@pytest.fixture
def log(database: Database) -> EventLog:
    return EventLog(database)


def everything(log: EventLog, after: int = 0) -> list[tuple[str, str]]:
    return [(event.job, event.type) for event in log.between(after, 2**62, 10_000).events]


def test_the_events_of_all_jobs_are_in_the_order_in_which_they_happened(
    database: Database, jobs: JobStore, log: EventLog
) -> None:
    assert log.newest() == 0
    first = started(database)
    other = submit(jobs)
    first.heartbeat((1, 0), [epoch(1)])
    jobs.act("cancel", other)
    first.warn("begun_again", "The checkpoint can't be read.")
    expected = [
        (first.job, "state"), (first.job, "state"), (other, "state"), (first.job, "epoch"),
        (other, "state"), (first.job, "warning"),
    ]  # fmt: skip
    assert everything(log) == expected
    assert everything(log, after=4) == expected[4:]
    assert log.newest() == 6


def test_a_part_of_the_events_comes_with_the_jobs_that_have_changed(
    database: Database, jobs: JobStore, log: EventLog
) -> None:
    attempt = started(database)
    attempt.commit(saved(attempt, 0, 5), [])
    waiting = [submit(jobs) for _ in range(2)]
    logged = log.between(1, 4, 2)
    assert [event.seq for event in logged.events] == [2, 3]
    assert logged.jobs.keys() == {attempt.job, waiting[0]}
    assert logged.jobs[waiting[0]] == jobs.get(waiting[0])
    assert logged.jobs[attempt.job] == jobs.get(attempt.job)
    assert log.between(3, 4, 9).jobs[waiting[1]].queue_position == 2


def test_news_are_the_newest_events_and_the_jobs_that_train(
    database: Database, jobs: JobStore, log: EventLog
) -> None:
    training, done = started(database), started(database)
    finish(done)
    submit(jobs)
    logged, active = log.news(log.newest() - 1, 10)
    assert [event.type for event in logged.events] == ["state"]
    assert active == [jobs.get(training.job)]


def test_a_deleted_job_leaves_one_event_with_its_owner(
    database: Database, jobs: JobStore, log: EventLog
) -> None:
    kept, gone = submit(jobs), submit(jobs.seen_by("ada", everything=False))
    jobs.delete(gone)
    assert everything(log) == [(kept, "state"), (gone, "deleted")]
    [_, deleted] = log.between(0, 9, 9).events
    assert (deleted.seq, deleted.owner) == (3, "ada")


def test_pruned_jobs_are_deleted_as_well(database: Database, log: EventLog) -> None:
    attempts = [started(database) for _ in range(3)]
    for attempt in attempts:
        attempt.end({"running": "failed"}, ("diverged", "…"))  # type: ignore[dict-item]  # as text
    gone = Queue(database).prune(1)
    deleted = [job for job, type_ in everything(log) if type_ == "deleted"]
    assert deleted == [attempt.job for attempt in attempts[:2]]
    assert [job.id for job in gone] == deleted


def test_old_deletions_are_forgotten(
    database: Database, jobs: JobStore, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "KEPT_EVENTS", 6)
    gone = [submit(jobs) for _ in range(9)]
    for job in gone:
        jobs.delete(job)
    assert [job for job, _ in everything(log)] == gone[2:]
    assert log.newest() == 18


@only_sqlite
def test_forgetting_old_deletions_reads_no_other_events(database: Database) -> None:
    plan = query(database, f"EXPLAIN QUERY PLAN {deletion.FORGET_OLD_DELETIONS}", kept=5)
    steps = [row[-1] for row in plan]
    assert not [step for step in steps if step.startswith("SCAN events")], steps


def test_another_change_is_an_event_outside_of_the_jobs_own_history(
    database: Database, jobs: JobStore, log: EventLog
) -> None:
    job = submit(jobs)
    with database.write() as transaction:
        record_change(transaction, jobs.get(job).number)
    assert everything(log) == [(job, "state"), (job, "change")]
    assert log.between(1, 2, 1).jobs == {job: jobs.get(job)}
    own = [event.number for event in jobs.events(job)[1]]
    jobs.act("cancel", job)
    assert own + [event.number for event in jobs.events(job, 1)[1]] == [1, 2]


def test_only_the_last_change_of_a_job_is_kept_and_numbers_never_come_again(
    database: Database, jobs: JobStore, log: EventLog
) -> None:
    job, other = submit(jobs), submit(jobs)
    for changed in (job, other, job, job):
        with database.write() as transaction:
            record_change(transaction, jobs.get(changed).number)
    kept = [(event.job, event.type, event.seq) for event in log.between(0, 2**62, 10).events]
    expected = [(job, "state", 1), (other, "state", 2), (other, "change", 4), (job, "change", 6)]
    assert kept == expected


def test_a_reader_never_finds_an_event_below_one_that_it_has_seen(
    database: Database, jobs: JobStore, log: EventLog
) -> None:
    attempts = [started(database, epochs=100) for _ in range(4)]

    def train(attempt: Attempt) -> None:
        for number in range(1, 26):
            attempt.heartbeat((number, 0), [epoch(number)])

    writers = [threading.Thread(target=train, args=[attempt]) for attempt in attempts]
    for writer in writers:
        writer.start()
    seen: list[int] = []
    while any(writer.is_alive() for writer in writers) or log.newest() > (seen or [0])[-1]:
        logged = log.between(seen[-1] if seen else 0, 2**62, 7)
        seen += [event.seq for event in logged.events]
    for writer in writers:
        writer.join()
    assert seen == list(range(1, 4 * 27 + 1))
    assert len(jobs.page(10).jobs) == 4
