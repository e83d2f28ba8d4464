"""Everything a checker writes about its one data set: begin, heartbeat, finish, fail.

Every write is guarded by the attempt's number: a checker that has been replaced by another gets
`Replaced`, and has changed nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.domain.dataset_manifest import Manifest
from service.domain.dataset_quota import DatasetQuota
from service.domain.dataset_state import DatasetState
from service.domain.errors import QuotaExceeded, Replaced
from service.store.damaged_datasets import restore
from service.store.dataset_files import DatasetFiles, seal
from service.store.dataset_rows import (
    DATASETS,
    check_quota,
    leave_files,
    lock_check,
    move_dataset,
    update_dataset,
    usage_of,
)
from service.store.manifests import encode_manifest
from service.store.sql.connector import Connector
from service.store.sql.transaction import Transaction
from service.store.sql.values import Row
from service.store.uploads import Uploads


@dataclass(frozen=True)
class SentFile:
    """A file of an upload."""

    path: Path
    name: str
    """The name that the client gave it."""


@dataclass(frozen=True)
class CheckTask:
    """Everything a checker needs to begin."""

    files: list[SentFile]
    """The files that were sent, or the samples that were collected."""
    options: dict[str, Any]
    is_collected: bool = False
    """Whether the files are samples, and not as they were sent."""


class CheckAttempt:
    """One attempt at checking one data set."""

    def __init__(
        self,
        connector: Connector,
        files: DatasetFiles,
        uploads: Uploads,
        dataset: str,
        number: int,
        quota: DatasetQuota | None = None,
    ) -> None:
        """Create it; nothing happens before `begin`.

        Args:
            connector: the database.
            files: where the data set is to go.
            uploads: where its files are.
            dataset: its id.
            number: of the attempt.
            quota: how large it may become; the default if None.

        """
        self._connector, self._files, self._uploads = connector, files, uploads
        self._quota = quota or DatasetQuota()
        self.dataset, self.number = dataset, number

    def begin(self, handle: dict[str, Any]) -> CheckTask:
        """Write the first heartbeat, with the handle by which the dispatcher finds this process.

        Raises:
            Replaced: another attempt has the data set, or it has been deleted.

        """
        with self._locked() as (transaction, row):
            update_dataset(transaction, row, handle=handle, heartbeat=row["heartbeat"] + 1)
        # They are counted from 1, as where a sample is taken back.
        collected = [f"sample {number}" for number in range(1, (row["samples"] or 0) + 1)]
        is_collected = row["samples"] is not None
        names = enumerate(collected if is_collected else row["files"])
        files = [SentFile(self._uploads.file(self.dataset, at), name) for at, name in names]
        return CheckTask(files, row["options"], is_collected=is_collected)

    def fetch(self) -> None:
        """Bring the files here, if they were sent to another host.

        Raises:
            StoreBroken: they can't be read or written.

        """
        self._uploads.fetch(self.dataset)

    def touch(self) -> None:
        """Record that the checker is alive.

        Raises:
            Replaced: another attempt has the data set, or it has been deleted.

        """
        with self._locked() as (transaction, row):
            update_dataset(transaction, row, heartbeat=row["heartbeat"] + 1)

    def heartbeat(self, progress: dict[str, Any]) -> None:
        """Record that the checker is alive and how far it is.

        Raises:
            Replaced: another attempt has the data set, or it has been deleted.

        """
        with self._locked() as (transaction, row):
            update_dataset(transaction, row, progress=progress, heartbeat=row["heartbeat"] + 1)

    def stage(self) -> Path:
        """Return a new, empty folder for the arrays.

        Raises:
            StoreBroken: it can't be written.

        """
        return self._files.stage(self.dataset, self.number)

    def finish(
        self,
        staged: Path,
        manifest: Manifest,
        report: dict[str, Any],
        options: dict[str, Any],
    ) -> DatasetState:
        """Make the data set ready, with the arrays in the folder `staged`; return its state.

        It fails instead if it is larger than the quota allows. The digest is named before the
        folder appears under it, so a folder of a checker that dies in between is found again. The
        call can be repeated after a StoreBroken.

        Raises:
            Replaced: another attempt has the data set, or it has been deleted.
            StoreBroken: the database or a file can't be written.

        """
        if staged.exists():
            seal(staged)
        with self._locked(DATASETS) as (transaction, row):
            self._name(transaction, row, manifest.sha256)
        self._files.share(staged, manifest.sha256)
        with self._locked(DATASETS) as (transaction, row):
            disk_bytes = self._files.add(staged, manifest.sha256)
            refusal = self._over_quota(transaction, row, disk_bytes)
            found = {"report": report, "options": options, "disk_bytes": disk_bytes}
            if refusal:
                move_dataset(transaction, row, DatasetState.FAILED, reason=refusal, **found)
                return DatasetState.FAILED
            found |= {"reason": None, "lost_workers": 0}
            manifest_text = encode_manifest(manifest)
            move_dataset(transaction, row, DatasetState.READY, manifest=manifest_text, **found)
            restore(transaction, manifest.sha256)
        return DatasetState.READY

    def _name(self, transaction: Transaction, row: Row, sha256: str) -> None:
        """Record the digest; another version may have given the same files another one."""
        if row["sha256"] not in (None, sha256):
            leave_files(transaction, row["sha256"])
        update_dataset(transaction, row, sha256=sha256, heartbeat=row["heartbeat"] + 1)

    def fail(self, code: str, message: str, report: dict[str, Any] | None = None) -> None:
        """Record that the data set can't be used, and why.

        Raises:
            Replaced: another attempt has the data set, or it has been deleted.

        """
        reason = {"code": code, "message": message}
        with self._locked(DATASETS) as (transaction, row):
            move_dataset(transaction, row, DatasetState.FAILED, reason=reason, report=report)

    def _over_quota(
        self, transaction: Transaction, row: Row, disk_bytes: int
    ) -> dict[str, str] | None:
        """Return the reason for which the data set fails, if it takes too much of the disk."""
        used = usage_of(transaction, row["owner"], beside=row["number"])
        try:
            check_quota(used, self._quota, disk_bytes)
        except QuotaExceeded as exc:
            return {"code": "over_quota", "message": str(exc)}
        return None

    @contextmanager
    def _locked(self, alone: str = "") -> Iterator[tuple[Transaction, Row]]:
        """Lock the row for one transaction, if it is still this attempt's."""
        with self._connector.write(alone) as transaction:
            row = lock_check(transaction, self.dataset, self.number)
            if row is None:
                raise Replaced(self.dataset, self.number, "data set")
            yield transaction, row
