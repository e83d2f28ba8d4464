"""Data sets that grow by one labelled sample at a time, until they are frozen and checked.

A sample is a file of its own among the uploads, and the row counts them. It is on the disk before
it is counted, so that each one that was acknowledged is there, whatever dies.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from service.domain.dataset_quota import DatasetQuota
from service.domain.dataset_state import DatasetState
from service.domain.errors import (
    DatasetExists,
    DatasetNotFound,
    QuotaExceeded,
    SampleNotFound,
)
from service.store.dataset_rows import (
    DATASETS,
    check_quota,
    delete_dataset,
    move_dataset,
    update_dataset,
    usage_of,
)
from service.store.dataset_view import SHIPPED
from service.store.durable_files import READ_ONLY, write_atomic
from service.store.ids import uuid7
from service.store.sql.connector import Connector
from service.store.sql.transaction import Transaction
from service.store.sql.values import Row, now
from service.store.stored_dataset import DATASET_COLUMNS, StoredDataset, stored_dataset
from service.store.uploads import Uploads

MAX_SAMPLES = 10_000
UNDER_WAY = (DatasetState.QUEUED, DatasetState.CHECKING, DatasetState.READY)

LOCK = f"""
UPDATE datasets SET heartbeat = heartbeat WHERE name = :name AND owner = :owner
RETURNING {DATASET_COLUMNS}, number
"""  # noqa: S608  names of our own
INSERT = """
INSERT INTO datasets (id, owner, name, state, attempt, lost_workers, heartbeat, options, files,
    samples, upload_bytes, disk_bytes, description, license, attribution, created_at)
