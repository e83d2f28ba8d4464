"""The one way a job row changes: locked under a guard, changed, its events numbered and recorded.

A write transaction locks the row first, by an UPDATE guarded by what must still be true, so nothing
is decided on a row that another process is about to change.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from service.domain.job_state import FINAL, WITH_WORKER, State
from service.store.checkpoints import drop_older_checkpoints
from service.store.sql.transaction import Transaction
from service.store.sql.values import Row, now

EventType = Literal["state", "epoch", "warning"]
"""The types of the events that are numbered within their job."""
NewEvent = tuple[EventType, dict[str, Any]]
"""The type and the data of an event that is about to be recorded."""

JOBS = "jobs"
"""What dispatchers are notified of when a job is queued or an action was asked for."""
LOCK = """
UPDATE jobs SET heartbeat = heartbeat WHERE {guard}
RETURNING number, id, state, reason, attempt, lost_workers, best, heartbeat, event_count
"""
"""Locks the row for which `guard` is true until the transaction ends, and returns the columns that
decide a transition."""
INSERT_EVENT = """
INSERT INTO events (job, number, type, at, data) VALUES (:job, :number, :type, :at, :data)
"""
FORGET_CHANGES = "DELETE FROM events WHERE job = :job AND number IS NULL"
UPDATE_ROW = "UPDATE jobs SET {columns} WHERE number = :locked"
LAST_FINISH = "SELECT max(finish_number) AS last FROM jobs"
NUMBER_FINISH = """
UPDATE jobs SET finish_number = (SELECT coalesce(max(finish_number), 0) + 1 FROM jobs)
WHERE number = :job
"""


def lock_statement(guard: str) -> str:
    """Return the statement that locks the one job row for which `guard` is true."""
    return LOCK.format(guard=guard)


def states(of: Iterable[State]) -> str:
    """Return states as the inside of an SQL list."""
    return ", ".join(f"'{state}'" for state in of)


LOCK_ATTEMPT = lock_statement(
    f"id = :job AND attempt = :attempt AND state IN ({states(WITH_WORKER)})"
)


def lock_attempt(transaction: Transaction, job: str, attempt: int) -> Row | None:
    """Lock a job's row, if this attempt still has the job."""
    return transaction.row(LOCK_ATTEMPT, job=job, attempt=attempt)


def update_row(
    transaction: Transaction, row: Row, values: Mapping[str, Any], events: Sequence[NewEvent] = ()
) -> None:
    """Change a row that this transaction has locked, and record its events."""
    if events:
        _record(transaction, row, events)
    new = {"event_count": row["event_count"] + len(events), **values}
    columns = ", ".join(f"{name} = :{name}" for name in new)
    transaction.execute(UPDATE_ROW.format(columns=columns), locked=row["number"], **new)


def _record(transaction: Transaction, row: Row, events: Sequence[NewEvent]) -> None:
    at = now()
    for number, (type_, data) in enumerate(events, start=row["event_count"] + 1):
        values = {"job": row["number"], "number": number, "type": type_, "at": at, "data": data}
        transaction.execute_last(INSERT_EVENT, **values)


def record_change(transaction: Transaction, job: int) -> None:
    """Record that a row has changed in another way than by its work, such as a new name.

    Who follows all jobs reads the job again. The event has no number within the job, so it is not
    part of the job's own history. It takes the place of an earlier one: who has missed that reads
    the same job after this one, and a client that renames for ever fills no disk.
    """
    transaction.execute_last(FORGET_CHANGES, job=job)
    _record_unnumbered(transaction, "change", job, {})


def record_deletion(transaction: Transaction, id_: str, owner: str | None) -> None:
    """Record that a job is deleted, with what decides who learns of it."""
    _record_unnumbered(transaction, "deleted", None, {"id": id_, "owner": owner})


def _record_unnumbered(
    transaction: Transaction, type_: str, job: int | None, data: dict[str, Any]
) -> None:
    values = {"job": job, "number": None, "type": type_, "at": now(), "data": data}
    transaction.execute_last(INSERT_EVENT, **values)


def transition(
    transaction: Transaction,
    row: Row,
    to: State,
    reason: dict[str, str] | None,
    **values: Any,
) -> None:
    """Move a row that this transaction has locked to the state `to`, and record it as an event."""
    if to in (State.SUCCEEDED, State.CANCELLED):  # a failed job may be investigated
        drop_older_checkpoints(transaction, row["number"])
    if to in FINAL:
        values |= {"finished_at": now()}
        transaction.execute_last(NUMBER_FINISH, job=row["number"])
    happened = {"state": to, "attempt": values.get("attempt", row["attempt"]), "reason": reason}
    update_row(transaction, row, {"state": to, "reason": reason, **values}, [("state", happened)])


def last_finish(transaction: Transaction) -> int:
    """Return the number of the job that ended last: clocks jump, and this does not."""
    found = transaction.row(LAST_FINISH)
    return (found and found["last"]) or 0
