"""What a worker does with its one job: begin, beat, record epochs, commit checkpoints, end.

Every write is guarded by the attempt's number. The worker that another one has replaced gets
`Replaced` and has changed nothing.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import mlp_core
from mlp_client.job_state import State
from service.domain.errors import Replaced
from service.store.checkpoints import CheckpointRef
from service.store.transitions import (
    Note,
    Row,
    Transaction,
    add,
    change,
    checkpoint_refs,
    execute,
    hold,
    move,
)

Cursor = tuple[int, int]
"""Epochs done, batches done of the next one."""
Record = dict[str, Any]
"""An epoch as clients read it: see `job.Epoch`."""

KEPT_CHECKPOINTS = 2

TASK = "SELECT spec, cost, environment FROM jobs WHERE number = :job"
NAME = """
INSERT INTO checkpoints (job, attempt, epochs_done, batches_done, key, size, sha256)
VALUES (:job, :attempt, :epochs_done, :batches_done, :key, :size, :sha256)"""
FORGET = "DELETE FROM checkpoints WHERE job = :job AND key = :key"
ADD = """
INSERT INTO epochs
(job, number, train_loss, train_accuracy, test_loss, test_accuracy, seconds) VALUES
(:job, :epoch, :train_loss, :train_accuracy, :test_loss, :test_accuracy, :seconds)"""
PROGRESS = "SELECT epochs_done, batches_done FROM jobs WHERE number = :job"
LOSSES = "SELECT number, train_loss FROM epochs WHERE job = :job"
LAST_EPOCH = "SELECT max(number) FROM epochs WHERE job = :job"

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
class TrainingTask:
    """What a worker needs to know to begin."""

    spec: dict[str, Any]
    checkpoints: list[CheckpointRef]
    """Newest first."""
    train_losses: dict[int, float]
    """Of the epochs that earlier attempts recorded, by number: a re-run must repeat them."""
    environment: dict[str, Any] | None
    """Where earlier attempts ran."""
    job_bytes: int
    """Memory that the job's arrays take: see Cost."""


class Database(Protocol):
    """What an attempt needs of a database; a worker's is a `Link`."""

    def write(self) -> AbstractContextManager[Transaction]: ...


class Attempt:
    """One attempt at one job."""

    def __init__(self, database: Database, job: str, number: int) -> None:
        self._database = database
        self.job, self.number = job, number

    def begin(self, handle: dict[str, Any], environment: dict[str, Any]) -> TrainingTask:
        """Give the first beat, with the handle by which others find this process.

        The row's environment is that of its checkpoints: it changes here only if there are none.
        """
        with self._hold() as (connection, row):
            [task] = execute(connection, TASK, job=row["number"])
            spec, cost, before = (part and json.loads(part) for part in task)
            saved = checkpoint_refs(connection, row)
            values = {"handle": handle, "beat": row["beat"] + 1}
            change(connection, row, values if saved else {"environment": environment, **values})
            losses = dict(execute(connection, LOSSES, job=row["number"]))
        return TrainingTask(spec, saved, losses, before, cost["bytes"])

    def heartbeat(self, cursor: Cursor, finished: Sequence[mlp_core.Epoch] = ()) -> State:
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

    def commit(
        self, saved: CheckpointRef, finished: Sequence[mlp_core.Epoch]
    ) -> tuple[State, list[str]]:
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
        saved: CheckpointRef | None = None,
        finished: Sequence[mlp_core.Epoch] = (),
        weights_sha256: str | None = None,
    ) -> State:
        """Leave the job by the move for its state, with the last checkpoint and epochs."""
        code, message = reason
        with self._hold() as (connection, row):
            to = moves[State(row["state"])]
            if saved:
                self._commit(connection, row, saved, finished)
            elif finished:  # an epoch's record may come when the next one has begun
                [progress] = execute(connection, PROGRESS, job=row["number"])
                cursor = max(tuple(progress), (finished[-1].number, 0))
                self._advance(connection, row, cursor, finished)
            row = self._row(connection)
            asked = to in (State.PAUSED, State.CANCELLED)  # then the client's reason stands
            why = row["reason"] if asked else {"code": code, "message": message}
            weights = weights_sha256 if to == State.SUCCEEDED else None
            move(connection, row, to, why, handle=None, weights_sha256=weights)
        return to

    @contextmanager
    def _hold(self) -> Iterator[tuple[Transaction, Row]]:
        """Hold the row for one transaction, if it is still this attempt's."""
        with self._database.write() as connection:
            yield connection, self._row(connection)

    def _row(self, connection: Transaction) -> Row:
        row = hold(connection, self.job, self.number)
        if row is None:
            raise Replaced(self.job, self.number)
        return row

    def _advance(
        self,
        connection: Transaction,
        row: Row,
        cursor: Cursor,
        finished: Sequence[mlp_core.Epoch],
        **values: Any,
    ) -> None:
        """Note the progress and the finished epochs in a row that is held."""
        new = _unrecorded(connection, row["number"], finished) if finished else []
        if new:
            add(connection, ADD, [{"job": row["number"], **record} for record in new])
            values["latest"] = new[-1]
            values["best"] = _best(row["best"], new)
        epochs_done, batches_done = cursor
        values |= {"epochs_done": epochs_done, "batches_done": batches_done}
        notes: list[Note] = [("epoch", record) for record in new]
        change(connection, row, {"beat": row["beat"] + 1, **values}, notes)

    def _commit(
        self,
        connection: Transaction,
        row: Row,
        saved: CheckpointRef,
        finished: Sequence[mlp_core.Epoch],
    ) -> list[str]:
        """Name the checkpoint in a row that is held; return the keys it drops."""
        before = checkpoint_refs(connection, row)
        cursor = (saved.epochs_done, saved.batches_done)
        moved = not before or cursor > (before[0].epochs_done, before[0].batches_done)
        losses = 0 if moved else row["losses"]
        self._advance(connection, row, cursor, finished, losses=losses)
        number = {"job": row["number"]}
        older = [old.key for old in before if old.key != saved.key]
        dropped = older[KEPT_CHECKPOINTS - 1 :]
        # A commit that seemed to fail may have named it already.
        add(connection, FORGET, [{"key": key, **number} for key in (*dropped, saved.key)])
        add(connection, NAME, [asdict(saved) | number])
        return dropped


def _unrecorded(
    connection: Transaction, job: int, finished: Sequence[mlp_core.Epoch]
) -> list[Record]:
    """Leave out epochs of earlier attempts, or of a commit that only seemed to fail."""
    [(last,)] = execute(connection, LAST_EPOCH, job=job)
    return [_record(epoch) for epoch in finished if epoch.number > (last or 0)]


def _record(epoch: mlp_core.Epoch) -> Record:
    values = asdict(epoch)
    return {"epoch": values.pop("number"), **values}


def _best(before: Record | None, new: Sequence[Record]) -> Record:
    """Return the epoch of the highest test accuracy, the first of equals."""
    return max([*([before] if before else []), *new], key=lambda record: record["test_accuracy"])
