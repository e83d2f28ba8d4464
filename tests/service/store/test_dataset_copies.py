"""A host's copies of shared data sets: bounded, in the order of use, and never while in use."""

import fcntl
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from service.domain.errors import DatasetDamaged, DatasetGone, StoreBroken
from service.store import dataset_copies as module
from service.store.dataset_files import DatasetFiles
from service.store.files.shared_folders import SharedFolders
from tests.support.server_process import eventually
from tests.support.stored_datasets import arrays_of, manifest_of, write_staged

USE = """
import sys, time
from pathlib import Path
from service.store.dataset_files import DatasetFiles
from service.store.files.shared_folders import SharedFolders

files = DatasetFiles(Path(sys.argv[1]), shared=SharedFolders(sys.argv[2], "datasets"))
files.open(sys.argv[3])
print("open", flush=True)
sys.stdin.read()
"""


class Sets:
    """Data sets that all hosts find, and a host with little room."""

    def __init__(self, place: Path) -> None:
        self.url = str(place / "shared")
        self.shared = SharedFolders(self.url, "datasets")
        origin = DatasetFiles(place / "origin", shared=self.shared)
        self.digests = []
        for seed in range(4):
            arrays = arrays_of(seed)
            manifest = manifest_of(arrays)
            staged = origin.stage(f"ds_{seed}", 1)
            write_staged(staged, arrays, manifest)
            origin.share(staged, manifest.sha256)
            self.digests.append(manifest.sha256)
            self.room = int(2.5 * sum(path.stat().st_size for path in staged.iterdir()))
        self.directory = place / "host"
        self.files = self.host()

    def host(self) -> DatasetFiles:
        """Return what another process of the host has."""
        return DatasetFiles(self.directory, shared=self.shared, most_bytes=self.room)

    def here(self) -> list[int]:
        """Return which sets have a copy on the host."""
        return [n for n, it in enumerate(self.digests) if self.files.folder(it).exists()]

    def age(self) -> None:
        """Let what was used last have been used long ago, in the same order."""
        folders = [self.files.folder(self.digests[number]) for number in self.here()]
        for age, folder in enumerate(sorted(folders, key=lambda it: it.stat().st_mtime)):
            os.utime(folder, (1000 + age, 1000 + age))

    def fetch(self, *numbers: int) -> None:
        for number in numbers:
            self.host().unpacked(self.digests[number])
            self.age()


@pytest.fixture
def sets(tmp_path: Path) -> Sets:
    return Sets(tmp_path)


def test_the_copy_that_was_used_least_recently_makes_room(sets: Sets) -> None:
    sets.fetch(0, 1)
    assert sets.here() == [0, 1]
    files = sets.host()
    files.open(sets.digests[0])
    del files
    sets.fetch(2)
    assert sets.here() == [0, 2]
    found = sets.host().open(sets.digests[1])
    assert np.array_equal(found.train.images, arrays_of(1)["train.images"]), "it is fetched again"
    assert list(sets.directory.glob(f"{module.DELETED}*")) == []


def test_a_copy_that_another_process_uses_stays_until_it_ends(sets: Sets) -> None:
    sets.fetch(0, 1)
    command = [sys.executable, "-c", USE, str(sets.directory), sets.url, sets.digests[0]]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"open\n"
    os.utime(sets.files.folder(sets.digests[0]), (1, 1))  # the oldest of all
    sets.fetch(2)
    assert sets.here() == [0, 2]
    process.communicate(b"")
    os.utime(sets.files.folder(sets.digests[0]), (1, 1))
    sets.fetch(3)
    assert sets.here() == [2, 3]


def test_a_copy_that_a_check_reads_makes_no_room(sets: Sets) -> None:
    sets.fetch(0, 1)
    checker = sets.host()
    folder = checker.held(sets.digests[0])
    os.utime(folder, (1, 1))  # the oldest of all
    sets.fetch(2)
    assert sets.here() == [0, 2]


