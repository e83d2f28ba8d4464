"""Kept answers: found again by their question, deleted with their job, and not too many."""

from concurrent.futures import ThreadPoolExecutor

from service.store.jobs import JobStore
from service.store.kept_evaluations import KEPT, KeptEvaluations
from service.store.sql.database import Database
from tests.conftest import submission
from tests.support.job_records import query


def test_an_answer_is_found_by_its_job_and_its_question(database: Database, jobs: JobStore) -> None:
    first, second = submission(jobs).job, submission(jobs).job
    kept = KeptEvaluations(database)
    kept.keep(first, "a", '{"name":"кошка"}')
    kept.keep(first, "a", "another answer to the same question")
    assert KeptEvaluations(database).find(first, "a") == '{"name":"кошка"}'
    assert kept.find(first, "b") is None
    assert kept.find(second, "a") is None


def test_answers_are_deleted_with_their_job(database: Database, jobs: JobStore) -> None:
    job = submission(jobs).job
    kept = KeptEvaluations(database)
    kept.keep(job, "a", "{}")
    jobs.act("cancel", job)
    jobs.delete(job)
    kept.keep(job, "b", "{}")
    assert kept.find(job, "a") is None
    assert query(database, "SELECT count(*) AS n FROM evaluations") == [(0,)]


def test_of_too_many_answers_the_newest_are_kept(database: Database, jobs: JobStore) -> None:
    job, other = submission(jobs).job, submission(jobs).job
    kept = KeptEvaluations(database)
    kept.keep(other, "q0", "{}")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda k: kept.keep(job, f"q{k}", str(k)), range(KEPT)))
    kept.keep(job, "last", "{}")
    found = query(database, "SELECT key FROM evaluations WHERE job = 1")
    assert len(found) == KEPT
    assert kept.find(job, "last") == kept.find(other, "q0") == "{}"
