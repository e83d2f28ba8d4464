"""Lists of jobs: pages, filters, searches and orders, and the indexes that find them."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlp_client.job_state import State
from service.store.job_list import ORDERS, JobFilter, jobs_statement
from service.store.jobs import JobStore
from service.store.sql.database import Database
from tests.conftest import submit
from tests.support.engines import only_sqlite
from tests.support.job_records import epoch, in_state, query, started, succeed


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
    wanted = JobFilter((State.PAUSED, State.RUNNING))
    page = jobs.page(10, wanted=wanted)
    assert {job.id for job in page.jobs} == {ids["paused"], ids["running"]}
    after = jobs.page(10, ids["running"], wanted)
    assert [job.id for job in after.jobs] == [ids["paused"]]


def test_lists_have_no_places_in_the_queue(jobs: JobStore) -> None:
    submit(jobs)
    assert [job.queue_position for job in jobs.page(1).jobs] == [None]


# --- Words and tags ---


def found(jobs: JobStore, *words: str, tags: Sequence[str] = ()) -> list[str]:
    wanted = JobFilter(words=words, tags=tuple(tags), order="created")
    return [job.spec["name"] for job in jobs.page(50, wanted=wanted).jobs]


NAMES: list[dict[str, Any]] = [
    {"name": "Größe 1", "hidden": [64], "tags": ["Lecture 5", "ÄÖ"]},
    {"name": "100%_done", "activation": "tanh", "tags": ["lecture"]},
    {"name": "#lecture 5", "preset": "linear"},
    {"name": "paused one", "hidden": [32, 16], "tags": ["a\\b"]},
]


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (["GRÖSSE"], [0]),
        (["größe", "1"], [0]),
        (["1", "lecture"], [0, 1, 2]),
        (["784-64-10"], [0]),
        (["784-10"], [2]),
        (["-16-"], [3]),
        (["%"], [1]),
        (["0%_d"], [1]),
        (["_"], [0, 1, 2, 3]),
        (["\\"], [3]),
        (["TANH"], [1]),
        (["linear"], [2]),
        (["relu"], [0, 2, 3]),
        (["äö"], [0]),
        (["queued"], [0, 1, 2]),
        (["paused"], [3]),
        (["job_"], [0, 1, 2, 3]),
        (["nothing", "1"], []),
        ([], [0, 1, 2, 3]),
    ],
)
def test_each_word_must_occur_in_a_label_or_be_the_state(
    jobs: JobStore, words: list[str], numbers: list[int]
) -> None:
    ids = [submit(jobs, **fields) for fields in NAMES]
    jobs.act("pause", ids[3])
    assert found(jobs, *words) == [NAMES[number]["name"] for number in numbers]


def test_a_job_is_found_by_a_part_of_its_id(jobs: JobStore) -> None:
    ids = [submit(jobs, name=str(number)) for number in range(3)]
    assert found(jobs, ids[1][-12:].upper()) == ["1"]


@pytest.mark.parametrize(
    ("tags", "numbers"),
    [
        (["lecture"], [1]),
        (["LECTURE 5"], [0]),
        (["lecture 5", "äö"], [0]),
        (["lecture", "äö"], []),
        (["ecture"], []),
        (["a\\b"], [3]),
        (["%"], []),
        (["Größe 1"], []),
    ],
)
def test_a_tag_is_found_as_a_whole_and_not_in_names(
    jobs: JobStore, tags: list[str], numbers: list[int]
) -> None:
    for fields in NAMES:
        submit(jobs, **fields)
    assert found(jobs, tags=tags) == [NAMES[number]["name"] for number in numbers]


# --- Orders ---


def measured(database: Database, accuracies: Sequence[float | None]) -> list[str]:
    """Return jobs with these best accuracies, and names that sort otherwise than they came."""
    ids = []
    for number, accuracy in enumerate(accuracies):
        name = ["delta", "Alpha", "", "charlie", "Élan", "bravo"][number % 6]
        if accuracy is None:
            ids.append(submit(JobStore(database), name=name))
            continue
        attempt = started(database, name=name)
        attempt.heartbeat((1, 0), [epoch(1, accuracy=accuracy)])
        attempt.heartbeat((2, 0), [epoch(2, accuracy=accuracy / 2)])
        ids.append(attempt.job)
        JobStore(database).act("cancel", attempt.job)
    return ids


ACCURACIES = [0.5, None, 0.9, 0.9, None, 0.7, 0.1, 1.0]


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
@pytest.mark.parametrize("order", ORDERS)
def test_pages_of_every_order_join_to_the_whole_list(
    database: Database, jobs: JobStore, order: str, limit: int
) -> None:
    ids = measured(database, ACCURACIES)
    names = {id_: jobs.get(id_).spec["name"].casefold() or id_ for id_ in ids}

    def key(id_: str) -> tuple[Any, ...]:
        number, accuracy = ids.index(id_), ACCURACIES[ids.index(id_)]
        return {
            "created": (number,),
            "-created": (-number,),
            "-best": (accuracy is None, -(accuracy or 0), -number),
            "best": (accuracy is None, accuracy or 0, number),
            "name": (names[id_], number),
            "-name": (),
        }[order]

    expected = sorted(ids, key=key)
    if order == "-name":
        expected = sorted(ids, key=lambda id_: (names[id_], ids.index(id_)), reverse=True)
    assert pages(jobs, JobFilter(order=order), limit) == expected


def pages(jobs: JobStore, wanted: JobFilter, limit: int) -> list[str]:
    """Return the ids of a whole list, read page by page."""
    listed: list[str] = []
    while True:
        page = jobs.page(limit, listed[-1] if listed else None, wanted)
        listed += [job.id for job in page.jobs]
        if not page.has_more:
            return listed


def test_the_best_accuracy_is_that_of_the_best_epoch(database: Database, jobs: JobStore) -> None:
    worse = succeed(database, accuracy=0.8)
    attempt = started(database)
    attempt.heartbeat((1, 0), [epoch(1, accuracy=0.95)])
    attempt.heartbeat((2, 0), [epoch(2, accuracy=0.3)])
    assert pages(jobs, JobFilter(order="-best"), 5) == [attempt.job, worse]


SMALL = st.builds(
    JobFilter,
    states=st.sampled_from([(), (State.QUEUED,), (State.QUEUED, State.CANCELLED)]),
    words=st.sampled_from([(), ("a",), ("relu", "e")]),
    tags=st.sampled_from([(), ("odd",)]),
    order=st.sampled_from(list(ORDERS)),
)


@given(wanted=SMALL, limit=st.integers(1, 4), own=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_pages_of_every_filter_join_to_the_list_in_one_piece(
    database: Database, jobs: JobStore, wanted: JobFilter, limit: int, own: bool
) -> None:
    if not jobs.page(1).jobs:
        measured(database, ACCURACIES)
        query(database, "UPDATE jobs SET owner = 'ada' WHERE number % 3 > 0")
        for number in range(5):
            submit(jobs, name=f"Name {number % 2}", tags=["odd"] * (number % 2))
    view = jobs.seen_by("ada", everything=not own)
    whole = [job.id for job in view.page(50, wanted=wanted).jobs]
    assert pages(view, wanted, limit) == whole
    assert len(whole) == len(set(whole))


# --- All filters together ---

SOME = (State.QUEUED, State.RUNNING, State.QUEUED)
FILTERS = list(product(((), (State.FAILED,), SOME), (True, False), (True, False)))


@only_sqlite
@pytest.mark.parametrize(("states", "below", "own"), FILTERS)
def test_a_list_finds_each_state_by_an_index_of_its_own(
    database: Database, states: tuple[State, ...], below: bool, own: bool
) -> None:
    statement = jobs_statement(JobFilter(states), beyond=below, own=own)
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
    database: Database, jobs: JobStore, states: tuple[State, ...], below: bool, own: bool
) -> None:
    ada = jobs.seen_by("ada", everything=False)
    ids = [
        *(in_state(database, state) for state in ("running", "failed", "failed")),
        *(submit(store) for store in (jobs, ada, jobs, ada)),
    ]
    store, last = (ada, ids[6]) if own else (jobs, ids[5])
    after = last if below else None
    listed = [job.id for job in store.page(50, after, JobFilter(states)).jobs]
    assert listed == expected_ids(database, states, after, "ada" if own else None)


def expected_ids(
    database: Database, states: Sequence[State], after: str | None, owner: str | None
) -> list[str]:
    """Return the ids of a list by filtering all rows in Python."""
    rows = query(database, "SELECT id, state, owner FROM jobs ORDER BY number DESC")
    seen = [row for row in rows if owner in (None, row[2])]
    rest = [row[0] for row in seen].index(after) + 1 if after else 0
    return [row[0] for row in seen[rest:] if not states or row[1] in states]


@only_sqlite
@pytest.mark.parametrize("beyond", [True, False])
def test_the_best_jobs_are_the_end_of_an_index(database: Database, beyond: bool) -> None:
    statement = jobs_statement(JobFilter(order="-best"), beyond=beyond, own=False)
    plan = query(
        database, f"EXPLAIN QUERY PLAN {statement}", owner=None, place=0.5, below=9, limit=3
    )
    steps = [row[-1] for row in plan]
    assert [step for step in steps if "ix_jobs_best_accuracy_number" in step], steps
    assert not [step for step in steps if step == "SCAN jobs"], steps
