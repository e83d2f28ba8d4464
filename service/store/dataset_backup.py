"""The uploaded data sets of a backup."""

from dataclasses import dataclass, field
from pathlib import Path

from service.domain.dataset_state import DatasetState
from service.store.dataset_files import SHIPPED, DatasetFiles
from service.store.dataset_queue import DatasetQueue
from service.store.dataset_rows import move_dataset
from service.store.durable_files import make_directory
from service.store.sql.connector import Connector
from service.store.sql.values import Row
from service.store.uploads import Uploads

DATASETS = "datasets"
UPLOADS = "uploads"

# Jobs may train on the files of a data set that was deleted by force, but need not have any.
NAMED_BY_SETS = "SELECT DISTINCT sha256 FROM datasets WHERE state = 'ready' ORDER BY sha256"
NAMED_BY_JOBS = """
SELECT DISTINCT dataset_sha256 AS sha256 FROM jobs WHERE dataset_sha256 IS NOT NULL
ORDER BY dataset_sha256
"""
WAITING = """
SELECT number, id, sha256, files, samples FROM datasets WHERE state = 'queued' OR samples > 0
AND state <> 'ready' ORDER BY number
"""
LOCK_OF_DIGEST = """
UPDATE datasets SET heartbeat = heartbeat WHERE sha256 = :sha256 AND state = 'ready'
RETURNING number, id, sha256
"""
LOCK_ID = "UPDATE datasets SET heartbeat = heartbeat WHERE id = :id RETURNING number, id, sha256"
ORIGINAL = "The data set was being checked on the original server when this backup was made."


@dataclass
class CopiedDatasets:
    """The data sets of a backup in numbers."""

    datasets: int = 0
    bytes: int = 0
    lost: list[str] = field(default_factory=list)
    """Digests of data sets whose files are not there."""


def copy_datasets(
    copy: Connector, files: DatasetFiles, uploads: Uploads, directory: Path
) -> CopiedDatasets:
    """Copy the files that the rows of `copy` name into `directory`.

    Data sets that have a checker are queued again, because it belongs to the original; those that
    were being received have failed. So have those whose files are not there any more.

    Raises:
        OSError: a file can't be read or written.
        StoreBroken: the copy of the database can't be written.

    """
    queue = DatasetQueue(copy)
    queue.interrupt()
    for row in queue.active():
        queue.lose(row.job, row.attempt, ORIGINAL, code="backup", counts=False)
    copied = CopiedDatasets()
    make_directory(directory / DATASETS)
    for sha256, needed in named_digests(copy).items():
        folder = directory / DATASETS / files.folder(sha256).name
        if files.export(sha256, folder):
            copied.datasets += 1
            copied.bytes += sum(path.stat().st_size for path in folder.iterdir())
        elif needed:
            copied.lost.append(sha256)
    _fail_lost(copy, copied.lost)
    _copy_uploads(copy, uploads, directory / UPLOADS)
    return copied


def waiting_uploads(connector: Connector) -> list[Row]:
    """Return the data sets for which what was sent is kept: until a check, or until it is ready."""
    with connector.read() as transaction:
        return transaction.rows(WAITING)


def named_digests(connector: Connector) -> dict[str, bool]:
    """Return the digests that rows name, and whether their files must be there."""
    with connector.read() as transaction:
        of_jobs = [row["sha256"] for row in transaction.rows(NAMED_BY_JOBS)]
        of_sets = [row["sha256"] for row in transaction.rows(NAMED_BY_SETS)]
    named = dict.fromkeys(of_jobs, False) | dict.fromkeys(of_sets, True)
    return {sha256: needed for sha256, needed in named.items() if sha256 not in SHIPPED}


def _fail_lost(copy: Connector, lost: list[str]) -> None:
    reason = {
        "code": "files_missing",
        "message": "Its files were missing in the original when this backup was made.",
    }
    with copy.write() as transaction:
        for sha256 in lost:
            for row in transaction.rows(LOCK_OF_DIGEST, sha256=sha256):
                move_dataset(transaction, row, DatasetState.FAILED, reason=reason)


def _copy_uploads(copy: Connector, uploads: Uploads, target: Path) -> None:
    """Copy what waits for a check, and samples that are being collected.

    What is gone was checked or deleted since the copy began.
    """
    reason = {
        "code": "upload_interrupted",
        "message": "It was checked or deleted while this backup was made; send it again.",
    }
    for row in waiting_uploads(copy):
        is_copied = uploads.export(row["id"], target / row["id"])
        if is_copied or not (row["files"] or row["samples"]):
            continue
        with copy.write() as transaction:
            [locked] = transaction.rows(LOCK_ID, id=row["id"])
            move_dataset(transaction, locked, DatasetState.FAILED, reason=reason, samples=None)
