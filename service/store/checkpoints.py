"""Checkpoints: files of tensors by name in safetensors, and the rows that make them count.

Nothing here is ever unpickled.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mlp_core import Checkpoint, Cursor
from service.domain.errors import Damaged
from service.store.artifacts import Artifacts
from service.store.sql.transaction import Transaction
from service.store.sql.values import Row

if TYPE_CHECKING:
    from service.store.files.digest_cache import DigestCache

Arrays = Mapping[str, np.ndarray]

NEWEST_FIRST = """
SELECT attempt, epochs_done, batches_done, key, size, sha256 FROM checkpoints
WHERE job = :job ORDER BY number DESC
"""
INSERT = """
INSERT INTO checkpoints (job, attempt, epochs_done, batches_done, key, size, sha256)
VALUES (:job, :attempt, :epochs_done, :batches_done, :key, :size, :sha256)
"""
DELETE = "DELETE FROM checkpoints WHERE job = :job AND key = :key"
DELETE_OLDER = """
DELETE FROM checkpoints WHERE job = :job
AND number < (SELECT max(number) FROM checkpoints WHERE job = :job)
"""


@dataclass(frozen=True)
class CheckpointRef:
    """A checkpoint that a row names, so that it counts."""

    job: str
    attempt: int
    epochs_done: int
    batches_done: int
    key: str
    size: int
    sha256: str


def checkpoint_refs(transaction: Transaction, job: Row) -> list[CheckpointRef]:
    """Return the checkpoints of a job that count, newest first."""
    found = transaction.rows(NEWEST_FIRST, job=job["number"])
    return [CheckpointRef(job["id"], **row) for row in found]


def name_checkpoint(
    transaction: Transaction, job: int, saved: CheckpointRef, dropped: Iterable[str]
) -> None:
    """Make a checkpoint count, and drop those with the keys `dropped`.

    A commit that seemed to fail may have named it already.
    """
    replaced = [{"job": job, "key": key} for key in (*dropped, saved.key)]
    transaction.execute_many(DELETE, replaced)
    transaction.execute(INSERT, **asdict(saved) | {"job": job})


def drop_older_checkpoints(transaction: Transaction, job: int) -> None:
    """Drop all checkpoints of a job except the newest."""
    transaction.execute(DELETE_OLDER, job=job)


def encode(checkpoint: Checkpoint) -> bytes:
    """Return a checkpoint as the bytes of a safetensors file."""
    seconds = {"epoch_seconds": repr(checkpoint.epoch_seconds)}
    return bytes(save(dict(checkpoint.arrays), metadata=seconds))


def decode(data: bytes, cursor: Cursor) -> Checkpoint:
    """Return the checkpoint that `encode` wrote.

    Raises:
        Damaged: the bytes are not a checkpoint.

    """
    try:
        arrays, header = load(data), _header(data)
        seconds = float(header["__metadata__"]["epoch_seconds"])
    except (SafetensorError, ValueError, KeyError) as exc:
        raise Damaged(f"a checkpoint can't be read: {exc}") from exc
    return Checkpoint(cursor=cursor, arrays=arrays, epoch_seconds=seconds)


def weights_only(arrays: Arrays) -> dict[str, np.ndarray]:
    """Return the tensors of the network, by name, without those of the optimizer."""
    return {name: arrays[name] for name in sorted(arrays) if name.startswith("layers.")}


def weights_sha256(arrays: Arrays) -> str:
    """Return the SHA-256 over the tensor data of the weights in safetensors, header excluded."""
    data = bytes(save(weights_only(arrays)))
    return hashlib.sha256(data[8 + _header_size(data) :]).hexdigest()


def _header_size(data: bytes) -> int:
    return int.from_bytes(data[:8], "little")


def _header(data: bytes) -> dict[str, dict[str, str]]:
    header: dict[str, dict[str, str]] = json.loads(data[8 : 8 + _header_size(data)])
    return header


class CheckpointStore:
    """Reads and writes the files of checkpoints."""

    def __init__(self, artifacts: Artifacts, cache: "DigestCache | None" = None) -> None:
        """Create it; where artifacts are far away, `cache` keeps copies of what is read."""
        self._artifacts, self._cache = artifacts, cache

    def save(self, job: str, attempt: int, checkpoint: Checkpoint) -> CheckpointRef:
        """Write a checkpoint durably; it counts once a row names it."""
        name = "-".join(map(str, checkpoint.cursor))
        return self._put(f"{job}/{attempt}/{name}.safetensors", job, attempt, checkpoint)

    def save_snapshot(self, job: str, attempt: int, epoch: int, arrays: Arrays) -> CheckpointRef:
        """Write the parameters after an epoch durably; they count once a row names them."""
        snapshot = Checkpoint(Cursor(epoch), dict(arrays), epoch_seconds=0.0)
        return self._put(f"{job}/{attempt}/after-{epoch}.safetensors", job, attempt, snapshot)

    def _put(self, key: str, job: str, attempt: int, checkpoint: Checkpoint) -> CheckpointRef:
        data = encode(checkpoint)
        sha256 = self._artifacts.put(key, data)
        return CheckpointRef(job, attempt, *checkpoint.cursor, key, len(data), sha256)

    def load(self, saved: CheckpointRef) -> Checkpoint:
        """Read a checkpoint.

        Raises:
            FileNotFoundError: there is no file, for example because a newer one has replaced it.
            Damaged: the file is not what was saved.
            StoreBroken: the file can't be read at the moment.

        """
        return decode(self._read(saved), Cursor(saved.epochs_done, saved.batches_done))

    def _read(self, saved: CheckpointRef) -> bytes:
        if self._cache is None:
            return self._artifacts.get(saved.key, saved.size, saved.sha256)
        if found := self._cache.get(saved.sha256):
            return found
        data = self._artifacts.get(saved.key, saved.size, saved.sha256)
        self._cache.put(saved.sha256, data)
        return data

    def delete(self, key: str) -> None:
        self._artifacts.delete(key)
