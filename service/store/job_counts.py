"""How many jobs there are in each state, by owner, from one query for all clients."""

from collections.abc import Callable
from typing import NamedTuple

from service.domain.job_state import WITH_WORKER, State
from service.store.sql.connector import Connector
from service.store.transitions import states

COUNT_BY_OWNER = "SELECT owner, state, count(*) AS jobs FROM jobs GROUP BY owner, state"
# No more rows are read than hosts could take, however long the queue is.
COUNT_DEMAND = f"""
SELECT (SELECT count(*) FROM (
    SELECT 1 FROM jobs WHERE state = 'queued'
    AND (reason IS NULL OR reason ->> 'code' <> 'needs_memory') LIMIT :most
) AS waiting) AS queued, (SELECT count(*) FROM (
    SELECT reason FROM jobs WHERE state = 'queued' ORDER BY bytes DESC LIMIT 1
) AS largest WHERE reason ->> 'code' = 'needs_memory') AS large, (SELECT count(*) FROM (
    SELECT 1 FROM jobs WHERE state IN ({states(WITH_WORKER)}) LIMIT :most
) AS busy) AS running
"""  # noqa: S608  names of our own

Counts = dict[tuple[str | None, State], int]
"""Numbers of jobs by owner and state; what is not there is 0."""


def count_jobs(connector: Connector) -> Counts:
    """Count the jobs of all owners."""
    with connector.read() as transaction:
        found = transaction.rows(COUNT_BY_OWNER)
    return {(row["owner"], State(row["state"])): row["jobs"] for row in found}


class Demand(NamedTuple):
    """How many jobs need a worker."""

    queued: int
    running: int
    large: int = 0
    """1 if the largest one that waits needs more memory than any host has that was seen."""


def count_demand(connector: Connector, most: int) -> Demand:
    """Count the jobs that wait and those that have a worker, no more than `most` of each."""
    with connector.read() as transaction:
        [found] = transaction.rows(COUNT_DEMAND, most=most)
    return Demand(**found)


def seen(counts: Counts, sees: Callable[[str | None], bool]) -> dict[State, int]:
    """Return how many jobs are in each state, of the owners for whom `sees` returns true."""
    total = dict.fromkeys(State, 0)
    for (owner, state), jobs in counts.items():
        total[state] += jobs if sees(owner) else 0
    return total


def busy(counts: Counts) -> int:
    """Return how many jobs have a worker."""
    return sum(jobs for (_, state), jobs in counts.items() if state in WITH_WORKER)
