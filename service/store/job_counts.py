"""How many jobs there are in each state, by owner, from one query for all clients."""

from collections.abc import Callable

from service.domain.job_state import WITH_WORKER, State
from service.store.sql.connector import Connector

COUNT_BY_OWNER = "SELECT owner, state, count(*) AS jobs FROM jobs GROUP BY owner, state"

Counts = dict[tuple[str | None, State], int]
"""Numbers of jobs by owner and state; what is not there is 0."""


def count_jobs(connector: Connector) -> Counts:
    """Count the jobs of all owners."""
    with connector.read() as transaction:
        found = transaction.rows(COUNT_BY_OWNER)
    return {(row["owner"], State(row["state"])): row["jobs"] for row in found}


def seen(counts: Counts, sees: Callable[[str | None], bool]) -> dict[State, int]:
    """Return how many jobs are in each state, of the owners for whom `sees` returns true."""
    total = dict.fromkeys(State, 0)
    for (owner, state), jobs in counts.items():
        total[state] += jobs if sees(owner) else 0
    return total


def busy(counts: Counts) -> int:
    """Return how many jobs have a worker."""
    return sum(jobs for (_, state), jobs in counts.items() if state in WITH_WORKER)
