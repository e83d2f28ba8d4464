"""Checks of data sets: claimed once, guarded by the attempt, and safe against death at any line."""

import os
import shutil
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from threading import get_ident
from typing import Any

import pytest

from service.domain.dataset_manifest import Manifest
from service.domain.errors import DatasetDamaged, Replaced, StoreBroken
from service.store.check_attempts import CheckAttempt, SentFile
from service.store.dataset_files import DatasetFiles
from service.store.sql.database import Database
from service.store.sql.transaction import Transaction
from service.work.dataset_leftovers import DatasetLeftovers
from tests.support.stored_datasets import (
    HANDLE,
    REPORT,
    DatasetHarness,
    arrays_of,
    manifest_of,
    write_staged,
)


@pytest.fixture
def sets(database: Database, tmp_path: Path) -> DatasetHarness:
    return DatasetHarness(database, tmp_path)


def staged(attempt: CheckAttempt, seed: int = 1) -> tuple[Path, Manifest]:
    """Write the files of a data set to where an attempt builds it."""
    folder, arrays = attempt.stage(), arrays_of(seed)
    manifest = manifest_of(arrays)
    write_staged(folder, arrays, manifest)
    return folder, manifest


# --- The queue ---


def test_data_sets_are_checked_in_their_order(sets: DatasetHarness) -> None:
    first, second = sets.send("first"), sets.send("second")
    assert sets.attempt().dataset == first.id
    assert sets.queue.claim([second.id]) is None
    assert sets.attempt().dataset == second.id
    assert sets.queue.claim() is None


def test_a_checker_is_told_what_to_read_and_is_found_by_its_handle(sets: DatasetHarness) -> None:
    row = sets.send("letters", data=b"all of it")
    attempt = sets.attempt()
    [waiting] = sets.queue.active()
    assert (waiting.job, waiting.attempt, waiting.handle) == (row.id, 1, None)
    task = attempt.begin(HANDLE)
    assert task.options == {"label": "parent"}
    assert task.files == [SentFile(sets.uploads.file(row.id, 0), "letters.zip")]
    assert task.files[0].path.read_bytes() == b"all of it"
    attempt.heartbeat({"rows": 7})
    [active] = sets.queue.active()
    assert (active.state, active.heartbeat, active.handle) == ("running", 2, HANDLE)
    assert sets.store.get("letters").progress == {"rows": 7}
    sets.finish(attempt)
    assert sets.queue.active() == []
    assert sets.store.get("letters").progress is None


def test_a_data_set_whose_checker_is_lost_is_checked_again(sets: DatasetHarness) -> None:
    row = sets.send("letters")
    first = sets.attempt()
    first.begin(HANDLE)
    assert sets.queue.lose(row.id, 1, "It died.") == ("queued", 1, True)
    again = sets.store.get("letters")
    assert again.reason is not None
    assert (again.reason.code, again.reason.message) == ("checker_lost", "It died.")
    second = sets.attempt()
    assert second.number == 2
    for act in replaced_calls(first):
        with pytest.raises(Replaced, match=f"Attempt 1 of data set {row.id} is over"):
            act()
    assert sets.queue.lose(row.id, 1, "late") is None
    sets.finish(second)
    ready = sets.store.get("letters")
    assert (ready.state, ready.reason, ready.lost_workers) == ("ready", None, 0)


def replaced_calls(attempt: CheckAttempt) -> list[Callable[[], Any]]:
    folder, manifest = staged(attempt)
    return [
        lambda: attempt.begin(HANDLE),
        lambda: attempt.heartbeat({}),
        lambda: attempt.fail("unusable", "no"),
        lambda: attempt.finish(folder, manifest, REPORT, {}),
    ]


def test_five_lost_checkers_in_a_row_fail_a_data_set(sets: DatasetHarness) -> None:
    row = sets.send("letters")
    for lost in range(1, 6):
        attempt = sets.attempt()
        attempt.begin(HANDLE)
        attempt.stage()
        found = sets.queue.lose(row.id, attempt.number, "It died.")
        assert found == (("failed" if lost == 5 else "queued"), lost, True)
    failed = sets.store.get("letters")
    assert failed.reason is not None
    assert (failed.state, failed.reason.code, failed.finished_at is None) == (
        "failed",
        "checker_lost",
        False,
    )
    sets.leftovers.sweep()
    assert sets.on_disk() == []


def test_a_checker_that_could_not_work_is_not_counted(sets: DatasetHarness) -> None:
    row = sets.send("letters")
    for _ in range(6):
        attempt = sets.attempt()
        found = sets.queue.lose(row.id, attempt.number, "full", code="no_worker", counts=False)
        assert found == ("queued", 0, False)