def test_a_copy_whose_original_is_gone_stays(sets: Sets) -> None:
    sets.fetch(0, 1)
    sets.shared.delete(sets.files.folder(sets.digests[0]).name)
    sets.fetch(2)
    assert sets.here() == [0, 2]


def test_a_bucket_that_is_away_makes_no_room_and_fails_nothing(
    sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets.fetch(0, 1)

    def away(*_: object) -> bool:
        raise StoreBroken("the bucket is away")

    monkeypatch.setattr(SharedFolders, "holds", away)
    sets.fetch(2)
    assert sets.here() == [0, 1, 2]


def test_a_process_lets_go_what_it_has_not_used_for_long(
    sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = sets.host()
    server.open(sets.digests[0])
    sets.fetch(1)
    monkeypatch.setattr(module, "HOLD_SECONDS", -1.0)
    server.open(sets.digests[1])
    sets.fetch(2)
    assert len(sets.here()) == 2
    monkeypatch.undo()
    first = server.open(sets.digests[0])
    assert np.array_equal(first.test.labels, arrays_of(0)["test.labels"])


def test_a_set_that_is_opened_while_its_copy_is_deleted_is_fetched_again(sets: Sets) -> None:
    sets.fetch(0)
    real, deleted = fcntl.flock, list[int]()

    def flock(descriptor: int, operation: int) -> None:
        if not deleted:  # just before the lock is taken
            deleted.append(1)
            sets.files.delete(sets.digests[0])
        real(descriptor, operation)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcntl, "flock", flock)
        found = sets.host().open(sets.digests[0])
    assert deleted
    assert np.array_equal(found.train.labels, arrays_of(0)["train.labels"])


def test_what_is_nowhere_is_gone(sets: Sets) -> None:
    with pytest.raises(DatasetGone):
        sets.files.open("0" * 64)


def test_hosts_alone_hold_no_locks(tmp_path: Path) -> None:
    arrays = arrays_of(1)
    manifest = manifest_of(arrays)
    files = DatasetFiles(tmp_path / "alone", most_bytes=0)
    staged = files.stage("ds_1", 1)
    write_staged(staged, arrays, manifest)
    files.add(staged, manifest.sha256)
    files.open(manifest.sha256)
    files.open(manifest.sha256)
    assert eventually(lambda: files.is_whole(manifest.sha256), "the set to stay", 1)


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_copy_is_fetched_again_and_fails_nothing(sets: Sets, damage: str) -> None:
    """Other hosts have intact copies, and the original is whole."""
    told: list[str] = []

    def tell(sha256: str, *_: object) -> bool:
        told.append(sha256)
        return True

    digest = sets.digests[0]
    sets.fetch(0)
    array = sets.files.folder(digest) / "train.images.npy"
    array.chmod(0o600)
    if damage == "gone":
        array.unlink()
    else:
        array.write_bytes(array.read_bytes()[:-1])
    files = DatasetFiles(sets.directory, tell, shared=sets.shared, most_bytes=sets.room)
    assert np.array_equal(files.open(digest).train.images, arrays_of(0)["train.images"])
    assert told == []


def test_of_a_data_set_that_has_no_original_its_rows_are_told(sets: Sets) -> None:
    told: list[str] = []

    def tell(sha256: str, *_: object) -> bool:
        told.append(sha256)
        return True

    sets.shared.delete(sets.files.folder(sets.digests[0]).name)
    files = DatasetFiles(sets.directory, tell, shared=sets.shared)
    with pytest.raises(DatasetDamaged):
        files.open(sets.digests[0])
    assert told == [sets.digests[0]]


def test_many_threads_fetch_a_data_set_once(sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch, fetched = sets.shared.fetch, []

    def note(name: str, folder: Path, last: str) -> bool:
        fetched.append(name)
        return fetch(name, folder, last)

    monkeypatch.setattr(sets.shared, "fetch", note)
    files = sets.host()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(files.open, [sets.digests[0]] * 8))
    assert len(fetched) == 1
