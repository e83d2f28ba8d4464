"""Stored data sets are read again once a week; what is damaged is marked, told and repaired."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from service.domain.dataset_quota import DatasetQuota
from service.domain.errors import DamagedNotReady, DatasetDamaged, StoreBroken
from service.store.damaged_datasets import DamagedDatasets
from service.store.data_layouts import DIGEST
from service.store.dataset_digests import (
    VERIFIED,
    forget_verified,
    is_due,
    is_intact,
    mark_damaged,
)
from service.store.dataset_files import DatasetFiles
from service.store.shipped_mnist import MANIFEST
from service.store.sql.database import Database
from service.work import verification
from service.work.verification import EVERY, Verification
from tests.support.stored_datasets import DatasetHarness, arrays_of, manifest_of, write_staged


@pytest.fixture
def sets(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DatasetHarness:
    """Return small data sets only, without the shipped one."""
    monkeypatch.setattr(verification, "SHIPPED", {})
    return DatasetHarness(database, tmp_path)


def verification_of(sets: DatasetHarness) -> Verification:
    return Verification(sets.files, DamagedDatasets(sets.connector), lambda _: None)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1])


def reshape(path: Path) -> None:
    array = np.load(path)
    path.chmod(0o600)
    np.save(path, array.reshape(-1))


@pytest.mark.parametrize("damage", [flip_a_bit, cut, reshape, Path.unlink])
@pytest.mark.parametrize("file", ["train.images.npy", "test.images.npy"])
def test_damaged_files_fail_their_data_sets_and_the_same_content_repairs_them(
    sets: DatasetHarness, damage: Callable[[Path], None], file: str
) -> None:
    first = sets.ready("first", "ann")
    second = sets.ready("second", "bob")
    sound = sets.ready("sound", "ann", seed=2)
    assert first.sha256 == second.sha256
    damage(sets.files.folder(first.sha256 or "") / file)
    with capture_logs() as logs:
        verification_of(sets).step()
    [line] = [it for it in logs if it["event"] == "dataset_damaged"]
    assert (line["sha256"], line["datasets"]) == (first.sha256, ["first", "second"])
    for name in ("first", "second"):
        found = sets.store.get(name)
        assert found.reason is not None
        assert (found.state, found.reason.code) == ("failed", "files_damaged")
        [error] = (sets.store.report(name) or {})["errors"]
        assert error["code"] == "files_damaged"
        with pytest.raises(DamagedNotReady, match=r"can't be used\. Its files have changed"):
            sets.store.describe(name)
    assert sets.store.get("sound") == sound
    assert DamagedDatasets(sets.connector).count() == 2
    with pytest.raises(DatasetDamaged, match="Upload the same content again"):
        DatasetFiles(sets.files.directory).open(first.sha256 or "")

    again = sets.ready("first", "ann")
    assert (again.state, again.sha256) == ("ready", first.sha256)
    sets.leftovers.sweep()
    repaired = sets.store.get("second")
    assert (repaired.state, repaired.reason, repaired.id) == ("ready", None, second.id)
    assert "errors" not in (sets.store.report("second") or {})
    assert sets.files.open(first.sha256 or "").train.images.shape == (6, 6)
    assert DamagedDatasets(sets.connector).count() == 0
    verification_of(sets).step()
    assert sets.store.get("second").state == "ready"


def test_a_folder_that_a_check_replaces_after_the_look_is_not_marked(
    sets: DatasetHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = sets.ready("letters")
    sha256, folder = found.sha256 or "", sets.files.folder(found.sha256 or "")
    flip_a_bit(folder / "test.images.npy")
    look, looks = is_intact, []

    def look_and_replace(*about: Any) -> bool:
        looks.append(look(*about))
        if len(looks) == 2:  # the damage is certain, and nothing is marked yet
            staged = sets.files.stage("ds_other", 1)
            write_staged(staged, arrays_of(1), manifest_of(arrays_of(1)))
            sets.files.hide(sha256)
            sets.files.add(staged, sha256)
        return looks[-1]

    monkeypatch.setattr(verification, "is_intact", look_and_replace)
    with capture_logs() as logs:
        verification_of(sets).step()
    assert (looks, logs) == ([False, False], [])
    assert sets.store.get("letters").state == "ready"
    assert sets.files.is_whole(sha256)
    verification_of(sets).step()
    assert looks == [False, False, True], "the new folder is read by the next step"
    assert not is_due(folder, EVERY)


def test_a_mark_that_no_row_knows_of_is_found(sets: DatasetHarness) -> None:
    """A process may have died between the mark and the commit."""
    found = sets.ready("letters")
    mark_damaged(sets.files.folder(found.sha256 or ""))
    verification_of(sets).step()
    assert sets.store.get("letters").state == "failed"


def test_uploads_that_fail_later_do_not_drive_out_a_damaged_data_set(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "SHIPPED", {})
    sets = DatasetHarness(database, tmp_path, DatasetQuota(sets=1))
    found = sets.ready("letters")
    flip_a_bit(sets.files.folder(found.sha256 or "") / "test.images.npy")
    verification_of(sets).step()
    for name in ("one", "two", "three"):
        sets.send(name)
        sets.attempt().fail("unusable", "This is a web page.")
    assert {it.name for it in sets.store.sets()} == {"mnist", "letters", "two", "three"}


def test_what_was_right_is_not_read_again_for_a_week_also_by_the_next_server(
    sets: DatasetHarness,
) -> None:
    found = sets.ready("letters")
    verification_of(sets).step()
    flip_a_bit(sets.files.folder(found.sha256 or "") / "test.images.npy")
    verification_of(sets).step()
    assert sets.store.get("letters").state == "ready"
    eight_days_ago = datetime.now(UTC) - timedelta(days=8)
    note = sets.files.folder(found.sha256 or "") / VERIFIED
    note.write_text(json.dumps({"at": eight_days_ago.isoformat()}))
    verification_of(sets).step()
    assert sets.store.get("letters").state == "failed"


@pytest.mark.parametrize(
    ("text", "due"),
    [
        (None, True),
        ("{", True),
        ("[]", True),
        ('{"at": "yesterday"}', True),
        (6, False),
        (8, True),
        (-1, True),
    ],
)
def test_a_time_counts_only_if_it_lies_within_the_last_week(
    tmp_path: Path, text: str | int | None, due: bool
) -> None:
    if isinstance(text, int):
        text = json.dumps({"at": (datetime.now(UTC) - timedelta(days=text)).isoformat()})
    if text is not None:
        (tmp_path / VERIFIED).write_text(text)
    assert is_due(tmp_path, EVERY) is due


def test_a_data_set_of_the_service_is_unpacked_again(tmp_path: Path, database: Database) -> None:
    sets = DatasetHarness(database, tmp_path)
    sets.files.open(MANIFEST.sha256)
    labels = sets.files.folder(MANIFEST.sha256) / "test.labels.npy"
    sound = labels.read_bytes()
    flip_a_bit(labels)
    layout = sets.files.folder(MANIFEST.sha256) / "arranged-1-64"
    layout.mkdir()
    (layout / "train.npy").write_bytes(b"made of the damaged labels")
    with capture_logs() as logs:
        verification_of(sets).step()
    assert labels.read_bytes() == sound
    assert [it["event"] for it in logs] == ["dataset_restored"]
    assert not layout.exists()
    assert int(sets.files.open(MANIFEST.sha256).test.labels[0]) == 7


def test_damage_of_a_data_set_of_the_service_that_a_read_meets_is_repaired_by_the_next_step(
    tmp_path: Path, database: Database
) -> None:
    sets = DatasetHarness(database, tmp_path)
    sets.files.open(MANIFEST.sha256)
    verification_of(sets).step()
    labels = sets.files.folder(MANIFEST.sha256) / "test.labels.npy"
    cut(labels)
    with pytest.raises(StoreBroken, match="mnist"):
        sets.files.open(MANIFEST.sha256)
    verification_of(sets).step()
    assert len(sets.files.open(MANIFEST.sha256).test.labels) == 10_000


@pytest.mark.parametrize("damage", [flip_a_bit, Path.unlink])
@pytest.mark.parametrize("name", ["images", "train.pixels", "test.labels"])
def test_a_damaged_layout_is_dropped_and_made_again_from_the_data_set(
    sets: DatasetHarness, damage: Callable[[Path], None], name: str
) -> None:
    sha256 = sets.ready("letters").sha256 or ""
    expected = {key: it.copy() for key, it in sets.files.data_layout(sha256).arrays().items()}
    [file] = sets.files.folder(sha256).glob(f"*/{name}.npy")
    damage(file)
    with capture_logs() as logs:
        verification_of(sets).step()
    [line] = logs
    told = line["event"], line["sha256"], line["layout"]
    assert told == ("data_layout_damaged", sha256, file.parent.name)
    assert sets.store.get("letters").state == "ready"
    for key, array in sets.files.data_layout(sha256).arrays().items():
        assert np.array_equal(array, expected[key])
    forget_verified(sets.files.folder(sha256))
    with capture_logs() as logs:
        verification_of(sets).step()
    assert logs == [], "the new one has its digest"


def test_a_sound_layout_is_kept(sets: DatasetHarness) -> None:
    sha256 = sets.ready("letters").sha256 or ""
    sets.files.data_layout(sha256)
    files = [*sets.files.folder(sha256).glob("arranged-*/*")]
    made = {file: file.stat().st_ino for file in files}
    verification_of(sets).step()
    sets.files.data_layout(sha256)
    assert len(made) > 12
    assert {file: file.stat().st_ino for file in files} == made


def test_a_layout_that_an_earlier_version_made_without_a_digest_is_made_again(
    sets: DatasetHarness,
) -> None:
    sha256 = sets.ready("letters").sha256 or ""
    expected = sets.files.data_layout(sha256).images.copy()
    [file] = sets.files.folder(sha256).glob("*/images.npy")
    flip_a_bit(file)
    (file.parent / DIGEST).unlink()
    assert np.array_equal(sets.files.data_layout(sha256).images, expected)
    assert (file.parent / DIGEST).exists()


def test_a_data_set_of_the_service_that_nothing_has_needed_is_left_alone(
    tmp_path: Path, database: Database
) -> None:
    sets = DatasetHarness(database, tmp_path)
    with capture_logs() as logs:
        verification_of(sets).step()
    assert logs == []
    assert not sets.files.folder(MANIFEST.sha256).exists()


def test_a_result_that_can_not_be_remembered_keeps_no_others_from_being_verified(
    sets: DatasetHarness,
) -> None:
    ready = [sets.ready(f"letters-{seed}", seed=seed) for seed in (1, 2)]
    folders = sorted(sets.files.folder(it.sha256 or "") for it in ready)
    (folders[0] / VERIFIED).mkdir()  # no file can replace it
    with capture_logs() as logs:
        verification_of(sets).step()
    assert [it["event"] for it in logs] == ["dataset_not_verified"]
    assert [is_due(folder, EVERY) for folder in folders] == [True, False]
    assert {sets.store.get(it.name).state for it in ready} == {"ready"}


def test_a_disk_that_can_not_be_read_damages_nothing(
    sets: DatasetHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets.ready("letters")

    def broken(*_: object) -> bool:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(verification, "is_intact", broken)
    with capture_logs() as logs:
        verification_of(sets).step()
    assert {it["event"] for it in logs} == {"dataset_not_verified"}
    assert sets.store.get("letters").state == "ready"


def test_the_thread_ends_in_the_middle_of_a_data_set(
    sets: DatasetHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets.ready("letters")
    monkeypatch.setattr(verification, "LOOK_SECONDS", 0.01)
    damaged = DamagedDatasets(sets.connector)
    thread = Verification(sets.files, damaged, lambda _: thread.stop())
    thread.start()
    thread.join()
    assert list(sets.files.directory.glob(f"sha256-*/{VERIFIED}")) == []
