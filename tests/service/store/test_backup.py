"""Backups: consistent copies taken while jobs train, complete or not made at all."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from service.domain.errors import StoreBroken, StoreFull
from service.store.artifacts import Artifacts
from service.store.attempts import FAILED, Attempt
from service.store.backup import backup
from service.store.checkpoints import CheckpointRef, CheckpointStore
from service.store.files.local import LocalArtifacts
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.snapshots import NewSnapshot
from service.store.sql.copying import copy_database
from service.store.sql.database import Database
from service.store.sql.engine import Engine
from service.store.sql.migrate import migrate
from service.store.sql.sqlite import sqlite_url
from tests.support.job_records import DONE, epoch, in_state, started
from tests.support.originals import original_of

ORIGINAL = "The job was training on the original server when this backup was made."


def save(artifacts: Artifacts, attempt: Attempt, epochs_done: int) -> CheckpointRef:
    """Commit a checkpoint and delete those that it drops, as a worker does."""
    key = f"{attempt.job}/{attempt.number}/{epochs_done}-0.safetensors"
    data = f"arrays {epochs_done}".encode()
    sha256 = artifacts.put(key, data)
    saved = CheckpointRef(attempt.job, attempt.number, epochs_done, 0, key, len(data), sha256)
    for dropped in attempt.commit(saved, [])[1]:
        artifacts.delete(dropped)
    return saved


def rows(copy: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(copy / "jobs.sqlite3")) as connection:
        return connection.execute(statement).fetchall()


def files_of(copy: Path) -> set[str]:
    return {str(path.relative_to(copy / "jobs")) for path in (copy / "jobs").glob("*/*/*")}


def test_a_copy_has_all_jobs_and_the_files_that_rows_name(
    database: Database, artifacts: Artifacts, tmp_path: Path
) -> None:
    attempt = started(database)
    kept = [save(artifacts, attempt, number).key for number in (1, 2, 3)][1:]
    attempt.end(FAILED, DONE)
    artifacts.put(f"{attempt.job}/1/9-9.safetensors", b"nobody names it")
    copied = backup(original_of(database.url, artifacts, tmp_path), tmp_path / "copies" / "first")
    assert (copied.jobs, copied.checkpoints, copied.bytes, copied.lost) == (1, 2, 16, [])
    assert files_of(tmp_path / "copies" / "first") == set(kept)
    assert [path.name for path in (tmp_path / "copies").iterdir()] == ["first"]
    restored = Database(f"sqlite:///{tmp_path / 'copies' / 'first' / 'jobs.sqlite3'}")
    assert JobStore(restored).get(attempt.job) == JobStore(database).get(attempt.job)
    restored.close()


def test_a_copy_has_the_snapshots_that_rows_name_and_says_which_are_damaged(
    database: Database, artifacts: Artifacts, tmp_path: Path
) -> None:
    attempt, store = started(database), CheckpointStore(artifacts)
    files = [
        store.save_snapshot(attempt.job, 1, number, {"layers.1.bias": np.full(3, number, "f4")})
        for number in (1, 2)
    ]
    new = [NewSnapshot(epoch(it.epochs_done), planned=True, file=it) for it in files]
    attempt.end(FAILED, DONE, None, [it.epoch for it in new], snapshots=new)
    (tmp_path / "jobs" / files[1].key).write_bytes(b"not what was written")
    copied = backup(original_of(database.url, artifacts, tmp_path), tmp_path / "copy")
    assert (copied.checkpoints, copied.snapshots, copied.lost) == (0, 1, [files[1].key])
    assert files_of(tmp_path / "copy") == {files[0].key}
    assert rows(tmp_path / "copy", "SELECT key FROM snapshots") == [(files[0].key,)]
    restored = CheckpointStore(LocalArtifacts(tmp_path / "copy" / "jobs"))
    assert restored.load(files[0]).arrays["layers.1.bias"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("before", "after"),
    [("running", "queued"), ("pausing", "paused"), ("cancelling", "cancelled")],
)
def test_workers_stay_with_the_original(
    database: Database, artifacts: Artifacts, tmp_path: Path, before: str, after: str
) -> None:
    job = in_state(database, before)
    backup(original_of(database.url, artifacts, tmp_path), tmp_path / "copy")
    found = rows(tmp_path / "copy", "SELECT state, handle, lost_workers FROM jobs")
    assert found == [(after, None, 0)]
    [(reason,)] = rows(tmp_path / "copy", "SELECT reason FROM jobs")
    assert (ORIGINAL in str(reason)) == (after == "queued")
    assert JobStore(database).get(job).state == before
    assert Queue(database).active()[0].handle is not None


def overtake(monkeypatch: pytest.MonkeyPatch, save_more: Callable[[int], object]) -> list[Path]:
    """Have `save_more` called after each copy of the database, with their number.

    Return the list to which the copies are added.
    """
    copies = list[Path]()

    def overtaken(source: Engine, path: Path) -> None:
        copy_database(source, path)
        copies.append(path)
        save_more(len(copies))

    monkeypatch.setattr("service.store.backup.copy_database", overtaken)
    return copies


def test_a_checkpoint_that_is_replaced_meanwhile_is_not_lost(
    database: Database, artifacts: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = started(database)
    save(artifacts, attempt, 1), save(artifacts, attempt, 2)

    def replace_once(copies: int) -> None:
        if copies == 1:
            save(artifacts, attempt, 3), save(artifacts, attempt, 4)

    copies = overtake(monkeypatch, replace_once)
    copied = backup(original_of(database.url, artifacts, tmp_path), tmp_path / "copy")
    assert (len(copies), copied.checkpoints, copied.lost) == (2, 2, [])
    assert {Path(key).stem for key in files_of(tmp_path / "copy")} == {"3-0", "4-0"}


def test_a_backup_fails_if_checkpoints_are_replaced_in_every_try(
    database: Database, artifacts: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = started(database)
    save(artifacts, attempt, 1), save(artifacts, attempt, 2)
    copies = overtake(monkeypatch, lambda copies: save(artifacts, attempt, 2 + copies))
    with pytest.raises(StoreBroken, match=r"/1/5-0.* were replaced .* each of 5 tries"):
        backup(original_of(database.url, artifacts, tmp_path), tmp_path / "copies" / "first")
    assert len(copies) == 5
    assert list((tmp_path / "copies").iterdir()) == []


def test_folders_may_have_any_name(tmp_path: Path) -> None:
    original, copy = tmp_path / "a?b%c", tmp_path / "d#e%20f"
    migrate(sqlite_url(original / "jobs.sqlite3"))
    database = Database(sqlite_url(original / "jobs.sqlite3"))
    artifacts = LocalArtifacts(original / "jobs")
    attempt = started(database)
    one, two = save(artifacts, attempt, 1), save(artifacts, attempt, 2)
    (original / "jobs" / one.key).write_bytes(b"damaged")
    copied = backup(original_of(database.url, artifacts, tmp_path), copy)
    database.close()
    assert (copied.jobs, copied.checkpoints, copied.lost) == (1, 1, [one.key])
    assert files_of(copy) == {two.key}
    assert rows(copy, "SELECT state FROM jobs") == [("queued",)]
    assert {path.name for path in tmp_path.iterdir()} == {original.name, copy.name}


def test_files_that_the_original_has_lost_are_listed_and_not_named(
    database: Database, artifacts: Artifacts, tmp_path: Path
) -> None:
    attempt = started(database)
    one, two = save(artifacts, attempt, 1), save(artifacts, attempt, 2)
    (tmp_path / "jobs" / two.key).write_bytes(b"damaged")
    copied = backup(original_of(database.url, artifacts, tmp_path), tmp_path / "copy")
    assert (copied.checkpoints, copied.lost) == (1, [two.key])
    assert rows(tmp_path / "copy", "SELECT key FROM checkpoints") == [(one.key,)]


def test_a_destination_that_exists_is_refused(
    database: Database, artifacts: Artifacts, tmp_path: Path
) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(StoreBroken, match="copy already exists; choose a directory"):
        backup(original_of(database.url, artifacts, tmp_path), tmp_path / "copy")


@pytest.mark.parametrize(
    ("url", "why"),
    [("sqlite:////no/where", "no database at /no/where"), ("mysql://host/db", "only sqlite")],
)
def test_a_database_that_does_not_exist_is_not_copied(
    artifacts: Artifacts, tmp_path: Path, url: str, why: str
) -> None:
    with pytest.raises(StoreBroken, match=why):
        backup(original_of(url, artifacts, tmp_path), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_copy_that_fails_leaves_nothing_behind(
    database: Database, artifacts: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(artifacts, started(database), 1)

    def full(*_: object) -> None:
        raise StoreFull("the disk is full")

    monkeypatch.setattr(LocalArtifacts, "put", full)
    with pytest.raises(StoreFull):
        backup(original_of(database.url, artifacts, tmp_path), tmp_path / "copies" / "first")
    assert list((tmp_path / "copies").iterdir()) == []


def test_a_damaged_database_is_not_copied(artifacts: Artifacts, tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite3").write_bytes(b"no database" * 100)
    url = f"sqlite:///{tmp_path / 'jobs.sqlite3'}"
    with pytest.raises(StoreBroken, match="the database can't be copied"):
        backup(original_of(url, artifacts, tmp_path), tmp_path / "copy")
