"""Data sets as clients use them: receive and delete them by name, beside what a view can."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from service.domain.dataset_quota import DatasetQuota
from service.domain.dataset_state import DatasetState
from service.domain.errors import DatasetExists, DatasetInUse, DatasetNotFound, DatasetShipped
from service.store.damaged_datasets import fail
from service.store.dataset_files import DatasetFiles
from service.store.dataset_rows import DATASETS, check_quota, delete_dataset, move_dataset, usage_of
from service.store.dataset_users import jobs_that_need
from service.store.dataset_view import SHIPPED, DatasetView, check_ready
from service.store.idempotency import (
    KeyedRequest,
    Made,
    find_answer,
    is_known,
    keep_first_answer,
)
from service.store.ids import uuid7
from service.store.sql.connector import Connector
from service.store.sql.transaction import Transaction
from service.store.sql.values import Row, now
from service.store.stored_dataset import (
    DATASET_COLUMNS,
    DatasetInfo,
    StoredDataset,
    stored_dataset,
)

INSERT = f"""
INSERT INTO datasets (id, owner, name, state, attempt, lost_workers, heartbeat, options, files,
    upload_bytes, disk_bytes, description, license, attribution, created_at, host)
VALUES (:id, :owner, :name, :state, 0, 0, 0, :options, :files,
    :upload_bytes, 0, :description, :license, :attribution, :created_at, :host)
