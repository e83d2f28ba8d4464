"""A copy of the data directory, taken while the server runs and jobs train."""

import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import delete, select

from service.domain.errors import StoreBroken
from service.domain.job_state import State
from service.store.files.local import Artifacts, broken, make_directory, sync
from service.store.guards import in_state
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.connector import Database, file_of, migrate, sqlite_url
from service.store.sql.schema import checkpoints, jobs

TRIES = 5
DATABASE = "jobs.sqlite3"
ARTIFACTS = "jobs"


@dataclass
class Copied:
    """What a backup holds."""

    jobs: int = 0
    checkpoints: int = 0
    bytes: int = 0
    lost: list[str] = field(default_factory=list)
    """Keys of files that are missing or damaged in the original; the copy does not name them."""


def backup(url: str, artifacts: Artifacts, destination: Path) -> Copied:
    """Make `destination` a data directory with all that was committed when the copy began.

    It appears whole or not at all. Jobs that have workers are queued again in the copy: the
    workers belong to the original.

    Raises:
        StoreBroken: the destination exists or can't be written, the original can't be read, or its
            checkpoints are replaced faster than they are copied.

    """
    if destination.exists():
        raise StoreBroken(f"{destination} exists; a backup goes to a new directory")
    source = _sqlite_file(url)
    make_directory(destination.absolute().parent)
    unfinished = destination.absolute().with_name(f".{destination.name}.{os.getpid()}.tmp")
    try:
        copied = _copy_in_time(source, artifacts, unfinished)
        unfinished.rename(destination)
        sync(destination.absolute().parent)
    except OSError as exc:
        raise broken(f"write the backup {destination}", exc) from exc
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return copied


def _sqlite_file(url: str) -> Path:
    path = file_of(url)
    if not path.is_file():
        raise StoreBroken(f"there is no database {path}; name its place with --data-dir")
    return path


def _copy_in_time(source: Path, artifacts: Artifacts, directory: Path) -> Copied:
    """Copy again until no worker has replaced a checkpoint before its file was copied."""
    for _ in range(TRIES):
        shutil.rmtree(directory, ignore_errors=True)
        copied = _copy(source, artifacts, directory)
        replaced = set(copied.lost) - _named(source, copied.lost)
        if not replaced:
            return copied
    raise StoreBroken(
        f"in {TRIES} tries checkpoints were replaced before they were copied, such as "
        f"{min(replaced)}; try again when fewer jobs train, or pause them"
    )


def _copy(source: Path, artifacts: Artifacts, directory: Path) -> Copied:
    make_directory(directory)
    path = directory / DATABASE
    _copy_database(source, path)
    # The package may have been upgraded, and the server not started since.
    migrate(sqlite_url(path))
    database = Database(sqlite_url(path))
    try:
        copied = Copied(jobs=sum(JobStore(database).counts().values()))
        _copy_artifacts(database, artifacts, Artifacts(directory / ARTIFACTS), copied)
        _take_from_workers(Queue(database))
    finally:
        database.close()
    sync(path)
    sync(directory)
    return copied


def _copy_database(source: Path, path: Path) -> None:
    """Copy one moment of the database; writers wait meanwhile."""
    try:
        with closing(sqlite3.connect(source, timeout=30, isolation_level=None)) as connection:
            connection.execute("VACUUM INTO ?", [str(path)])
    except sqlite3.Error as exc:
        raise StoreBroken(f"the database can't be copied: {exc}") from exc


def _named(source: Path, keys: list[str]) -> set[str]:
    """Return those of `keys` that the original still names."""
    if not keys:
        return set()
    database = Database(sqlite_url(source))
    try:
        with database.read() as connection:
            query = select(checkpoints.c.key).where(checkpoints.c.key.in_(keys))
            return set(connection.scalars(query))
    finally:
        database.close()


def _copy_artifacts(
    database: Database, source: Artifacts, target: Artifacts, copied: Copied
) -> None:
    """Copy what the rows of the copy name: running jobs first, for theirs are soon replaced."""
    running = in_state([State.RUNNING, State.PAUSING, State.CANCELLING])
    query = select(checkpoints.c.key, checkpoints.c.size, checkpoints.c.sha256)
    query = query.join(jobs, jobs.c.number == checkpoints.c.job)
    with database.read() as connection:
        named = connection.execute(query.order_by(running.desc(), checkpoints.c.number)).all()
    for key, size, sha256 in named:
        try:
            data = source.get(key, size, sha256)
        except (FileNotFoundError, StoreBroken):
            copied.lost.append(key)
            continue
        target.put(key, data)
        copied.checkpoints += 1
        copied.bytes += size
    with database.write() as connection:
        connection.execute(delete(checkpoints).where(checkpoints.c.key.in_(copied.lost)))


def _take_from_workers(queue: Queue) -> None:
    why = "the job was trained elsewhere when this backup was made"
    for row in queue.active():
        queue.lose(row.job, row.attempt, why, counts=False, code="backup")
