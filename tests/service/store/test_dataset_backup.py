"""Backups of uploaded data sets: what rows name is there, and nothing depends on the original."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.domain.dataset_quota import DatasetQuota
from service.store.artifacts import Artifacts
from service.store.backup import Copied, backup
from service.store.collected_samples import CollectedSamples
from service.store.dataset_files import DatasetFiles
from service.store.jobs import JobStore
from service.store.sql.copying import copy_database
from service.store.sql.database import Database
from service.store.sql.engine import Engine
from tests.conftest import submit
from tests.support.job_records import query
from tests.support.originals import original_of
from tests.support.stored_datasets import HANDLE, DatasetHarness, arrays_of


@pytest.fixture
def sets(database: Database, tmp_path: Path) -> DatasetHarness:
    return DatasetHarness(database, tmp_path)


@pytest.fixture
def copied(database: Database, artifacts: Artifacts, tmp_path: Path) -> "Copies":
    return Copies(database, artifacts, tmp_path)


class Copies:
    """Makes copies of the data directory of a test."""

    def __init__(self, database: Database, artifacts: Artifacts, place: Path) -> None:
        self.original = original_of(database.url, artifacts, place)
        self.directory = place / "copy"

    def make(self) -> Copied:
        return backup(self.original, self.directory)

    @contextmanager
    def restored(self) -> Iterator[DatasetHarness]:
        database = Database(f"sqlite:///{self.directory / 'jobs.sqlite3'}")
        yield DatasetHarness(database, self.directory)
        database.close()


def test_the_files_of_data_sets_are_part_of_a_backup(sets: DatasetHarness, copied: Copies) -> None:
    row = sets.ready("letters", "ada")
    sets.ready("same", "bob")
    assert row.sha256 is not None
    sets.files.data_layout(row.sha256)
    made = copied.make()
    assert (made.datasets, made.lost) == (1, [])
    assert made.bytes > row.disk_bytes, "the manifest is copied too"
    sets.store.delete("letters")
    sets.store.delete("same")
    sets.leftovers.sweep()
    shutil.rmtree(sets.files.directory)
    with copied.restored() as copy:
        assert copy.store.with_id(row.id) == row
        found = copy.files.open(row.sha256).train.images
        assert found.tolist() == arrays_of(1)["train.images"].tolist()
        copy.leftovers.sweep()
        assert copy.on_disk() == [f"sha256-{row.sha256}"]


def test_files_are_linked_where_that_is_possible(
    sets: DatasetHarness, copied: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = sets.ready("letters")
    copied.make()
    name = f"datasets/sha256-{row.sha256}/train.images.npy"
    linked = copied.directory / name
    original = sets.files.directory.parent / name
    assert linked.samefile(original)

    def no_links(*_: object) -> None:
        raise OSError(18, os.strerror(18))

    shutil.rmtree(copied.directory)
    monkeypatch.setattr(os, "link", no_links)
    copied.make()
    assert not linked.samefile(original)
    assert linked.read_bytes() == original.read_bytes()


def test_samples_that_are_being_collected_are_copied(sets: DatasetHarness, copied: Copies) -> None:
    samples = CollectedSamples(sets.connector, sets.uploads, DatasetQuota())
    rows = [samples.add(name, name.encode()) for name in ("open", "failed", "frozen", "gone")]
    for row in rows[1:]:
        samples.freeze(row.name, {}, {})
    attempt = sets.attempt()
    assert attempt.dataset == rows[1].id
    attempt.begin(HANDLE)
    attempt.fail("classes", "There is no such class.")
    sets.uploads.delete(rows[3].id)
    copied.make()
    with copied.restored() as copy:
        found = {row.name: (row.state, row.samples) for row in copy.store.sets()[1:]}
        assert found == {
            "open": ("collecting", 1),
            "failed": ("failed", 1),
            "frozen": ("queued", 1),
            "gone": ("failed", None),
        }
        for row in rows[:3]:
            assert copy.uploads.file(row.id, 0).read_bytes() == row.name.encode()


def test_what_waits_for_a_check_is_checked_in_the_copy(
    sets: DatasetHarness, copied: Copies
) -> None:
    rows = [sets.send("checking"), sets.send("queued")]
    sets.attempt()
    half = sets.store.receive("receiving", {}, 10)
    sets.uploads.create(half.id)
    copied.make()
    with copied.restored() as copy:
        states = {row.name: row.state for row in copy.store.sets()[1:]}
        assert states == {"checking": "queued", "queued": "queued", "receiving": "failed"}
        reason = copy.store.get("checking").reason
        assert reason is not None
        assert reason.code == "backup"
        for row in rows:
            assert copy.uploads.file(row.id, 0).read_bytes() == b"zip"
            copy.finish(copy.attempt())
            assert copy.store.with_id(row.id).state == "ready"
        copy.leftovers.collect_all()
        assert copy.on_disk() == [f"sha256-{copy.store.get('queued').sha256}"]
    assert sets.store.get("checking").state == "checking", "the original is as it was"


def test_a_data_set_without_files_is_listed_and_has_failed_in_the_copy(
    sets: DatasetHarness, copied: Copies
) -> None:
    row, other = sets.ready("letters"), sets.ready("other", seed=2)
    assert row.sha256 is not None
    shutil.rmtree(sets.files.folder(row.sha256))
    made = copied.make()
    assert (made.datasets, made.lost) == (1, [row.sha256])
    with copied.restored() as copy:
        reason = copy.store.get("letters").reason
        assert reason is not None
        assert reason.code == "files_missing"
        assert copy.store.describe("other").sha256 == other.sha256


def test_a_data_set_that_is_deleted_meanwhile_is_not_in_the_copy(
    sets: DatasetHarness, copied: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = sets.ready("letters")
    copies = []

    def overtaken(source: Engine, path: Path) -> None:
        copy_database(source, path)
        copies.append(path)
        if len(copies) == 1:
            sets.store.delete("letters")
            sets.leftovers.sweep()

    monkeypatch.setattr("service.store.backup.copy_database", overtaken)
    made = copied.make()
    assert (len(copies), made.datasets, made.lost) == (2, 0, [])
    with copied.restored() as copy:
        assert copy.store.sets()[1:] == []
        assert f"sha256-{row.sha256}" not in copy.on_disk()


def test_an_upload_that_is_checked_meanwhile_has_failed_in_the_copy(
    sets: DatasetHarness, copied: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets.send("letters")

    def overtaken(source: Engine, path: Path) -> None:
        copy_database(source, path)
        sets.finish(sets.attempt())
        sets.leftovers.sweep()

    monkeypatch.setattr("service.store.backup.copy_database", overtaken)
    copied.make()
    with copied.restored() as copy:
        reason = copy.store.get("letters").reason
        assert reason is not None
        assert (copy.store.get("letters").state, reason.code) == ("failed", "upload_interrupted")
    assert sets.store.get("letters").state == "ready"


def test_files_of_a_deleted_data_set_go_with_the_jobs_that_need_them(
    sets: DatasetHarness, copied: Copies, database: Database
) -> None:
    row = sets.ready("letters")
    submit(JobStore(database))
    query(database, "UPDATE jobs SET dataset_sha256 = :sha256", sha256=row.sha256)
    sets.store.delete("letters", force=True)
    assert copied.make().datasets == 1
    assert len(DatasetFiles(copied.directory / "datasets").open(str(row.sha256)).train) == 6
