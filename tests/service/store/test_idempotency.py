"""Submissions that are sent again with the same idempotency key."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from service.domain.errors import KeyReused
from service.store import idempotency
from service.store.jobs import JobStore
from service.store.sql.database import Database
from service.store.stored_job import NewJob
from tests.conftest import submission
from tests.support.job_records import query


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

    job = jobs.get(first.job)
    known = (job.spec, job.spec_version, job.cost, 10**8, job.batches_per_epoch)
    new = NewJob(*known, "784-128-10", job.manifest)
    with pytest.raises(RuntimeError):
        jobs.submit(new, fail, "key")
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
    monkeypatch.setattr(idempotency, "KEPT_LATER", 6)
    first = {key: submission(jobs, key).job for key in KEY_AGES}
    for key, hours in KEY_AGES.items():
        then = (datetime.now(UTC) - timedelta(hours=hours)).replace(tzinfo=None)
        query(database, f"UPDATE idempotency_keys SET created_at = '{then}' WHERE key = '{key}'")
    for number in range(jobs_later):
        submission(jobs, f"later {number}")
    assert {key for key in KEY_AGES if jobs.replay(key, b"")} == kept
    assert {submission(jobs, key).job for key in kept} == {first[key] for key in kept}


def test_keys_of_data_sets_are_forgotten_in_an_order_of_their_own(
    database: Database, jobs: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "KEPT_LATER", 2)

    def keep(id_: str, number: int) -> None:
        request = idempotency.KeyedRequest(id_, b"body")
        with database.write() as transaction:
            made = idempotency.Made(None, id_, number)
            idempotency.keep_first_answer(transaction, request, made, "{}")

    keep("ds_1", 1)
    submission(jobs, "first job")
    query(database, "UPDATE idempotency_keys SET created_at = '2020-01-01 00:00:00'")
    for number in range(5):
        submission(jobs, f"later {number}")
    known = "SELECT key FROM idempotency_keys WHERE key IN ('ds_1', 'first job')"
    assert query(database, known) == [("ds_1",)]
    keep("ds_2", 2)
    assert query(database, known) == [("ds_1",)]
    keep("ds_3", 3)
    assert query(database, known) == []