def test_a_checker_whose_data_set_was_deleted_is_replaced(sets: DatasetHarness) -> None:
    sets.send("letters")
    attempt = sets.attempt()
    sets.store.delete("letters")
    for act in replaced_calls(attempt):
        with pytest.raises(Replaced):
            act()
    sets.leftovers.sweep()
    assert sets.on_disk() == []


# --- Files ---


def test_a_finished_folder_is_read_only_and_whole(sets: DatasetHarness) -> None:
    row = sets.ready("letters")
    assert row.sha256 is not None
    folder = sets.files.folder(row.sha256)
    names = {path.name for path in folder.iterdir()}
    assert names == {f"{name}.npy" for name in arrays_of(1)} | {"manifest.json"}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o444}
    assert sets.files.manifest(row.sha256).as_record() == manifest_of(arrays_of(1)).as_record()


def test_the_same_content_stays_where_it_is(sets: DatasetHarness) -> None:
    row = sets.ready("letters")
    assert row.sha256 is not None
    before = (sets.files.folder(row.sha256) / "train.images.npy").stat().st_ino
    sets.ready("again")
    after = (sets.files.folder(row.sha256) / "train.images.npy").stat().st_ino
    assert before == after
    assert sets.files.staged(row.id) == {}


def test_a_damaged_folder_is_replaced_by_an_upload_of_the_same_content(
    sets: DatasetHarness,
) -> None:
    row = sets.ready("letters")
    assert row.sha256 is not None
    path = sets.files.folder(row.sha256) / "train.images.npy"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DatasetDamaged, match="with the digest"):
        DatasetFiles(sets.files.directory).open(row.sha256)
    sets.ready("again")
    assert len(DatasetFiles(sets.files.directory).open(row.sha256).train) == 6
    sets.leftovers.collect_all()
    assert [name for name in sets.on_disk() if not name.startswith("ds_")] == [
        f"sha256-{row.sha256}"
    ]


