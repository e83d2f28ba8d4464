"""Lists of jobs: pages, filters, and the indexes that find them."""

from collections.abc import Sequence
from itertools import product

import pytest

from mlp_client.job_state import State
from service.store.job_list import newest_jobs
from service.store.jobs import JobStore
from service.store.sql.database import Database
from tests.conftest import submit
from tests.support.job_records import in_state, query


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


def test_lists_have_no_places_in_the_queue(jobs: JobStore) -> None:
    submit(jobs)
    assert [job.queue_position for job in jobs.page(1).jobs] == [None]


SOME = (State.QUEUED, State.RUNNING, State.QUEUED)
FILTERS = list(product(((), (State.FAILED,), SOME), (True, False), (True, False)))


@pytest.mark.parametrize(("states", "below", "own"), FILTERS)
def test_a_list_finds_each_state_by_an_index_of_its_own(
    database: Database, states: Sequence[State], below: bool, own: bool
) -> None:
    statement = newest_jobs(states, below=below, own=own)
    asked = f"EXPLAIN QUERY PLAN {statement}"
    plan = query(database, asked, owner="ada", below=9, limit=3)
    steps = [row[-1] for row in plan]
    looks = [step for step in steps if step.startswith("SEARCH jobs USING COVERING INDEX")]
    assert not [step for step in steps if "TEMP B-TREE" in step], steps
    if states or own:
        assert len(looks) == len(set(states) or {None}), steps
        assert not [step for step in steps if step.startswith("SCAN jobs")], steps
    else:  # the newest of all are the end of the table itself
        assert statement.count("LIMIT :limit") == 2


@pytest.mark.parametrize(("states", "below", "own"), FILTERS)
def test_a_list_holds_what_its_filters_let_through(
    database: Database, jobs: JobStore, states: Sequence[State], below: bool, own: bool
) -> None:
    ada = jobs.seen_by("ada", everything=False)
    ids = [
        *(in_state(database, state) for state in ("running", "failed", "failed")),
        *(submit(store) for store in (jobs, ada, jobs, ada)),
    ]
    store, last = (ada, ids[6]) if own else (jobs, ids[5])
    after = last if below else None
    found = [job.id for job in store.page(50, after, list(states)).jobs]
    assert found == expected_ids(database, states, after, "ada" if own else None)


def expected_ids(
    database: Database, states: Sequence[State], after: str | None, owner: str | None
) -> list[str]:
    """Return the ids of a list by filtering all rows in Python."""
    rows = query(database, "SELECT id, state, owner FROM jobs ORDER BY number DESC")
    seen = [row for row in rows if owner in (None, row[2])]
    rest = [row[0] for row in seen].index(after) + 1 if after else 0
    return [row[0] for row in seen[rest:] if not states or row[1] in states]
