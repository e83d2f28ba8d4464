"""Damage that a reader meets fails the data sets at once, and the same content repairs them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from service.domain.errors import DamagedNotReady, DatasetDamaged, DatasetExists, DatasetGone
from service.store.dataset_files import DatasetFiles
from service.store.dataset_marks import is_marked
from service.store.sql.database import Database
from service.store.stored_dataset import StoredDataset
from tests.support.stored_datasets import DatasetHarness


@pytest.fixture
def sets(database: Database, tmp_path: Path) -> DatasetHarness:
    return DatasetHarness(database, tmp_path)


def without(file: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).unlink()


def with_content(file: str, content: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / file).chmod(0o600)
        (folder / file).write_bytes(content)

    return write


def label_beyond_the_classes(folder: Path) -> None:
    path = folder / "train.labels.npy"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


def folder_itself(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


DAMAGES = {
    "no images": without("test.images.npy"),
    "no manifest": without("manifest.json"),
    "empty manifest": with_content("manifest.json", b""),
    "manifest of nothing": with_content("manifest.json", b"null"),
    "manifest that is a list": with_content("manifest.json", b"[1]"),
    "manifest that is no text": with_content("manifest.json", b"\xff\xfe"),
    "empty labels": with_content("test.labels.npy", b""),
    "a label beyond the classes": label_beyond_the_classes,
    "no folder": folder_itself,
}
ALL = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)


def harm(sets: DatasetHarness, found: StoredDataset, damage: Callable[[Path], None]) -> str:
    sha256 = found.sha256 or ""
    damage(sets.files.folder(sha256))
    return sha256


def state_of(sets: DatasetHarness, name: str) -> tuple[str, str]:
    found = sets.store.get(name)
    return found.state, found.reason.code if found.reason else ""


@ALL
@pytest.mark.parametrize("mapped", [False, True], ids=["new process", "mapped before"])
def test_the_first_reader_fails_all_data_sets_with_the_content(
    sets: DatasetHarness, damage: Callable[[Path], None], mapped: bool
) -> None:
    found = sets.ready("first", "ann")
    sets.ready("second", "bob")
    sets.ready("sound", "ann", seed=2)
    if mapped:
        sets.files.open(found.sha256 or "")
    sha256 = harm(sets, found, damage)
    for _ in range(2):
        with pytest.raises(DatasetDamaged, match="Upload the same content again"):
            sets.files.open(sha256)
    for name in ("first", "second"):
        assert state_of(sets, name) == ("failed", "files_damaged")
        with pytest.raises(DamagedNotReady, match="Send the same files again"):
            sets.store.describe(name)
    assert state_of(sets, "sound") == ("ready", "")

    again = sets.ready("first", "ann")
    assert (again.state, again.sha256) == ("ready", sha256)
    assert state_of(sets, "second") == ("ready", "")
    assert sets.files.open(sha256).train.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert sets.files.manifest(sha256).rows == {"train": 6, "test": 3}


@ALL
def test_a_repeated_upload_is_a_new_one_if_the_files_are_not_whole_although_nobody_has_looked(
    sets: DatasetHarness, damage: Callable[[Path], None]
) -> None:
    found = sets.ready("first")
    sets.ready("second", "bob")
    with pytest.raises(DatasetExists):
        sets.store.receive("first", {}, 3)
    sha256 = harm(sets, found, damage)
    again = sets.ready("first")
    assert (again.state, again.sha256) == ("ready", sha256)
    assert again.id != found.id
    assert state_of(sets, "second") == ("ready", "")
    assert sets.files.is_whole(sha256)


def test_the_same_content_under_another_name_repairs_what_nobody_has_looked_at(
    sets: DatasetHarness,
) -> None:
    sha256 = harm(sets, sets.ready("first"), with_content("manifest.json", b""))
    sets.ready("second")
    assert sets.files.open(sha256).classes == 3
    assert state_of(sets, "first") == ("ready", "")


def test_what_a_check_has_repaired_since_the_first_look_is_read(sets: DatasetHarness) -> None:
    """Another process finishes a check between the look and the lock."""
    sha256 = harm(sets, sets.ready("first"), without("manifest.json"))

    def late(sha256: str, folder: Path, is_damaged: Callable[[], bool]) -> bool:
        sets.ready("second")
        return sets.damaged.confirm(sha256, folder, is_damaged)

    files = DatasetFiles(sets.files.directory, late)
    assert files.open(sha256).classes == 3
    assert state_of(sets, "first") == ("ready", "")


def test_nothing_is_marked_if_a_check_has_put_whole_files_there_before_the_lock(
    sets: DatasetHarness,
) -> None:
    sha256 = harm(sets, sets.ready("first"), without("manifest.json"))
    sets.ready("second")
    folder = sets.files.folder(sha256)
    assert sets.damaged.fail(sha256, folder, lambda: not sets.files.is_whole(sha256)) == []
    assert state_of(sets, "first") == state_of(sets, "second") == ("ready", "")
    assert not is_marked(folder)


def test_a_digest_that_no_data_set_has_is_gone_and_not_damaged(sets: DatasetHarness) -> None:
    found = sets.ready("first")
    sets.store.delete("first")
    sets.leftovers.sweep()
    for use in (sets.files.open, sets.files.manifest, sets.files.data_layout):
        with pytest.raises(DatasetGone, match="has been deleted") as caught:
            use(found.sha256 or "")
        assert not isinstance(caught.value, DatasetDamaged)


def test_labels_of_a_validation_set_are_looked_at_too(sets: DatasetHarness) -> None:
    found = sets.ready("first")
    folder = sets.files.folder(found.sha256 or "")
    record = json.loads((folder / "manifest.json").read_bytes())
    record["class_counts"]["validation"] = [1, 1, 0]
    with_content("manifest.json", json.dumps(record).encode())(folder)
    np.save(folder / "validation.images.npy", np.zeros((2, 6), np.uint8))
    np.save(folder / "validation.labels.npy", np.array([0, 1], np.uint8))
    assert sets.files.split(found.sha256 or "", "validation").labels.tolist() == [0, 1]
    np.save(folder / "validation.labels.npy", np.array([0, 3], np.uint8))
    with pytest.raises(DatasetDamaged):
        sets.files.split(found.sha256 or "", "validation")


def test_files_that_nobody_has_touched_stay_mapped(sets: DatasetHarness) -> None:
    sha256 = sets.ready("first").sha256 or ""
    assert sets.files.open(sha256) is sets.files.open(sha256)