def test_finishing_can_be_repeated_after_a_commit_that_seemed_to_fail(
    sets: DatasetHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = sets.send("letters")
    attempt = sets.attempt()
    folder, manifest = staged(attempt)
    add = sets.files.add

    def added_but_not_committed(staged: Path, sha256: str) -> int:
        add(staged, sha256)
        raise StoreBroken("the disk is full")

    monkeypatch.setattr(sets.files, "add", added_but_not_committed)
    with pytest.raises(StoreBroken):
        attempt.finish(folder, manifest, REPORT, {})
    monkeypatch.undo()
    assert sets.store.with_id(row.id).state == "checking"
    attempt.finish(folder, manifest, REPORT, {})
    assert len(sets.store.open("letters").train) == 6


def test_files_that_another_version_has_named_otherwise_go(sets: DatasetHarness) -> None:
    row = sets.send("letters")
    first = sets.attempt()
    folder, old = staged(first, seed=1)
    sets.files.add(folder, old.sha256)
    with sets.connector.write() as transaction:
        statement = "UPDATE datasets SET sha256 = :sha256"
        transaction.execute(statement, sha256=old.sha256)
    sets.queue.lose(row.id, 1, "It died.")
    new = sets.finish(sets.attempt(), seed=2)
    sets.leftovers.sweep()
    assert sets.on_disk() == [f"sha256-{new.sha256}"]


def test_nothing_of_another_database_is_deleted(sets: DatasetHarness) -> None:
    sets.ready("letters")
    foreign = [sets.files.directory / f"sha256-{'9' * 64}", sets.files.stage("ds_foreign", 1)]
    foreign += [sets.uploads.create("ds_foreign")]
    foreign[0].mkdir()
    sets.store.delete("letters")
    sets.leftovers.collect_all()
    assert [path.exists() for path in foreign] == [True, True, True]
    assert len(sets.on_disk()) == 3


# --- Death at any line ---


class Killed(BaseException):
    """The process ends here: nothing that follows is done."""


class Steps:
    """Counts this thread's steps that change files or the database; something happens before one.

    The functions are watched for the whole process, in which servers of other tests may still have
    threads of their own. Their steps are neither counted nor disturbed.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch, self._thread = monkeypatch, get_ident()
        self._count, self._at = 0, -1
        self._act: Callable[[], object] = lambda: None
        files = ((Path, "rename"), (Path, "mkdir"), (Path, "chmod"), (os, "fsync"))
        statements = ((Transaction, "execute"), (Transaction, "rows"))
        for owner, name in (*files, (shutil, "rmtree"), *statements):
            self._watch(owner, name)

    def _watch(self, owner: Any, name: str) -> None:
        call = getattr(owner, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            self._step()
            result = call(*arguments, **options)
            self._step()
            return result

        self._patch.setattr(owner, name, counted)

    def _step(self) -> None:
        if get_ident() != self._thread:
            return
        self._count += 1
        if self._count == self._at:
            self._at = -1
            self._act()

    def at(self, number: int, act: Callable[[], object], during: Callable[[], object]) -> bool:
        """Call `act` before the step of a number; return whether there are so many `during` it."""
        self._count, self._at, self._act = 0, number, act
        with suppress(Killed):
            during()
        happened, self._at = self._at == -1, -1
        return happened


def die() -> None:
    raise Killed


def consistent(sets: DatasetHarness) -> None:
    """Check what must be true of rows and files after all leftovers have been deleted."""
    fresh = DatasetFiles(sets.files.directory)
    DatasetLeftovers(sets.queue, fresh, sets.uploads, sets.logs).collect_all()
    wanted, allowed = set(), set()
    for row in sets.store.sets()[1:]:
        if row.state == "ready":
            assert row.sha256 is not None
            assert len(fresh.open(row.sha256).train) == 6
            wanted.add(f"sha256-{row.sha256}")
        elif row.state == "queued":
            wanted.add(row.id)
            allowed.add(f"sha256-{row.sha256}")  # the next attempt makes the same
    assert wanted <= set(sets.on_disk()) <= wanted | allowed
    assert sets.queue.leftovers() == ([], [])


@pytest.mark.parametrize("twin", [False, True])
def test_a_checker_may_die_at_any_step(
    sets: DatasetHarness, monkeypatch: pytest.MonkeyPatch, twin: bool
) -> None:
    steps, number, died = Steps(monkeypatch), 0, True
    if twin:
        sets.ready("twin")
    while died:
        number += 1
        row = sets.send("letters")
        attempt = sets.attempt()
        died = steps.at(number, die, partial(sets.finish, attempt))
        if sets.store.with_id(row.id).state == "checking":
            sets.queue.lose(row.id, attempt.number, "It died.")
            sets.leftovers.collect(row.id)  # as the dispatcher does
            consistent(sets)
            sets.finish(sets.attempt())
        assert sets.store.get("letters").state == "ready"
        consistent(sets)
        sets.store.delete("letters")
        consistent(sets)
    assert number > 30


def test_a_data_set_that_loses_all_checkers_leaves_nothing(
    sets: DatasetHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, number, died = Steps(monkeypatch), 0, True
    while died:
        number += 6
        row = sets.send("letters")
        while sets.store.with_id(row.id).state == "queued":
            attempt = sets.attempt()
            died = steps.at(number, die, partial(sets.finish, attempt))
            sets.queue.lose(row.id, attempt.number, "It died.")
        consistent(sets)
        sets.store.delete("letters")
        consistent(sets)
    assert number > 30


@pytest.mark.parametrize("twin", [False, True])
def test_a_deletion_and_its_sweep_may_die_at_any_step(
    sets: DatasetHarness, monkeypatch: pytest.MonkeyPatch, twin: bool
) -> None:
    def delete() -> None:
        sets.store.delete("letters")
        sets.leftovers.sweep()

    steps, number, died = Steps(monkeypatch), 0, True
    if twin:
        sets.ready("twin")
    while died:
        number += 2
        sets.ready("letters")
        died = steps.at(number, die, delete)
        consistent(sets)
        if sets.store.sets()[-1].name == "letters":
            sets.store.delete("letters")
            consistent(sets)
    assert number > 10


def test_a_sweep_may_meet_an_upload_of_the_same_content_at_any_step(
    sets: DatasetHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str
) -> None:
    """Files of the same content are to be deleted; inside a transaction the sweep can't begin."""
    steps, number, met = Steps(monkeypatch), 0, True
    with closing(Database(database_url, patience=0)) as other:
        sweeper = DatasetHarness(other, tmp_path)
        refused = 0

        def sweep() -> None:
            nonlocal refused
            try:
                sweeper.leftovers.sweep()
            except StoreBroken:
                refused += 1

        while met:
            number += 3
            sets.ready("old")
            sets.store.delete("old")
            sets.send("new")
            met = steps.at(number, sweep, partial(sets.finish, sets.attempt()))
            consistent(sets)
            sets.store.delete("new")
            consistent(sets)
    assert 3 < refused < number / 3 - 3
