"""What a worker does with its one job: begin, beat, record epochs, commit checkpoints, end.

Every write is guarded by the attempt's number. The worker that another one has replaced gets
`Replaced` and has changed nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select
from sqlalchemy.engine import RowMapping

from service.errors import Replaced
from service.job import Epoch, State
from service.store.database import Database
from service.store.jobs import SavedCheckpoint, saved_checkpoints
from service.store.moves import OF_ATTEMPT, Note, change, hold, move
from service.store.schema import checkpoints, epochs, jobs

Cursor = tuple[int, int]
"""Epochs done, batches done of the next one."""

KEPT_CHECKPOINTS = 2

# Made once: to put a statement together takes longer than to execute it.
TASK = select(jobs.c.spec, jobs.c.cost, jobs.c.environment)
TASK = TASK.where(jobs.c.number == bindparam("of"))
NAME = insert(checkpoints)
FORGET = delete(checkpoints)
FORGET = FORGET.where(checkpoints.c.job == bindparam("of"), checkpoints.c.key == bindparam("named"))
ADD = insert(epochs)
LOSSES = select(epochs.c.number, epochs.c.train_loss).where(epochs.c.job == bindparam("of"))
LAST_EPOCH = select(func.max(epochs.c.number)).where(epochs.c.job == bindparam("of"))

SUCCEEDED = {
    State.RUNNING: State.SUCCEEDED,
    State.PAUSING: State.SUCCEEDED,
    State.CANCELLING: State.CANCELLED,
}
FAILED = {
    State.RUNNING: State.FAILED,
    State.PAUSING: State.FAILED,
    State.CANCELLING: State.CANCELLED,
}
STOPPED = {
    State.RUNNING: State.QUEUED,
    State.PAUSING: State.PAUSED,
    State.CANCELLING: State.CANCELLED,
}


@dataclass(frozen=True)
class Assignment:
    """What a worker needs to know to begin."""

    spec: dict[str, Any]
    checkpoints: list[SavedCheckpoint]
    """Newest first."""
    train_losses: dict[int, float]
    """Of the epochs that earlier attempts recorded, by number: a re-run must repeat them."""
    environment: dict[str, Any] | None
    """Where earlier attempts ran."""
    job_bytes: int
    """Memory that the job's arrays take: see Cost."""


