"""Claims fit the memory of a host; large jobs neither starve nor hold up others."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from service.domain.room import Room
from service.store.hosts import HostStore
from service.store.jobs import JobStore
from service.store.queue import TOO_LARGE, Queue
from service.store.sql.database import Database
from tests.support.engines import only_sqlite
from tests.support.job_records import query, sized

ROOM = Room(together=100, alone=120)


@pytest.fixture
def queue(database: Database) -> Queue:
    if database.file is None:
        HostStore(database).join("a", "lab", 4, ROOM.alone, "1.0")
    return Queue(database, room=ROOM)


def claimed(queue: Queue, *, most: int = 20) -> list[str]:
    """Claim until nothing fits."""
    found = list[str]()
    while len(found) < most and (claim := queue.claim()):
        found.append(claim.job)
    return found


def end(database: Database, queue: Queue, job: str) -> None:
    """End a job whose worker has just been started."""
    [attempt] = [row.attempt for row in queue.active() if row.job == job]
    queue.lose(job, attempt, "gone", counts=False)
    query(database, "UPDATE jobs SET state = 'cancelled' WHERE id = :id", id=job)


def test_jobs_run_together_as_long_as_there_is_room(database: Database, queue: Queue) -> None:
    first, second, third = sized(database, 50, 50, 50)
    assert claimed(queue) == [first, second]
    end(database, queue, first)
    assert claimed(queue) == [third]


def test_a_large_job_is_overtaken_only_by_those_that_leave_it_room(
    database: Database, queue: Queue
) -> None:
    old, large, *small = sized(database, 50, 80, 10, 10, 10, 10)
    assert claimed(queue) == [old, *small[:2]], "two more would take what the large one needs"
    end(database, queue, small[0])
    assert claimed(queue) == [small[2]]
    end(database, queue, old)
    assert claimed(queue) == [large], "although the small ones keep coming"


def test_a_job_of_more_than_the_share_runs_alone(database: Database, queue: Queue) -> None:
    old, large, small = sized(database, 10, 115, 10)
    assert claimed(queue) == [old]
    end(database, queue, old)
    assert claimed(queue) == [large], "and nothing beside it"
    end(database, queue, large)
    assert claimed(queue) == [small]


def test_a_job_that_fits_nowhere_holds_nobody_up(database: Database, queue: Queue) -> None:
    _, *small = sized(database, 121, 50, 50)
    assert claimed(queue) == small


@pytest.mark.parametrize("greedy", [80, 115, 500])
def test_owners_with_large_jobs_and_with_many_small_ones_both_get_on(
    database: Database, queue: Queue, greedy: int
) -> None:
    large = sized(database, greedy, greedy, owner="ada")
    small = sized(database, *[20] * 12, owner="bob")
    started, running = list[str](), list[str]()
    for _ in range(60):
        new = claimed(queue, most=4 - len(running))
        started, running = started + new, running + new
        if running:
            end(database, queue, running.pop(0))
    assert set(small) <= set(started)
    assert set(started) - set(small) == (set(large) if greedy <= ROOM.alone else set())


def test_a_job_that_waits_to_be_tried_again_keeps_no_room(database: Database, queue: Queue) -> None:
    _, large, small = sized(database, 50, 80, 30)
    queue.claim()
    claim = queue.claim([large])
    assert claim
    assert claim.job == small


# --- What is said of jobs that fit nowhere ---


def reasons(database: Database) -> list[str | None]:
    jobs = JobStore(database).page(10).jobs
    return [job.reason.code if job.reason else None for job in jobs][::-1]


def test_a_job_that_is_too_large_says_what_it_needs(database: Database, queue: Queue) -> None:
    _, large = sized(database, 120, 2_500_000_000)
    queue.explain_waiting()
    assert reasons(database) == [None, "needs_memory"]
    found = JobStore(database).get(large)
    assert found.reason
    assert found.state == "queued"
    assert "needs 2.50 GB of memory" in found.reason.message
    events = query(database, "SELECT count(*) FROM events")
    queue.explain_waiting()
    assert query(database, "SELECT count(*) FROM events") == events, "it is said once"


def test_it_starts_when_there_is_more_memory_and_says_nothing_then(
    database: Database, queue: Queue
) -> None:
    [large] = sized(database, 500)
    queue.explain_waiting()
    assert reasons(database) == ["needs_memory"]
    larger = Queue(database, room=Room(500, 500))
    assert claimed(larger) == [large]
    assert reasons(database) == [None]


@only_sqlite
def test_what_is_too_large_is_found_without_reading_the_queue(database: Database) -> None:
    plan = query(database, f"EXPLAIN QUERY PLAN {TOO_LARGE}", most=1, told="")
    assert "ix_jobs_queued_bytes" in str(plan)


# --- Several hosts ---


@pytest.fixture
def shared(postgres_url: str) -> Iterator[Database]:
    with closing(Database(postgres_url)) as database:
        yield database


def test_each_host_counts_its_own_jobs(shared: Database) -> None:
    ids = sized(shared, 60, 60, 60)
    one, other = Queue(shared, "one", ROOM), Queue(shared, "other", ROOM)
    assert claimed(one) == ids[:1]
    assert claimed(other) == ids[1:2]
    assert claimed(one) == []


def test_the_largest_host_decides_what_is_too_large(shared: Database) -> None:
    sized(shared, 150, 500)
    queue = Queue(shared, "one", ROOM)
    queue.explain_waiting()
    assert reasons(shared) == [None, None], "there may be hosts soon"
    hosts = HostStore(shared)
    hosts.join("one", "one", 2, ROOM.alone, "1.0")
    hosts.join("api", "api", 0, 10**6, "1.0")
    hosts.join("big", "big", 2, 200, "1.0")
    queue.explain_waiting()
    assert reasons(shared) == [None, "needs_memory"]
