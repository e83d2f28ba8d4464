"""The one way a job row changes: held under a guard, changed, its events numbered and recorded.

A transaction holds the row first, by an UPDATE guarded by what must still be true, so nothing is
decided on a row that another process is about to change.

All of this is plain SQL: workers execute it too, and SQLAlchemy takes longer to import than
everything that a worker needs.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from service.domain.job_state import FINAL, WITH_WORKER, State
from service.store.checkpoints import CheckpointRef

EventType = Literal["state", "epoch", "warning"]
Note = tuple[EventType, dict[str, Any]]
"""An event to be: its type and data."""


class Row(Protocol):
    """A job's row, as far as it was asked for."""

    def __getitem__(self, column: str, /) -> Any: ...


class Answer(Protocol):
    """What a driver's cursor and SQLAlchemy's result have in common."""

    def fetchall(self) -> Sequence[Any]: ...


class Transaction(Protocol):
    """A connection in a transaction: SQLAlchemy's, or the `Link` of a worker."""

    def exec_driver_sql(self, statement: str, parameters: Any = ..., /) -> Answer: ...


HELD = ("number", "id", "state", "reason", "attempt", "losses", "best", "beat", "event_count")
STATES = ", ".join(f"'{state}'" for state in WITH_WORKER)
HOLD = f"""
UPDATE jobs SET beat = beat WHERE id = :job AND attempt = :attempt AND state IN ({STATES})
RETURNING {", ".join(HELD)}"""  # noqa: S608  names of our own
RECORD = """
INSERT INTO events (job, number, type, at, data) VALUES (:job, :number, :type, :at, :data)"""
PLACES = ("attempt", "epochs_done", "batches_done", "key", "size", "sha256")
SAVED = f"""
SELECT {", ".join(PLACES)} FROM checkpoints WHERE job = :job ORDER BY number DESC"""  # noqa: S608
DROP_OLDER = """
DELETE FROM checkpoints WHERE job = :job
AND number < (SELECT max(number) FROM checkpoints WHERE job = :job)"""
LAST_FINISH = "SELECT max(finish_number) FROM jobs"


def now() -> datetime:
    """Return the time, for display; besides it helps to age idempotency keys, and ends API keys."""
    return datetime.now(UTC)


def stored(value: Any) -> Any:
    """Return a value as it lies in the database, where SQLAlchemy's types put it and read it."""
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    return value


def execute(transaction: Transaction, statement: str, **values: Any) -> Sequence[Any]:
    """Execute a statement; return the rows that it answers, if it does."""
    return transaction.exec_driver_sql(statement, _stored(values)).fetchall()


def add(transaction: Transaction, statement: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Execute a statement that answers nothing, for each row."""
    transaction.exec_driver_sql(statement, [_stored(row) for row in rows])


def _stored(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: stored(value) for name, value in values.items()}


def hold(transaction: Transaction, job: str, attempt: int) -> dict[str, Any] | None:
    """Lock a job's row until the transaction ends, if this attempt still has the job."""
    found = execute(transaction, HOLD, job=job, attempt=attempt)
    if not found:
        return None
    row = dict(zip(HELD, found[0], strict=True))
    return row | {name: row[name] and json.loads(row[name]) for name in ("reason", "best")}


def checkpoint_refs(transaction: Transaction, row: Row) -> list[CheckpointRef]:
    """Return the checkpoints of a job that count, newest first."""
    found = execute(transaction, SAVED, job=row["number"])
    return [CheckpointRef(row["id"], *place) for place in found]


def change(
    transaction: Transaction, row: Row, values: Mapping[str, Any], notes: Sequence[Note] = ()
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
        add(transaction, RECORD, entries)
    new = {"event_count": count, **values}
    columns = ", ".join(f"{name} = :{name}" for name in new)
    statement = f"UPDATE jobs SET {columns} WHERE number = :held"  # noqa: S608  names of our own
    add(transaction, statement, [{"held": row["number"], **new}])


def move(
    transaction: Transaction,
    row: Row,
    to: State,
    reason: dict[str, str] | None,
    **values: Any,
) -> None:
    """Move a row that this transaction holds to the state `to`, and record it as an event."""
    if to in (State.SUCCEEDED, State.CANCELLED):  # a failed job may be looked into
        add(transaction, DROP_OLDER, [{"job": row["number"]}])
    if to in FINAL:
        # Clocks jump; counting on from the job that ended last does not.
        [(last,)] = execute(transaction, LAST_FINISH)
        values |= {"finished_at": now(), "finish_number": (last or 0) + 1}
    happened = {"state": to, "attempt": values.get("attempt", row["attempt"]), "reason": reason}
    new = {"state": to, "reason": reason, **values}
    change(transaction, row, new, [("state", happened)])