VALUES (:id, :owner, :name, 'collecting', 0, 0, 0, :options, :files, 0, 0, 0, '', '', '', :now)
"""
FIND = f"SELECT {DATASET_COLUMNS} FROM datasets WHERE name = :name AND owner = :owner"  # noqa: S608
NAMES = "SELECT name FROM datasets WHERE owner = :owner ORDER BY name"
AGAIN: dict[str, Any] = {"reason": None, "report": None, "finished_at": None, "lost_workers": 0}
"""What a set forgets of a check that has failed."""


class CollectedSamples:
    """The samples of one owner, by the names of the data sets that they are collected for."""

    def __init__(
        self, connector: Connector, uploads: Uploads, quota: DatasetQuota, owner: str | None = None
    ) -> None:
        self._connector, self._uploads, self._quota = connector, uploads, quota
        self._owner = owner or ""

    def seen_by(self, owner: str | None) -> "CollectedSamples":
        """Return the samples of `owner`."""
        return CollectedSamples(self._connector, self._uploads, self._quota, owner)

    def add(self, name: str, sample: bytes) -> StoredDataset:
        """Add a sample durably to a data set, which the first one creates; return the set.

        A set that has failed after it was frozen collects again. The sample that was added last is
        not added twice: its client did not get the answer.

        Args:
            name: within its owner.
            sample: the content of its file.

        Raises:
            DatasetExists: the name belongs to another data set, or to one that is frozen.
            QuotaExceeded: the set has as many samples as it may, or the owner too much data.
            StoreBroken: the file or the row can't be written.

        """
        _refuse_shipped(name)
        self._begin(name)
        try:
            with self._connector.write(DATASETS) as transaction:
                self._add(transaction, self._lock_open(transaction, name), sample)
                return self._found(transaction, name)
        except BaseException:
            self._discard(name)
            raise

    def remove(self, name: str, number: int) -> None:
        """Delete the last sample of a data set, and with the only one the set.

        Args:
            name: within its owner.
            number: of the sample, counted from 1, so that a repetition deletes no other one.

        Raises:
            DatasetNotFound: there is no such data set.
            DatasetExists: it was sent as files, or is frozen.
            SampleNotFound: it is not the last one.

        """
        _refuse_shipped(name)
        with self._connector.write(DATASETS) as transaction:
            row = self._lock_open(transaction, name)
            if number != row["samples"] or number < 1:
                raise SampleNotFound(name, number, row["samples"])
            if number == 1:
                delete_dataset(transaction, row)
                return
            left = row["upload_bytes"] - self._uploads.fetched(row["id"], number - 1).stat().st_size
            collecting = {"state": DatasetState.COLLECTING, "samples": number - 1, **AGAIN}
            update_dataset(transaction, row, upload_bytes=left, **collecting)
        self._forget(name, number)

    def freeze(self, name: str, asked: Any, options: dict[str, Any], **about: str) -> StoredDataset:
        """Queue a data set for its check; the same call again changes nothing.

        Args:
            name: within its owner.
            asked: what a client sent, by which a repetition is recognised.
            options: of the check.
            about: `description`, `license` and `attribution`.

        Raises:
            DatasetNotFound: there is no such data set.
            DatasetExists: it was sent as files, or frozen with other options.

        """
        _refuse_shipped(name)
        digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        with self._connector.write(DATASETS) as transaction:
            row = self._lock(transaction, name)
            is_frozen = row["state"] in UNDER_WAY
            if row["samples"] is None or (is_frozen and row["upload_sha256"] != digest):
                raise DatasetExists(name, row["state"])
            if not is_frozen:
                values = {"options": options, "upload_sha256": digest, **AGAIN, **about}
                move_dataset(transaction, row, DatasetState.QUEUED, **values)
            return self._found(transaction, name)

    def _begin(self, name: str) -> None:
        """Create the row of a data set, unless it is there."""
        with self._connector.write(DATASETS) as transaction:
            before = transaction.row(LOCK, name=name, owner=self._owner)
            if before is not None:
                if before["state"] != DatasetState.FAILED or before["samples"]:
                    return
                delete_dataset(transaction, before)
            check_quota(usage_of(transaction, self._owner), self._quota, 0)
            values = {"id": f"ds_{uuid7()}", "owner": self._owner, "name": name, "now": now()}
            transaction.execute(INSERT, **values, options={}, files=[])

    def _add(self, transaction: Transaction, row: Row, sample: bytes) -> None:
        number, used = row["samples"], usage_of(transaction, self._owner, beside=row["number"])
        if number and self._is_last(row["id"], number - 1, sample):
            return
        if number >= MAX_SAMPLES:
            raise QuotaExceeded(
                f"The data set {row['name']!r} has {number:,} samples, and may not have more: "
                "freeze it, and collect further ones under another name."
            )
        taken = row["upload_bytes"] + len(sample)
        check_quota(used, self._quota, taken)
        self._uploads.create(row["id"])
        write_atomic(self._uploads.file(row["id"], number), sample, READ_ONLY)
        self._uploads.share_file(row["id"], number)
        collecting = {"state": DatasetState.COLLECTING, "samples": number + 1, **AGAIN}
        update_dataset(transaction, row, upload_bytes=taken, **collecting)

    def _forget(self, name: str, number: int) -> None:
        """Delete the file of a sample that is counted no more, unless another one has its place.

        Whoever dies before leaves a file that the next sample replaces.
        """
        with self._connector.write(DATASETS) as transaction:
            row = transaction.row(LOCK, name=name, owner=self._owner)
            if row and row["samples"] == number - 1 and row["state"] not in UNDER_WAY:
                self._file(row, number).unlink(missing_ok=True)

    def _file(self, row: Row, number: int) -> Path:
        return self._uploads.file(row["id"], number - 1)

    def _is_last(self, id_: str, number: int, sample: bytes) -> bool:
        path = self._uploads.fetched(id_, number)  # another host may have taken it
        return path.stat().st_size == len(sample) and path.read_bytes() == sample

    def _discard(self, name: str) -> None:
        """Delete a row whose first sample could not be added."""
        with self._connector.write(DATASETS) as transaction:
            row = transaction.row(LOCK, name=name, owner=self._owner)
            if row and row["state"] == DatasetState.COLLECTING and not row["samples"]:
                delete_dataset(transaction, row)

    def _lock(self, transaction: Transaction, name: str) -> Row:
        row = transaction.row(LOCK, name=name, owner=self._owner)
        if row is None:
            own = [found["name"] for found in transaction.rows(NAMES, owner=self._owner)]
            raise DatasetNotFound(name, [*SHIPPED, *own])
        return row

    def _lock_open(self, transaction: Transaction, name: str) -> Row:
        row = self._lock(transaction, name)
        if row["samples"] is None or row["state"] in UNDER_WAY:
            raise DatasetExists(name, row["state"])
        return row

    def _found(self, transaction: Transaction, name: str) -> StoredDataset:
        [row] = transaction.rows(FIND, name=name, owner=self._owner)
        return stored_dataset(row)


def _refuse_shipped(name: str) -> None:
    if name in SHIPPED:
        raise DatasetExists(name, DatasetState.READY, shipped=True)
