"""The one way a job row changes: held under a guard, changed, its events numbered and recorded.

A transaction holds the row first, by an UPDATE guarded by what must still be true, so nothing is
decided on a row that another process is about to change.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.engine import RowMapping
from sqlalchemy.sql.dml import ReturningUpdate

from service.job import FINAL, WITH_WORKER, State
from service.store.schema import checkpoints, events, jobs

EventType = Literal["state", "epoch", "warning"]
Note = tuple[EventType, dict[str, Any]]
"""An event to be: its type and data."""


# Nothing is decided by these, and they take longer to read than all others.
LARGE = {"spec", "cost", "latest", "environment", "handle"}
HELD = [column for column in jobs.c if column.name not in LARGE]

# Made once: to put a statement together takes longer than to execute it.
HOLD = update(jobs).values(beat=jobs.c.beat).returning(*HELD)
CHANGE = update(jobs).where(jobs.c.number == bindparam("held"))
RECORD = insert(events)
NEWEST = select(func.max(checkpoints.c.number)).where(checkpoints.c.job == bindparam("of"))
DROP_OLDER = delete(checkpoints).where(
    checkpoints.c.job == bindparam("of"), checkpoints.c.number < NEWEST.scalar_subquery()
)
LAST_FINISH = select(func.max(jobs.c.finish_number))


def now() -> datetime:
    """Return the time, for display; besides it helps to age idempotency keys, and ends API keys."""
    return datetime.now(UTC)


def in_state(states: Sequence[State]) -> ColumnElement[bool]:
    # Names of our own, spelled out: values in an IN are put together anew at each use.
    return jobs.c.state.in_([literal_column(f"'{state}'") for state in states])


# The row of a job that this attempt still has.
OF_ATTEMPT = HOLD.where(
    jobs.c.id == bindparam("held_id"),
    jobs.c.attempt == bindparam("held_attempt"),
    in_state(WITH_WORKER),
)


def hold(connection: Connection, which: ReturningUpdate[Any], **values: Any) -> RowMapping | None:
    """Lock one job row until the transaction ends; None if none is meant.

    Args:
        which: HOLD with a guard, as OF_ATTEMPT; `values` are its parameters.
    """
    return connection.execute(which, values).mappings().one_or_none()


def change(
    connection: Connection, row: RowMapping, values: Mapping[str, Any], notes: Sequence[Note] = ()
) -> None:
    """Change a row that this transaction holds, and record its `notes` as events."""
    count = row["event_count"] + len(notes)
    if notes:
        at = now()
        numbered = enumerate(notes, start=row["event_count"] + 1)
        entries = [
            {"job": row["number"], "number": number, "type": type_, "at": at, "data": data}
            for number, (type_, data) in numbered
        ]
        connection.execute(RECORD, entries)
    connection.execute(CHANGE, {"held": row["number"], "event_count": count, **values})


def move(
    connection: Connection,
    row: RowMapping,
    to: State,
    reason: dict[str, str] | None,
    **values: Any,
) -> None:
    """Move a row that this transaction holds to the state `to`, and record it as an event."""
    if to in (State.SUCCEEDED, State.CANCELLED):  # a failed job may be looked into
        connection.execute(DROP_OLDER, {"of": row["number"]})
    if to in FINAL:
        # Clocks jump; counting on from the job that ended last does not.
        last = connection.scalar(LAST_FINISH) or 0
        values |= {"finished_at": now(), "finish_number": last + 1}
    happened = {"state": to, "attempt": values.get("attempt", row["attempt"]), "reason": reason}
    new = {"state": to, "reason": reason, **values}
    change(connection, row, new, [("state", happened)])
