"""How the server holds a job row that it knows by other things than a worker's attempt."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, literal_column, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.sql.dml import ReturningUpdate

from service.domain.job_state import State
from service.store.sql.schema import jobs

# Only what decides a move; and made once: to put a statement together takes longer than to execute
# it.
HOLD = (
    update(jobs)
    .values(beat=jobs.c.beat)
    .returning(
        jobs.c.number,
        jobs.c.id,
        jobs.c.state,
        jobs.c.attempt,
        jobs.c.started_at,
        jobs.c.event_count,
    )
)


def in_state(states: Sequence[State]) -> ColumnElement[bool]:
    # Names of our own, spelled out: values in an IN are put together anew at each use.
    return jobs.c.state.in_([literal_column(f"'{state}'") for state in states])


def hold_by(
    connection: Connection, which: ReturningUpdate[Any], **values: Any
) -> RowMapping | None:
    """Lock one job row until the transaction ends; None if none is meant.

    Args:
        which: HOLD with a guard; `values` are its parameters.
    """
    return connection.execute(which, values).mappings().one_or_none()
