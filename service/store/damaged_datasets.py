"""What becomes of data sets whose files are damaged: they fail, until the content comes again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.domain.dataset_manifest import Manifest
from service.domain.dataset_state import DatasetState
from service.store.dataset_digests import mark_damaged
from service.store.dataset_rows import DATASETS, update_dataset
from service.store.manifests import decode_manifest
from service.store.sql.connector import Connector
from service.store.sql.transaction import Transaction
from service.store.sql.values import Row, now

CODE = "files_damaged"
DETAIL = "Its files have changed on the disk, or are missing, and can't be used any more."
HINT = "Send the same files again: that repairs it, and all jobs that name its content."
REASON = {"code": CODE, "message": f"{DETAIL} {HINT}"}

STORED = """
SELECT sha256, max(manifest) AS manifest FROM datasets WHERE state = 'ready' GROUP BY sha256
ORDER BY sha256
"""
NAMED = """
SELECT state FROM datasets WHERE sha256 = :sha256
AND (state = 'ready' OR state = 'failed' AND reason ->> 'code' = 'files_damaged')
"""
# A check that has named its digest may be about to put another folder there.
LOCK_NAMED = """
UPDATE datasets SET heartbeat = heartbeat
WHERE sha256 = :sha256 AND state IN ('ready', 'checking')
RETURNING number, id, name, state, report
"""
LOCK_DAMAGED = """
UPDATE datasets SET heartbeat = heartbeat
WHERE sha256 = :sha256 AND state = 'failed' AND reason ->> 'code' = 'files_damaged'
RETURNING number, report
"""
COUNT = """
SELECT count(*) AS sets FROM datasets WHERE state = 'failed' AND reason ->> 'code' = 'files_damaged'
"""


class DamagedDatasets:
    """The rows of all data sets, as far as their files may be damaged."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    def stored(self) -> list[Manifest]:
        """Return what each uploaded content is that data sets name, by digest."""
        with self._connector.read() as transaction:
            return [decode_manifest(row["manifest"]) for row in transaction.rows(STORED)]

    def confirm(self, sha256: str, folder: Path, is_damaged: Callable[[], bool]) -> bool:
        """Fail the data sets of a digest whose files seem to be damaged; see `fail`.

        Returns whether there are any, also if they have failed before.
        """
        with self._connector.read() as transaction:
            found = transaction.rows(NAMED, sha256=sha256)
        if any(row["state"] == DatasetState.READY for row in found):
            self.fail(sha256, folder, is_damaged)
        return bool(found)

    def fail(self, sha256: str, folder: Path, is_damaged: Callable[[], bool]) -> list[str]:
        """Record that the files of a digest are damaged, if they still are.

        Returns the names of its data sets that were ready. The files stay until the last of them is
        deleted or replaced.

        Args:
            sha256: the digest.
            folder: of its files.
            is_damaged: looks once more, while no check can put other files there.

        """
        with self._connector.write(DATASETS) as transaction:
            return fail(transaction, sha256, folder, is_damaged)

    def count(self) -> int:
        """Return how many data sets are damaged."""
        with self._connector.read() as transaction:
            [counted] = transaction.rows(COUNT)
        return int(counted["sets"])


def fail(
    transaction: Transaction, sha256: str, folder: Path, is_damaged: Callable[[], bool]
) -> list[str]:
    """Do within a transaction what the method of this name does."""
    found = transaction.rows(LOCK_NAMED, sha256=sha256)
    if not is_damaged():
        return []
    if folder.is_dir():  # processes without a database look for the mark
        mark_damaged(folder)
    ready = [row for row in found if row["state"] == DatasetState.READY]
    for row in ready:
        errors = [{"code": CODE, "detail": DETAIL, "place": "", "hint": HINT}]
        report = {**(row["report"] or {}), "errors": errors}
        _move(transaction, row, DatasetState.FAILED, reason=REASON, report=report)
    return [row["name"] for row in ready]


def restore(transaction: Transaction, sha256: str) -> None:
    """Make the damaged data sets of a digest ready again, because its files are there anew."""
    for row in transaction.rows(LOCK_DAMAGED, sha256=sha256):
        report = {name: value for name, value in row["report"].items() if name != "errors"}
        _move(transaction, row, DatasetState.READY, reason=None, report=report)


def _move(transaction: Transaction, row: Row, to: DatasetState, **values: Any) -> None:
    # A failed set of samples keeps them, and these are gone: it is like one of files now.
    update_dataset(transaction, row, state=to, samples=None, finished_at=now(), **values)
