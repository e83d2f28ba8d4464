"""Snapshots: the networks after some epochs, in files, and the rows that make them count.

A snapshot holds the parameters that the record of its epoch measured, without the state of the
optimizer: it answers questions, but no training can continue from it. It is named in the same
transaction as the first checkpoint behind it, so a worker that dies loses either both or none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlp_core import Epoch
from service.store.checkpoints import CheckpointRef
from service.store.sql.transaction import Transaction

OF_JOB = """
SELECT snapshots.attempt, snapshots.epoch, snapshots.planned, snapshots.key, snapshots.size,
    snapshots.sha256, epochs.test_accuracy
FROM snapshots JOIN epochs ON epochs.job = snapshots.job AND epochs.number = snapshots.epoch
WHERE snapshots.job = :job ORDER BY snapshots.epoch
"""
NAMED = "SELECT key FROM snapshots WHERE job = :job"
# Another environment may give an epoch other bits; then its record stays that of the first attempt,
# and so does its snapshot.
IS_AS_RECORDED = """
SELECT number FROM epochs WHERE job = :job AND number = :epoch
AND train_loss = :train_loss AND test_loss = :test_loss AND test_accuracy = :test_accuracy
AND NOT EXISTS (SELECT number FROM snapshots WHERE job = :job AND epoch = :epoch)
"""
INSERT = """
INSERT INTO snapshots (job, attempt, epoch, planned, key, size, sha256)
VALUES (:job, :attempt, :epoch, :planned, :key, :size, :sha256)
"""
BEST = """
SELECT snapshots.epoch
FROM snapshots JOIN epochs ON epochs.job = snapshots.job AND epochs.number = snapshots.epoch
WHERE snapshots.job = :job ORDER BY epochs.test_accuracy DESC, snapshots.epoch LIMIT 1
"""
DELETE_SURPASSED = """
DELETE FROM snapshots WHERE job = :job AND planned = FALSE AND epoch <> :best
"""


@dataclass(frozen=True)
class NewSnapshot:
    """A snapshot whose file is written, and which no row names yet."""

    epoch: Epoch
    planned: bool
    """Whether it stays when a later epoch is better."""
    file: CheckpointRef


@dataclass(frozen=True)
class Snapshot:
    """The network after an epoch, in a file that a row names, so that it counts."""

    file: CheckpointRef
    test_accuracy: float | None = None
    """None if it is not known: it may not have been measured yet."""
    is_planned: bool = False
    """Whether it stays when a later epoch is better."""

    @property
    def epoch(self) -> int:
        return self.file.epochs_done


def snapshots_of(transaction: Transaction, number: int, job: str) -> list[Snapshot]:
    """Return the snapshots of a job that count, by epoch."""
    return [_snapshot(job, **row) for row in transaction.rows(OF_JOB, job=number)]


def _snapshot(
    job: str, *, epoch: int, planned: bool, test_accuracy: float, **file: Any
) -> Snapshot:
    stored = CheckpointRef(job, epochs_done=epoch, batches_done=0, **file)
    return Snapshot(stored, test_accuracy, bool(planned))


def start_key(job: str) -> str:
    """Return the key of the network before a job's first step, for which there is no file."""
    return f"{job}/0/start"


def name_snapshots(transaction: Transaction, job: int, new: Sequence[NewSnapshot]) -> list[str]:
    """Make snapshots count whose epochs are recorded, and drop those that are no longer the best.

    A commit that seemed to fail may have named some of them already. Returns the keys that no row
    names now.
    """
    if not new:
        return []
    before = _named(transaction, job)
    for snapshot in new:
        _name(transaction, job, snapshot)
    if best := transaction.row(BEST, job=job):
        transaction.execute(DELETE_SURPASSED, job=job, best=best["epoch"])
    return sorted((before | {it.file.key for it in new}) - _named(transaction, job))


def _named(transaction: Transaction, job: int) -> set[str]:
    return {row["key"] for row in transaction.rows(NAMED, job=job)}


def _name(transaction: Transaction, job: int, snapshot: NewSnapshot) -> None:
    epoch, file = snapshot.epoch, snapshot.file
    measured = {
        "train_loss": epoch.train_loss,
        "test_loss": epoch.test_loss,
        "test_accuracy": epoch.test_accuracy,
    }
    if transaction.row(IS_AS_RECORDED, job=job, epoch=epoch.number, **measured):
        stored = {"attempt": file.attempt, "key": file.key, "size": file.size}
        planned = {"planned": snapshot.planned, "sha256": file.sha256}
        transaction.execute(INSERT, job=job, epoch=epoch.number, **stored, **planned)
