"""Everything a worker writes about its one job: begin, heartbeat, epochs, checkpoints, end.

Every write is guarded by the attempt's number: a worker that has been replaced by another gets
`Replaced`, and has changed nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import mlp_core
from service.domain.advice import Outcome, advice_for_little, advice_for_nothing, late_epoch
from service.domain.baseline import Baseline
from service.domain.dataset_manifest import Manifest
from service.domain.errors import Replaced
from service.domain.job_state import State
from service.store.checkpoints import CheckpointRef, checkpoint_refs, name_checkpoint
from service.store.manifests import manifest_of_job
from service.store.snapshots import NewSnapshot, name_snapshots
from service.store.sql.connector import Connector
from service.store.sql.transaction import Transaction
from service.store.sql.values import Row
from service.store.transitions import NewEvent, lock_attempt, transition, update_row

Cursor = tuple[int, int]
"""Epochs done, batches done of the next one."""
Record = dict[str, Any]
"""An epoch as clients read it: see `mlp_client.records.Epoch`."""

KEPT_CHECKPOINTS = 2

TASK = "SELECT spec, cost, environment, manifest FROM jobs WHERE number = :job"
INSERT_EPOCH = """
INSERT INTO epochs
(job, number, train_loss, train_accuracy, test_loss, test_accuracy, seconds) VALUES
(:job, :epoch, :train_loss, :train_accuracy, :test_loss, :test_accuracy, :seconds)
"""
PROGRESS = "SELECT epochs_done, batches_done FROM jobs WHERE number = :job"
RECORDED = "SELECT number, train_loss, test_accuracy FROM epochs WHERE job = :job"
RESULT = "SELECT latest, spec, manifest FROM jobs WHERE number = :job"
EPOCHS = """
SELECT number, train_loss, train_accuracy, test_accuracy FROM epochs
WHERE job = :job AND number IN (1, :late, :last) ORDER BY number
"""
LAST_EPOCH = "SELECT max(number) AS last FROM epochs WHERE job = :job"

# Where a job goes when its worker ends, by its state before: a pause or cancel may be under way.
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
    """Everything a worker needs to begin training."""

    spec: dict[str, Any]
    checkpoints: list[CheckpointRef]
    """The checkpoints, the newest first."""
    train_losses: dict[int, float]
    """What earlier attempts recorded, by epoch number; a re-run must repeat it."""
    test_accuracies: dict[int, float]
    """What earlier attempts recorded, by epoch number."""
    environment: dict[str, Any] | None
    """The environment that decided the bits of earlier attempts."""
    parameters: int
    """Weights and biases of the network."""
    job_bytes: int
    """Memory that the job's arrays take: see Cost."""
    manifest: Manifest
    """The manifest of the data set, which its digest names."""


class Attempt:
    """One attempt at one job."""

    def __init__(self, connector: Connector, job: str, number: int) -> None:
        self._connector = connector
        self.job, self.number = job, number

    def begin(self, handle: dict[str, Any], environment: dict[str, Any]) -> TrainingTask:
        """Write the first heartbeat, with the handle by which the dispatcher finds this process.

        The row's environment is that of its checkpoints, so it changes here only if there are none.
        """
        with self._locked() as (transaction, row):
            job = {"job": row["number"]}
            [task] = transaction.rows(TASK, **job)
            checkpoints = checkpoint_refs(transaction, row)
            values = {"handle": handle, "heartbeat": row["heartbeat"] + 1}
            if not checkpoints:
                values["environment"] = environment
            update_row(transaction, row, values)
            found = transaction.rows(RECORDED, **job)
        losses = {epoch["number"]: epoch["train_loss"] for epoch in found}
        accuracies = {epoch["number"]: epoch["test_accuracy"] for epoch in found}
        environment, cost = task["environment"], task["cost"]
        needs = cost["parameters"], cost["bytes"]
        before = (task["spec"], checkpoints, losses, accuracies, environment)
        return TrainingTask(*before, *needs, manifest_of_job(task["manifest"]))

    def heartbeat(self, cursor: Cursor, finished: Sequence[mlp_core.Epoch] = ()) -> State:
        """Record that the worker is alive and how far it is, with the epochs finished since.

        Returns the state, by which a client's pause or cancel reaches the worker. An epoch that an
        earlier attempt recorded stays unchanged.
        """
        with self._locked() as (transaction, row):
            _advance(transaction, row, cursor, finished)
        return State(row["state"])

    def touch(self) -> None:
        """Record only that the worker is alive."""
        with self._locked() as (transaction, row):
            update_row(transaction, row, {"heartbeat": row["heartbeat"] + 1})

    def warn(self, code: str, message: str, **values: Any) -> None:
        """Record a warning event, and change `values` of the row with it."""
        with self._locked() as (transaction, row):
            event: NewEvent = ("warning", {"code": code, "message": message})
            update_row(transaction, row, values, [event])

    def commit(
        self,
        saved: CheckpointRef,
        finished: Sequence[mlp_core.Epoch],
        snapshots: Sequence[NewSnapshot] = (),
    ) -> tuple[State, list[str]]:
        """Make a checkpoint count, with the epochs and snapshots before it.

        Returns the state, and the keys of the older checkpoints and snapshots that don't count.
        """
        with self._locked() as (transaction, row):
            dropped = _commit(transaction, row, saved, finished)
            dropped += name_snapshots(transaction, row["number"], snapshots)
        return State(row["state"]), dropped

    def end(
        self,
        moves: dict[State, State],
        reason: tuple[str, str],
        saved: CheckpointRef | None = None,
        finished: Sequence[mlp_core.Epoch] = (),
        weights_sha256: str | None = None,
        baseline: Baseline | None = None,
        snapshots: Sequence[NewSnapshot] = (),
    ) -> State:
        """Store what is new and the last checkpoint, and move the job to the state after its own.

        Returns the new state; `moves` is one of SUCCEEDED, FAILED and STOPPED. A network that is
        trained to its end is compared with the `baseline` of the test set.
        """
        with self._locked() as (transaction, row):
            to = moves[State(row["state"])]
            if saved:
                _commit(transaction, row, saved, finished)
            elif finished:  # an epoch's record may come when the next one has begun
                [progress] = transaction.rows(PROGRESS, job=row["number"])
                cursor = (progress["epochs_done"], progress["batches_done"])
                _advance(transaction, row, max(cursor, (finished[-1].number, 0)), finished)
            name_snapshots(transaction, row["number"], snapshots)
            row = self._lock(transaction)
            if to == State.SUCCEEDED and baseline:
                reason = _judge(transaction, row, reason, baseline)
                row = self._lock(transaction)
            wished = to in (State.PAUSED, State.CANCELLED)  # then the client's reason stands
            why = row["reason"] if wished else dict(zip(("code", "message"), reason, strict=True))
            weights = weights_sha256 if to == State.SUCCEEDED else None
            transition(transaction, row, to, why, handle=None, weights_sha256=weights)
        return to

    @contextmanager
    def _locked(self) -> Iterator[tuple[Transaction, Row]]:
        """Lock the row for one transaction, if it is still this attempt's."""
        with self._connector.write() as transaction:
            yield transaction, self._lock(transaction)

    def _lock(self, transaction: Transaction) -> Row:
        row = lock_attempt(transaction, self.job, self.number)
        if row is None:
            raise Replaced(self.job, self.number)
        return row


