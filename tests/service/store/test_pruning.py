"""Which finished jobs are deleted, and in which order."""

import random
from dataclasses import dataclass

import pytest

from mlp_client.job_state import FINAL, State
from service.store import queue as module
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.database import Database
from tests.conftest import submit
from tests.support.engines import only_sqlite
from tests.support.job_records import (
    content,
    in_state,
    query,
    succeed,
)


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
    """An oracle in plain Python says what the rules mean for many drawn histories."""
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


@only_sqlite
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
