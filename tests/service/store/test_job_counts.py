"""How many jobs need a worker: what decides about the number of hosts."""

import json

import pytest

from mlp_client.job_state import State
from service.domain.job_state import WITH_WORKER
from service.store.job_counts import Demand, count_demand
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.database import Database
from tests.conftest import submit
from tests.support.job_records import in_state, query


def test_nothing_is_needed_where_there_are_no_jobs(database: Database) -> None:
    assert count_demand(database, 10) == Demand(0, 0)


@pytest.mark.parametrize("state", State)
def test_a_job_waits_or_has_a_worker_or_needs_none(
    database: Database, jobs: JobStore, queue: Queue, state: State
) -> None:
    in_state(database, state)
    demand = Demand(queued=state == State.QUEUED, running=state in WITH_WORKER)
    assert count_demand(database, 10) == demand


def test_no_more_are_counted_than_asked_for(
    database: Database, jobs: JobStore, queue: Queue
) -> None:
    for _ in range(7):
        submit(jobs)
    for _ in range(3):
        queue.claim()
    assert [count_demand(database, most) for most in (1, 2, 3, 4, 5)] == [
        *(Demand(1, 1), Demand(2, 2), Demand(3, 3), Demand(4, 3), Demand(4, 3)),
    ]


def test_a_job_that_is_larger_than_every_host_asks_for_no_further_host(
    database: Database, jobs: JobStore
) -> None:
    for code in ("needs_memory", "shutdown"):
        submit(jobs)
        reason = json.dumps({"code": code, "message": ""})
        query(database, "UPDATE jobs SET reason = :reason WHERE reason IS NULL", reason=reason)
    submit(jobs)
    for bytes_, is_largest in ((1, 0), (2**40, 1)):
        query(database, "UPDATE jobs SET bytes = :bytes WHERE number = 1", bytes=bytes_)
        assert count_demand(database, 10) == Demand(2, 0, large=is_largest)