def _advance(
    transaction: Transaction,
    row: Row,
    cursor: Cursor,
    finished: Sequence[mlp_core.Epoch],
    **values: Any,
) -> None:
    """Record the progress and the finished epochs in a locked row."""
    new = _unrecorded(transaction, row["number"], finished) if finished else []
    if new:
        transaction.execute_many(INSERT_EPOCH, [{"job": row["number"], **it} for it in new])
        best = _best(row["best"], new)
        values |= {"latest": new[-1], "best": best, "best_accuracy": best["test_accuracy"]}
    epochs_done, batches_done = cursor
    values |= {"epochs_done": epochs_done, "batches_done": batches_done}
    values["heartbeat"] = row["heartbeat"] + 1
    update_row(transaction, row, values, [("epoch", record) for record in new])


def _commit(
    transaction: Transaction,
    row: Row,
    saved: CheckpointRef,
    finished: Sequence[mlp_core.Epoch],
) -> list[str]:
    """Name the checkpoint in a locked row; return the keys that no longer count."""
    before = checkpoint_refs(transaction, row)
    cursor = (saved.epochs_done, saved.batches_done)
    moved = not before or cursor > (before[0].epochs_done, before[0].batches_done)
    lost_workers = 0 if moved else row["lost_workers"]
    _advance(transaction, row, cursor, finished, lost_workers=lost_workers)
    older = [old.key for old in before if old.key != saved.key]
    dropped = older[KEPT_CHECKPOINTS - 1 :]
    name_checkpoint(transaction, row["number"], saved, dropped)
    return dropped


def _judge(
    transaction: Transaction, row: Row, done: tuple[str, str], baseline: Baseline
) -> tuple[str, str]:
    """Record in a locked row whether its network has learned anything.

    Returns the reason for the job's state: `done`, or that nothing or little was learned and what
    to change in the spec, which is also recorded as a warning.
    """
    [result] = transaction.rows(RESULT, job=row["number"])
    last = result["latest"]["epoch"]
    epochs = transaction.rows(EPOCHS, job=row["number"], late=late_epoch(last), last=last)
    outcome = Outcome(result["spec"], manifest_of_job(result["manifest"]), baseline, epochs)
    verdict = {"learned": outcome.learned, "test_accuracy": outcome.accuracy}
    message: str | None = None
    if not outcome.learned:
        message = f"{baseline.comparison(outcome.accuracy)} {advice_for_nothing(outcome)}"
    elif outcome.learned_little:
        message = advice_for_little(outcome)
    if message is None:
        update_row(transaction, row, verdict)
        return done
    kind = "learned_little" if outcome.learned else "learned_nothing"
    warning: NewEvent = ("warning", {"code": kind, "message": message})
    update_row(transaction, row, verdict, [warning])
    return kind, f"{done[1]} {message}"


def _unrecorded(
    transaction: Transaction, job: int, finished: Sequence[mlp_core.Epoch]
) -> list[Record]:
    """Leave out epochs of earlier attempts, or of a commit that only seemed to fail."""
    [found] = transaction.rows(LAST_EPOCH, job=job)
    return [_record(epoch) for epoch in finished if epoch.number > (found["last"] or 0)]


def _record(epoch: mlp_core.Epoch) -> Record:
    values = asdict(epoch)
    return {"epoch": values.pop("number"), **values}


def _best(before: Record | None, new: Sequence[Record]) -> Record:
    """Return the epoch of the highest test accuracy, the first of equals."""
    return max([*([before] if before else []), *new], key=lambda record: record["test_accuracy"])