class Attempt:
    """One attempt at one job."""

    def __init__(self, database: Database, job: str, number: int) -> None:
        self._database = database
        self.job, self.number = job, number

    def begin(self, handle: dict[str, Any], environment: dict[str, Any]) -> Assignment:
        """Give the first beat, with the handle by which others find this process.

        The row's environment is that of its checkpoints: it changes here only if there are none.
        """
        with self._hold() as (connection, row):
            spec, cost, before = connection.execute(TASK, {"of": row["number"]}).one()
            saved = saved_checkpoints(connection, row)
            values = {"handle": handle, "beat": row["beat"] + 1}
            change(connection, row, values if saved else {"environment": environment, **values})
            losses: dict[int, float] = dict(connection.execute(LOSSES, {"of": row["number"]}).all())
        return Assignment(spec, saved, losses, before, cost["bytes"])

    def beat(self, cursor: Cursor, finished: Sequence[Epoch] = ()) -> State:
        """Say "alive, and this far", with the epochs finished since the last time.

        Returns the state, which is what clients ask for. An epoch that an earlier attempt recorded
        stays as it is.
        """
        with self._hold() as (connection, row):
            self._advance(connection, row, cursor, finished)
        return State(row["state"])

    def warn(self, code: str, message: str, **values: Any) -> None:
        """Record a warning event, and change `values` of the row with it."""
        with self._hold() as (connection, row):
            change(connection, row, values, [("warning", {"code": code, "message": message})])

    def commit(self, saved: SavedCheckpoint, finished: Sequence[Epoch]) -> tuple[State, list[str]]:
        """Make a checkpoint count, with the epochs before it.

        Returns the state, and the keys of older checkpoints that count no longer.
        """
        with self._hold() as (connection, row):
            dropped = self._commit(connection, row, saved, finished)
        return State(row["state"]), dropped

    def end(
        self,
        moves: dict[State, State],
        reason: tuple[str, str],
        saved: SavedCheckpoint | None = None,
        finished: Sequence[Epoch] = (),
        weights_sha256: str | None = None,
    ) -> State:
        """Leave the job by the move for its state, with the last checkpoint and epochs."""
        code, message = reason
        with self._hold() as (connection, row):
            to = moves[State(row["state"])]
            if saved:
                self._commit(connection, row, saved, finished)
            elif finished:
                self._advance(connection, row, (finished[-1].epoch, 0), finished)
            row = self._row(connection)
            asked = to in (State.PAUSED, State.CANCELLED)  # then the client's reason stands
            why = row["reason"] if asked else {"code": code, "message": message}
            weights = weights_sha256 if to == State.SUCCEEDED else None
            move(connection, row, to, why, handle=None, weights_sha256=weights)
        return to

    @contextmanager
    def _hold(self) -> Iterator[tuple[Connection, RowMapping]]:
        """Hold the row for one transaction, if it is still this attempt's."""
        with self._database.write() as connection:
            yield connection, self._row(connection)

    def _row(self, connection: Connection) -> RowMapping:
        row = hold(connection, OF_ATTEMPT, held_id=self.job, held_attempt=self.number)
        if row is None:
            raise Replaced(self.job, self.number)
        return row

    def _advance(
        self,
        connection: Connection,
        row: RowMapping,
        cursor: Cursor,
        finished: Sequence[Epoch],
        **values: Any,
    ) -> None:
        """Note the progress and the finished epochs in a row that is held."""
        new = _unrecorded(connection, row["number"], finished) if finished else []
        if new:
            entries = [_entry(row["number"], epoch) for epoch in new]
            connection.execute(ADD, entries)
            values["latest"] = new[-1].model_dump()
            values["best"] = _best(row["best"], new)
        epochs_done, batches_done = cursor
        values |= {"epochs_done": epochs_done, "batches_done": batches_done}
        notes: list[Note] = [("epoch", epoch.model_dump()) for epoch in new]
        change(connection, row, {"beat": row["beat"] + 1, **values}, notes)

    def _commit(
        self,
        connection: Connection,
        row: RowMapping,
        saved: SavedCheckpoint,
        finished: Sequence[Epoch],
    ) -> list[str]:
        """Name the checkpoint in a row that is held; return the keys it drops."""
        before = saved_checkpoints(connection, row)
        cursor = (saved.epochs_done, saved.batches_done)
        moved = not before or cursor > (before[0].epochs_done, before[0].batches_done)
        losses = 0 if moved else row["losses"]
        self._advance(connection, row, cursor, finished, losses=losses)
        named = {name: value for name, value in asdict(saved).items() if name != "job"}
        older = [old.key for old in before if old.key != saved.key]
        dropped = older[KEPT_CHECKPOINTS - 1 :]
        # A commit that seemed to fail may have named it already.
        gone = [{"of": row["number"], "named": key} for key in (*dropped, saved.key)]
        connection.execute(FORGET, gone)
        connection.execute(NAME, {"job": row["number"], **named})
        return dropped


def _unrecorded(connection: Connection, job: int, finished: Sequence[Epoch]) -> list[Epoch]:
    """Leave out epochs of earlier attempts, or of a commit that only seemed to fail."""
    last = connection.scalar(LAST_EPOCH, {"of": job}) or 0
    return [epoch for epoch in finished if epoch.epoch > last]


def _entry(job: int, epoch: Epoch) -> dict[str, Any]:
    values = epoch.model_dump()
    return {"job": job, "number": values.pop("epoch"), **values}


def _best(before: dict[str, Any] | None, new: Sequence[Epoch]) -> dict[str, Any]:
    candidates = [*([Epoch(**before)] if before else []), *new]
    return max(candidates, key=lambda epoch: epoch.test_accuracy).model_dump()
