"""A job as the store returns it: plain values, from which `service.api` makes answers."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from service.domain.dataset_manifest import Manifest
from service.domain.job_state import State
from service.store.manifests import manifest_of_job
from service.store.sql.values import Row

EpochRecord = dict[str, Any]
"""A finished epoch by the names of `mlp_client.records.Epoch`."""


@dataclass(frozen=True)
class Reason:
    """Why a job is in its state."""

    code: str
    message: str


@dataclass(frozen=True)
class NewestCheckpoint:
    """The newest checkpoint of a job that counts, as far as clients read it."""

    epochs_done: int
    batches_done: int
    sha256: str


@dataclass(frozen=True)
class NewJob:
    """A submitted spec, resolved and with its cost."""

    spec: dict[str, Any]
    spec_version: int
    cost: dict[str, Any]
    bytes: int
    """The memory that a worker takes."""
    batches_per_epoch: int
    network: str
    """The sizes of its layers, as in 784-128-10."""
    manifest: Manifest
    """The data set that the spec's `dataset` names now, whatever it will name later."""


@dataclass(frozen=True)
class StoredJob:
    """A row of `jobs`, without the columns that only workers and the dispatcher need."""

    number: int
    """Orders the queue and lists."""
    id: str
    owner: str | None
    state: State
    reason: Reason | None
    attempt: int
    lost_workers: int
    spec: dict[str, Any]
    spec_version: int
    cost: dict[str, Any]
    batches_per_epoch: int
    epochs_done: int
    batches_done: int
    latest: EpochRecord | None
    best: EpochRecord | None
    weights_sha256: str | None
    bit_exact: bool
    environment: dict[str, Any] | None
    """The versions that decided the bits of the weights; None before the first attempt."""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    dataset_sha256: str
    """The digest of the data set it trains on: the spec has its name, which may change hands."""
    manifest: Manifest
    """What its network expects, and means by its outputs, even if the data set is deleted."""
    learned: bool | None
    """Whether the network beats the baseline of the test set; None until the job has succeeded."""
    checkpoint: NewestCheckpoint | None
    """None before the first, when there are no weights yet."""
    queue_position: int | None = None
    """1 is next; None unless it was asked for and the job is queued."""


COMPUTED = ("checkpoint", "queue_position")
# One value, so that a row or a list of them takes one statement.
NEWEST_CHECKPOINT = """(
    SELECT epochs_done || ' ' || batches_done || ' ' || sha256 FROM checkpoints
    WHERE checkpoints.job = jobs.number ORDER BY checkpoints.number DESC LIMIT 1
) AS checkpoint"""
JOB_COLUMNS = ", ".join(
    [*(field.name for field in fields(StoredJob) if field.name not in COMPUTED), NEWEST_CHECKPOINT]
)


@dataclass(frozen=True)
class StoredEvent:
    """Something that happened to a job; `number` counts from 1 within it."""

    number: int
    type: str
    at: datetime
    data: dict[str, Any]


@dataclass(frozen=True)
class Page:
    """Some jobs of a list."""

    jobs: list[StoredJob]
    has_more: bool


def stored_job(row: Row, queue_position: int | None = None) -> StoredJob:
    """Return a job from its JOB_COLUMNS."""
    reason = row["reason"] and Reason(**row["reason"])
    checkpoint = row["checkpoint"] and _newest_checkpoint(row["checkpoint"])
    plain = row | {"state": State(row["state"]), "reason": reason, "checkpoint": checkpoint}
    return StoredJob(**plain | _data(row), queue_position=queue_position)


def _data(row: Row) -> dict[str, Any]:
    manifest = manifest_of_job(row["manifest"])
    return {"manifest": manifest, "dataset_sha256": manifest.sha256}


def _newest_checkpoint(joined: str) -> NewestCheckpoint:
    epochs_done, batches_done, sha256 = joined.split()
    return NewestCheckpoint(int(epochs_done), int(batches_done), sha256)