RETURNING {DATASET_COLUMNS}
"""  # noqa: S608
LOCKED = "number, id, owner, name, state, sha256, samples"
LOCK = f"UPDATE datasets SET heartbeat = heartbeat WHERE {{guard}} RETURNING {LOCKED}"  # noqa: S608
LOCK_OWN = LOCK.format(guard="name = :name AND owner = :owner")
LOCK_ID = LOCK.format(guard="id = :id")
LOCK_OLD_FAILED = LOCK.format(
    guard="""number IN (
        SELECT number FROM datasets WHERE owner = :owner
        AND state = 'failed' AND coalesce(samples, 0) = 0
        AND coalesce(reason ->> 'code', '') <> 'files_damaged'
        ORDER BY number DESC LIMIT 1000 OFFSET :kept
    )"""
)
LOCK_RECEIVING = LOCK.format(guard="id = :id AND state = 'receiving'{own}")


class DatasetStore(DatasetView):
    """The data sets as clients see and change them: all, or through `seen_by` those of one owner.

    Shipped ones are everybody's, and need no row.
    """

    def __init__(
        self,
        connector: Connector,
        files: DatasetFiles,
        quota: DatasetQuota | None = None,
        owner: str | None = None,
        *,
        everything: bool = True,
        render: Callable[[StoredDataset], str] = repr,
        host: str | None = None,
    ) -> None:
        """Create it.

        Args:
            connector: the database.
            files: of the data sets.
            quota: how many and how large an owner's may be; the default if None.
            owner: to whom what is sent through this view belongs.
            everything: whether the view has the data sets of all owners.
            render: makes the answer that is kept for requests with an idempotency key.
            host: which receives what is sent; None if there is only one.

        """
        super().__init__(connector, files, owner, everything=everything)
        self._render, self.host = render, host
        self.quota = quota or DatasetQuota()
        self._owner, self._everything = owner or "", everything

    def seen_by(self, owner: str | None, *, everything: bool) -> "DatasetStore":
        """Return the view of `owner`, to whom the data sets sent through it belong.

        Without `everything` the view has only the owner's data sets and the shipped ones.
        """
        return DatasetStore(
            self._connector,
            self.files,
            self.quota,
            owner,
            everything=everything,
            render=self._render,
            host=self.host,
        )

    def receive(
        self, name: str, options: dict[str, Any], expected_bytes: int, **about: str
    ) -> StoredDataset:
        """Store the row of a data set that is about to be sent, and return it.

        A data set of the name that has failed makes room for it, and one that was ready, if its
        files are not there any more. So do the oldest of the owner's failed ones, if more of them
        are there than data sets are allowed.

        Args:
            name: within its owner.
            options: as they were sent.
            expected_bytes: how many will come at most.
            about: `description`, `license` and `attribution`, as far as they are known.

        Raises:
            DatasetExists: another one has the name.
            QuotaExceeded: the owner, or all together, have too many data sets.

        """
        with self._connector.write(DATASETS) as transaction:
            row = self._begin(transaction, name, options, expected_bytes, about)
        return stored_dataset(row)

    def derive(
        self,
        name: str,
        source: DatasetInfo,
        options: dict[str, Any],
        sha256: str,
        request: KeyedRequest | None = None,
        **about: str,
    ) -> StoredDataset:
        """Queue a data set that is to be made of another one, and return it.

        Args:
            name: within its owner.
            source: the other one.
            options: with `from`.
            sha256: the digest of the options, see `repeated`.
            request: by which it is asked for, if that has an idempotency key.
            about: see `receive`.

        Raises:
            DatasetExists: another one has the name.
            DatasetNotFound: the source has been deleted since it was described.
            KeyReused: the key was used for another request.
            QuotaExceeded: the owner, or all together, have too many data sets.

        """
        everything = self._everything
        with self._connector.write(DATASETS) as transaction:
            row = self._begin(transaction, name, options, source.manifest.bytes, about)
            check_ready(transaction, self._owner, source.name, source.sha256, everything=everything)
            [locked] = transaction.rows(LOCK_ID, id=row["id"])
            sent = {"upload_sha256": sha256, "upload_bytes": 0}
            move_dataset(transaction, locked, DatasetState.QUEUED, **sent)
            return self._made(transaction, locked, request)

    def _begin(
        self,
        transaction: Transaction,
        name: str,
        options: dict[str, Any],
        expected_bytes: int,
        about: dict[str, str],
    ) -> Row:
        if name in SHIPPED:
            raise DatasetExists(name, DatasetState.READY, shipped=True)
        values: dict[str, Any] = {"description": "", "license": "", "attribution": "", **about}
        if before := transaction.row(LOCK_OWN, name=name, owner=self._owner):
            before = self._looked_at(transaction, before)
            if before["state"] != DatasetState.FAILED or before["samples"]:
                raise DatasetExists(name, before["state"])
            delete_dataset(transaction, before)
        self._forget_old_failures(transaction)
        check_quota(usage_of(transaction, self._owner), self.quota, expected_bytes)
        values |= {"id": f"ds_{uuid7()}", "owner": self._owner, "name": name}
        values |= {"state": DatasetState.RECEIVING, "created_at": now(), "host": self.host}
        [row] = transaction.rows(
            INSERT, **values, options=options, upload_bytes=expected_bytes, files=[]
        )
        return row

    def _looked_at(self, transaction: Transaction, row: Row) -> Row:
        """Return a locked row as it is after a look at its files, if it was ready."""
        sha256 = row["sha256"]
        if row["state"] != DatasetState.READY or self.files.is_stored(sha256):
            return row
        fail(transaction, sha256, self.files.folder(sha256), lambda: True)
        return row | {"state": DatasetState.FAILED, "samples": None}

    def received(
        self,
        id_: str,
        files: Sequence[str],
        upload_sha256: str,
        upload_bytes: int,
        request: KeyedRequest | None = None,
    ) -> StoredDataset:
        """Queue a data set for its check, all of whose files are on the disk now.

        Args:
            id_: the data set.
            files: the names of its files, as the client calls them, in their order.
            upload_sha256: the digest of what was sent and of the options, see `repeated`.
            upload_bytes: how many bytes were sent.
            request: with which they were sent, if that has an idempotency key.

        Raises:
            DatasetNotFound: it has been deleted meanwhile.
            KeyReused: the key was used for another request.

        """
        sent = {"upload_sha256": upload_sha256, "upload_bytes": upload_bytes}
        with self._connector.write(DATASETS) as transaction:
            row = self._lock_receiving(transaction, id_)
            move_dataset(transaction, row, DatasetState.QUEUED, files=list(files), **sent)
            return self._made(transaction, row, request)

    def interrupt(self, id_: str, code: str, message: str) -> None:
        """Record that not all of a data set has arrived, and why; what did is deleted.

        Nothing happens if it has been deleted meanwhile.
        """
        reason = {"code": code, "message": message}
        with suppress(DatasetNotFound), self._connector.write(DATASETS) as transaction:
            row = self._lock_receiving(transaction, id_)
            move_dataset(transaction, row, DatasetState.FAILED, reason=reason)

    def discard(self, id_: str) -> bool:
        """Delete the row of a data set that has not arrived; return whether there was one."""
        with suppress(DatasetNotFound), self._connector.write(DATASETS) as transaction:
            delete_dataset(transaction, self._lock_receiving(transaction, id_))
            return True
        return False

    def repeated(
        self, name: str, upload_sha256: str, request: KeyedRequest | None = None
    ) -> StoredDataset:
        """Return the data set that was made of the same files and options under the same name.

        Raises:
            DatasetNotFound: there is none of that name.
            DatasetExists: the one of that name was made of others, or has not arrived yet.
            KeyReused: the key was used for another request.

        """
        found = self.get(name)
        if found.upload_sha256 != upload_sha256:
            raise DatasetExists(name, found.state, shipped=name in SHIPPED)
        if request is None:
            return found
        with self._connector.write(DATASETS) as transaction:
            for row in transaction.rows(LOCK_ID, id=found.id):
                return self._made(transaction, row, request)
        raise DatasetNotFound(name, self._names())

    def knows_key(self, key: str) -> bool:
        """Return whether the owner has used an idempotency key before, for whatever request."""
        with self._connector.read() as transaction:
            return is_known(transaction, self._owner, key)

    def replay(self, request: KeyedRequest) -> str | None:
        """Return the answer to an earlier request with the same key, if there was one.

        Raises:
            KeyReused: the key was used for another request.

        """
        with self._connector.read() as transaction:
            first = find_answer(transaction, self._owner, request.key, request.body)
        return first[1] if first else None

    def _made(
        self, transaction: Transaction, row: Row, request: KeyedRequest | None
    ) -> StoredDataset:
        """Return a data set of a locked row, after its answer has been kept for its request."""
        [stored] = self._identified(transaction, row["id"])
        found = stored_dataset(stored)
        if request:
            made = Made(self._owner, found.id, row["number"])
            keep_first_answer(transaction, request, made, self._render(found))
        return found

    def delete(self, name: str, *, force: bool = False) -> None:
        """Delete a data set in any state; a sweep of the dispatcher deletes its files.

        Jobs that are not final keep the files until they are.

        Args:
            name: the data set.
            force: also if jobs of its owner will train on it, or have networks that were.

        Raises:
            DatasetNotFound: there is no such data set.
            DatasetShipped: it is part of the service.
            DatasetInUse: jobs need it, and `force` is false.

        """
        if name in SHIPPED:
            raise DatasetShipped(name)
        with self._connector.write(DATASETS) as transaction:
            found = self._named(transaction, name)
            if not found:
                raise DatasetNotFound(name, self._known(transaction))
            [row] = transaction.rows(LOCK_ID, id=found[0]["id"])
            if not force and (jobs := jobs_that_need(transaction, row)):
                raise DatasetInUse(name, jobs)
            delete_dataset(transaction, row)

    def _lock_receiving(self, transaction: Transaction, id_: str) -> Row:
        found = self._rows(transaction, LOCK_RECEIVING, id=id_)
        if not found:
            raise DatasetNotFound(id_, self._known(transaction))
        return found[0]

    def _forget_old_failures(self, transaction: Transaction) -> None:
        """Keep only so many failed sets as sets are allowed, for these count towards no quota.

        Those that were ready until their files were damaged stay: others may repair them.
        """
        kept = max(1, self.quota.sets)
        for row in transaction.rows(LOCK_OLD_FAILED, owner=self._owner, kept=kept):
            delete_dataset(transaction, row)
