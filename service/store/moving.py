"""Moves a whole service to another database and other files: nothing is lost, all is verified.

Files are copied first, and rows last, in one transaction with the end of the move. Until then the
target is marked, and nobody may use it. So a move may end at any line; the next one begins again,
and leaves the files as they are that are there already. The source stays as it was.
"""

import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from service.domain.errors import Damaged, StoreBroken
from service.store.artifacts import Artifacts
from service.store.dataset_backup import named_digests, waiting_uploads
from service.store.dataset_digests import is_intact
from service.store.dataset_files import STAGING, DatasetFiles
from service.store.dataset_queue import DatasetQueue
from service.store.durable_files import make_directory, store_error
from service.store.evaluation_queue import EvaluationQueue
from service.store.event_log import EventLog
from service.store.hosts import HostStore
from service.store.identity import identity_of, take_identity
from service.store.mapped_dataset import DAMAGE, read_manifest
from service.store.queue import Queue
from service.store.sql.connector import Connector
from service.store.sql.copying import copy_rows, refuse_outdated, tables_with_rows
from service.store.sql.database import Database
from service.store.sql.transaction import Transaction
from service.store.uploads import Uploads

MARK = """
INSERT INTO unfinished_move (number, source) VALUES (1, :source)
ON CONFLICT (number) DO UPDATE SET source = :source
"""
MARKED = "SELECT source FROM unfinished_move"
UNMARK = "DELETE FROM unfinished_move"
NETWORKS = """
SELECT key, size, sha256 FROM checkpoints UNION ALL SELECT key, size, sha256 FROM snapshots
ORDER BY key
"""
RESULTS = """
SELECT artifact AS key, size, sha256 FROM evaluation_tasks
WHERE artifact IS NOT NULL AND job IS NOT NULL ORDER BY id
"""
WHY = "The service was moved."
AT_ONCE = 8
"""Small files that are under way together: a bucket answers each only after a while."""
SMALL_BYTES = 4 * 1024**2


@dataclass(frozen=True)
class Place:
    """Where everything of a service is kept: its rows, and the files that they name."""

    name: str
    """For people: the directory, or the settings that name it."""
    directory: Path
    """The data directory, of which the database and the files may be part."""
    database: Database
    artifacts: Artifacts
    results: Artifacts
    datasets: DatasetFiles
    uploads: Uploads


@dataclass
class Moved:
    """What a move has copied, in numbers."""

    rows: int = 0
    files: int = 0
    """Of jobs and evaluations."""
    bytes: int = 0
    datasets: int = 0
    """Uploaded ones, and those that wait for a check."""
    lost: list[str] = field(default_factory=list)
    """Keys, digests and ids whose files are missing or damaged in the source, as its rows say."""


class NamedFile(NamedTuple):
    """A file as a row names it."""

    key: str
    size: int
    sha256: str


def refuse_unfinished(connector: Connector) -> None:
    """Refuse a database into which a service was being moved until the move was interrupted.

    Raises:
        StoreBroken: it is one; what finishes the move is said.

    """
    with connector.read() as transaction:
        found = transaction.row(MARKED)
    if found:
        raise StoreBroken(
            f"a move of {found['source']} to this place was interrupted, so not everything is "
            "there; repeat the same `mlp-service move`, which finishes it"
        )


def move(source: Place, target: Place, note: Callable[[str], object] = lambda _: None) -> Moved:
    """Copy everything from one place to another one, which is a whole service afterwards.

    Nobody else may use either of them meanwhile. Work that was under way in the source is queued
    again, there as well.

    Args:
        source: what is moved; it stays as it is, so that it can be kept until the move has proved
            itself.
        target: a place without any rows, with the newest schema.
        note: told what is being done.

    Raises:
        StoreBroken: one of them can't be used or is used by others, the target holds something
            else, or what was written there is not what was read.

    """
    for place in (source, target):
        _refuse_used(place)
    refuse_outdated(source.database)
    refuse_unfinished(source.database)
    _refuse_rows(target)
    with target.database.write() as transaction:
        transaction.execute(MARK, source=source.name)
    _take_from_workers(source.database)
    last_event = EventLog(source.database).newest()
    moved = Moved()
    _copy_files(source, target, moved, note)
    take_identity(identity_of(source.database, source.directory), target.database, target.directory)
    note("Copying all rows, and comparing them.")
    finish = partial(_finish, source, target, last_event)
    moved.rows = copy_rows(source.database, target.database, finish)
    return moved


def _finish(source: Place, target: Place, last_event: int, copy: Transaction) -> None:
    """End the move, if nothing has happened in the source since its files were listed."""
    for place in (source, target):
        _refuse_used(place)
    if EventLog(source.database).newest() != last_event:
        raise StoreBroken(
            f"{source.name} was used while it was being moved; stop what uses it, and move again"
        )
    copy.execute(UNMARK)


