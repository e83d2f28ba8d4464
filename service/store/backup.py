"""A copy of the data directory, taken while the server runs and jobs train."""

import os
import shutil
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from service.domain.errors import StoreBroken
from service.domain.job_state import WITH_WORKER
from service.store.artifacts import Artifacts
from service.store.dataset_backup import copy_datasets
from service.store.dataset_files import DatasetFiles
from service.store.durable_files import make_directory, store_error, sync
from service.store.evaluation_queue import EvaluationQueue
from service.store.files.local import LocalArtifacts
from service.store.jobs import JobStore
from service.store.moving import refuse_unfinished
from service.store.queue import Queue
from service.store.sql.copying import copy_database
from service.store.sql.database import Database
from service.store.sql.driver import DriverConnector
from service.store.sql.engine import Engine, engine_of
from service.store.sql.sqlite import sqlite_url
from service.store.sql.values import in_list
from service.store.transitions import states
from service.store.uploads import Uploads

TRIES = 5
DATABASE = "jobs.sqlite3"
ARTIFACTS = "jobs"

# Running jobs first, because their checkpoints and best networks are soon replaced.
NAMED = f"""
SELECT kind, key, size, sha256 FROM (
    SELECT 'checkpoint' AS kind, number, job, key, size, sha256 FROM checkpoints
    UNION ALL SELECT 'snapshot' AS kind, number, job, key, size, sha256 FROM snapshots
) AS named JOIN jobs ON jobs.number = named.job
ORDER BY CASE WHEN state IN ({states(WITH_WORKER)}) THEN 0 ELSE 1 END, kind, named.number
"""  # noqa: S608  names of our own
STILL_NAMED = """
SELECT key FROM checkpoints WHERE key IN ({keys})
UNION ALL SELECT key FROM snapshots WHERE key IN ({keys})
UNION ALL SELECT sha256 AS key FROM datasets WHERE state = 'ready' AND sha256 IN ({keys})
"""
FORGET_CHECKPOINTS = "DELETE FROM checkpoints WHERE key IN ({keys})"
FORGET_SNAPSHOTS = "DELETE FROM snapshots WHERE key IN ({keys})"


@dataclass(frozen=True)
class Original:
    """What is copied: the database, and the files that its rows name."""

    url: str
    artifacts: Artifacts
    datasets: DatasetFiles
    uploads: Uploads


@dataclass
class Copied:
    """The contents of a backup in numbers."""

    jobs: int = 0
    checkpoints: int = 0
    snapshots: int = 0
    datasets: int = 0
    """Uploaded ones."""
    bytes: int = 0
    lost: list[str] = field(default_factory=list)
    """Keys of files that are missing or damaged in the original, and digests of data sets that are
    missing there; no row of the copy names them."""


def backup(original: Original, destination: Path) -> Copied:
    """Make `destination` a data directory with everything that was committed when the copy began.

    It appears complete or not at all. Jobs and data sets that have workers are queued again in the
    copy, because the workers belong to the original.

    Raises:
        StoreBroken: the destination exists or can't be written, the original can't be read, or its
            checkpoints are replaced faster than they are copied.

    """
    if destination.exists():
        raise StoreBroken(
            f"{destination} already exists; choose a directory that does not exist yet"
        )
    source = engine_of(original.url)
    if not source.exists():
        raise StoreBroken(
            f"there is no database at {source.file or 'MLP_DATABASE_URL'}; name its directory with "
            "--data-dir"
        )
    if not source.file:
        with closing(DriverConnector(source)) as connector:
            refuse_unfinished(connector)
    make_directory(destination.absolute().parent)
    unfinished = destination.absolute().with_name(f".{destination.name}.{os.getpid()}.tmp")
    try:
        copied = _copy_consistently(source, original, unfinished)
        unfinished.rename(destination)
        sync(destination.absolute().parent)
    except OSError as exc:
        raise store_error(f"write the backup {destination}", exc) from exc
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return copied


def _copy_consistently(source: Engine, original: Original, directory: Path) -> Copied:
    """Copy again until nothing was replaced or deleted before its file was copied."""
    for _ in range(TRIES):
        shutil.rmtree(directory, ignore_errors=True)
        copied = _copy(source, original, directory)
        replaced = set(copied.lost) - _named(source, copied.lost)
        if not replaced:
            return copied
    raise StoreBroken(
        f"{min(replaced)} and perhaps other checkpoints were replaced before they could be copied, "
        f"in each of {TRIES} tries; pause some jobs, or try again when fewer are training"
    )


def _copy(source: Engine, original: Original, directory: Path) -> Copied:
    make_directory(directory)
    path = directory / DATABASE
    copy_database(source, path)
    database = Database(sqlite_url(path))
    try:
        refuse_unfinished(database)
        copied = Copied(jobs=sum(JobStore(database).counts().values()))
        _copy_artifacts(database, original.artifacts, LocalArtifacts(directory / ARTIFACTS), copied)
        _copy_datasets(database, original, directory, copied)
        _take_from_workers(Queue(database))
        EvaluationQueue(database).queue_all()
    finally:
        database.close()
    sync(path)
    sync(directory)
    return copied


def _named(source: Engine, keys: list[str]) -> set[str]:
    """Return those of `keys` that the original still names."""
    if not keys:
        return set()
    listed, parameters = in_list("key", keys)
    with closing(DriverConnector(source)) as connector, connector.read() as transaction:
        found = transaction.rows(STILL_NAMED.replace("{keys}", listed), **parameters)
    return {row["key"] for row in found}


def _copy_artifacts(
    database: Database, source: Artifacts, target: Artifacts, copied: Copied
) -> None:
    """Copy the files that the rows of the copy name."""
    with database.read() as transaction:
        named = transaction.rows(NAMED)
    for row in named:
        try:
            data = source.get(row["key"], row["size"], row["sha256"])
        except (FileNotFoundError, StoreBroken):
            copied.lost.append(row["key"])
            continue
        target.put(row["key"], data)
        copied.checkpoints += row["kind"] == "checkpoint"
        copied.snapshots += row["kind"] == "snapshot"
        copied.bytes += row["size"]
    _forget(database, copied.lost)


def _copy_datasets(database: Database, original: Original, directory: Path, copied: Copied) -> None:
    found = copy_datasets(database, original.datasets, original.uploads, directory)
    copied.datasets += found.datasets
    copied.bytes += found.bytes
    copied.lost += found.lost


def _forget(database: Database, keys: list[str]) -> None:
    if keys:
        listed, parameters = in_list("key", keys)
        with database.write() as transaction:
            for statement in (FORGET_CHECKPOINTS, FORGET_SNAPSHOTS):
                transaction.execute(statement.replace("{keys}", listed), **parameters)


def _take_from_workers(queue: Queue) -> None:
    why = "The job was training on the original server when this backup was made."
    for row in queue.active():
        queue.lose(row.job, row.attempt, why, counts=False, code="backup")