def _refuse_used(place: Place) -> None:
    """Refuse a database that servers or hosts use; a file is locked by whoever uses it."""
    if place.database.file:
        return
    if users := HostStore(place.database).users():
        raise StoreBroken(
            f"servers or hosts use {place.name} ({', '.join(users)}); stop them first. One that "
            "was killed is forgotten after half a minute"
        )


def _refuse_rows(target: Place) -> None:
    with target.database.read() as transaction:
        held = tables_with_rows(transaction)
    if held:
        raise StoreBroken(
            f"{target.name} already holds something ({', '.join(held)}); name an empty database, "
            "or a directory that does not exist yet"
        )


def _take_from_workers(database: Connector) -> None:
    """Queue again what has a worker, which can write nothing more then; end unfinished uploads."""
    datasets = DatasetQueue(database)
    datasets.interrupt()
    datasets.delete_dry_runs()
    for queue in (Queue(database), datasets, EvaluationQueue(database)):
        for row in queue.active():
            queue.lose(row.job, row.attempt, WHY, code="shutdown", counts=False)


def _copy_files(source: Place, target: Place, moved: Moved, note: Callable[[str], object]) -> None:
    kinds = (
        (NETWORKS, source.artifacts, target.artifacts, "networks"),
        (RESULTS, source.results, target.results, "evaluations"),
    )
    for statement, original, copy, what in kinds:
        with source.database.read() as transaction:
            named = [NamedFile(**row) for row in transaction.rows(statement)]
        note(f"Copying the files of {what}, and comparing them: {len(named)}.")
        _copy_named(named, original, copy, moved)
    note("Copying data sets and uploads, and comparing them.")
    # Beside the files of the place that is on this machine, which can be renamed or linked.
    local = target if target.database.file else source
    staged = local.datasets.directory / STAGING / "move"
    shutil.rmtree(staged, ignore_errors=True)
    make_directory(staged)
    try:
        _copy_datasets(source, target, staged, moved)
        _copy_uploads(source, target, staged, moved)
    except OSError as exc:
        raise store_error("copy data sets and uploads", exc) from exc
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _copy_named(
    named: Iterable[NamedFile], source: Artifacts, target: Artifacts, moved: Moved
) -> None:
    small = [file for file in named if file.size <= SMALL_BYTES]
    large = [file for file in named if file.size > SMALL_BYTES]
    copy = partial(_copy_file, source, target)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = [*zip(small, pool.map(copy, small), strict=True)]
    found += [(file, copy(file)) for file in large]
    for file, is_copied in found:
        if is_copied:
            moved.files += 1
            moved.bytes += file.size
        else:
            moved.lost.append(file.key)


def _copy_file(source: Artifacts, target: Artifacts, file: NamedFile) -> bool:
    """Copy a file, unless it is there already; return False if the source does not have it."""
    if _has(target, file):
        return True
    try:
        data = source.get(*file)
    except (FileNotFoundError, Damaged):
        return False
    target.put(file.key, data)
    if not _has(target, file):
        raise StoreBroken(f"what was written to {target.url} as {file.key} is not what is there")
    return True


def _has(artifacts: Artifacts, file: NamedFile) -> bool:
    try:
        artifacts.get(*file)
    except (FileNotFoundError, Damaged):
        return False
    return True


def _copy_datasets(source: Place, target: Place, staged: Path, moved: Moved) -> None:
    for sha256, is_needed in named_digests(source.database).items():
        folder = staged / sha256
        is_copied = source.datasets.export(sha256, folder) and _is_whole(folder, sha256)
        if is_copied:
            _check(target.datasets.take_over(folder, sha256), sha256, target)
            moved.datasets += 1
        elif is_needed:
            moved.lost.append(sha256)
        shutil.rmtree(folder, ignore_errors=True)


def _is_whole(folder: Path, sha256: str) -> bool:
    try:
        return is_intact(folder, read_manifest(folder, sha256))
    except DAMAGE:
        return False


def _copy_uploads(source: Place, target: Place, staged: Path, moved: Moved) -> None:
    for row in waiting_uploads(source.database):
        folder = staged / row["id"]
        if source.uploads.export(row["id"], folder):
            _check(target.uploads.take_over(folder, row["id"]), row["id"], target)
            moved.datasets += 1
        elif row["files"] or row["samples"]:
            moved.lost.append(row["id"])
        shutil.rmtree(folder, ignore_errors=True)


def _check(is_there: bool, what: str, target: Place) -> None:
    if not is_there:
        raise StoreBroken(f"what was written to {target.name} as {what} is not what is there")
