"""Data sets by name: the shipped one and uploaded ones, their owners, quotas and turns."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.domain.dataset_quota import DatasetQuota
from service.domain.errors import (
    DatasetExists,
    DatasetNotFound,
    DatasetNotReady,
    DatasetShipped,
    QuotaExceeded,
)
from service.store.datasets import DatasetStore
from service.store.sql.database import Database
from service.store.stored_dataset import MNIST
from tests.support.stored_datasets import HANDLE, REPORT, DatasetHarness, arrays_of


@pytest.fixture
def sets(database: Database, tmp_path: Path) -> DatasetHarness:
    return DatasetHarness(database, tmp_path)


# --- Made of another one ---


def test_a_set_of_another_one_is_queued_at_once_and_is_not_interrupted(
    sets: DatasetHarness,
) -> None:
    sets.ready("letters")
    source = sets.store.describe("letters")
    made = sets.store.derive("few", source, {"from": {}}, "6" * 64, license="CC0")
    assert (made.state, made.license, made.upload_bytes) == ("queued", "CC0", 0)
    assert sets.queue.interrupt() == []
    assert sets.store.repeated("few", "6" * 64).id == made.id
    with pytest.raises(DatasetExists):
        sets.store.derive("few", source, {"from": {}}, "6" * 64)
    assert sets.attempt().begin({}).files == []


def test_a_set_of_another_one_needs_it_to_be_seen_and_to_be_there(sets: DatasetHarness) -> None:
    sets.ready("letters", "ada")
    ada, bob = (sets.store.seen_by(owner, everything=False) for owner in ("ada", "bob"))
    source = ada.describe("letters")
    with pytest.raises(DatasetNotFound):
        bob.derive("few", source, {}, "6" * 64)
    ada.delete("letters")
    with pytest.raises(DatasetNotFound):
        ada.derive("few", source, {}, "6" * 64)
    assert [found.name for found in sets.store.sets()] == ["mnist"], "nothing is left"


def test_a_set_of_another_one_counts_like_one_of_its_size(
    tmp_path: Path, database: Database
) -> None:
    sets = DatasetHarness(database, tmp_path, DatasetQuota(owner_bytes=600))
    sets.ready("letters")
    source = sets.store.describe("letters")
    assert source.manifest.bytes == 63
    with pytest.raises(QuotaExceeded, match="63 more"):
        sets.store.derive("few", source, {}, "6" * 64)


# --- The shipped data set ---


def test_the_shipped_data_set_is_everybodys(dataset_store: DatasetStore) -> None:
    for view in (dataset_store, dataset_store.seen_by("ada", everything=False)):
        assert view.all() == [MNIST]
        assert view.describe("mnist") == MNIST
        assert [found.name for found in view.sets()] == ["mnist"]


def test_nobody_can_replace_or_delete_the_shipped_data_set(sets: DatasetHarness) -> None:
    with pytest.raises(DatasetExists, match="part of the service"):
        sets.store.receive("mnist", {}, 1)
    with pytest.raises(DatasetExists, match="part of the service"):
        sets.store.repeated("mnist", "5" * 64)
    with pytest.raises(DatasetShipped, match="can't be deleted"):
        sets.store.delete("mnist", force=True)


def test_a_name_with_a_digest_means_that_content_only(dataset_store: DatasetStore) -> None:
    assert dataset_store.describe(f"mnist@sha256:{MNIST.sha256}") == MNIST
    for digest in ("sha256:" + "0" * 64, MNIST.sha256, "sha256:"):
        with pytest.raises(DatasetNotFound):
            dataset_store.describe(f"mnist@{digest}")


def test_an_unknown_name_is_not_found(dataset_store: DatasetStore) -> None:
    for name in ("cifar", "../mnist", ""):
        with pytest.raises(DatasetNotFound, match="there are: mnist"):
            dataset_store.open(name)


# --- The life of an upload ---


def test_an_upload_becomes_a_data_set_step_by_step(sets: DatasetHarness) -> None:
    row = sets.store.receive("letters", {"label": "parent"}, 1000, license="MIT")
    assert (row.state, row.owner, row.upload_bytes, row.license) == ("receiving", "", 1000, "MIT")
    sets.uploads.create(row.id)
    sets.uploads.file(row.id, 0).write_bytes(b"zip")
    queued = sets.store.received(row.id, ["letters.zip"], "5" * 64, 3)
    assert (queued.state, queued.upload_bytes) == ("queued", 3)
    attempt = sets.attempt()
    assert (attempt.dataset, attempt.number) == (row.id, 1)
    with pytest.raises(DatasetNotReady, match=r"is checking; GET /v1/datasets/letters\?wait=30"):
        sets.store.describe("letters")
    manifest = sets.finish(attempt)
    ready = sets.store.get("letters")
    assert (ready.state, ready.sha256, ready.options) == (
        "ready",
        manifest.sha256,
        {"label": "parent", "size": [2, 3]},
    )
    assert sets.store.report("letters") == REPORT
    info = sets.store.describe("letters")
    assert (info.classes, info.image_shape, info.train_rows) == (["a", "b", "c"], (2, 3), 6)
    assert sets.store.open("letters").train.images.tolist() == (
        arrays_of(1)["train.images"].tolist()
    )
    assert ready.disk_bytes == sum(128 + array.nbytes for array in arrays_of(1).values())


def test_what_was_sent_goes_once_it_has_been_checked(sets: DatasetHarness) -> None:
    row = sets.ready("letters")
    assert row.id in sets.on_disk()
    sets.leftovers.sweep()
    assert sets.on_disk() == [f"sha256-{row.sha256}"]
    assert sets.queue.leftovers() == ([], [])


def test_a_failed_check_leaves_its_reason_and_its_report(sets: DatasetHarness) -> None:
    sets.send("letters")
    attempt = sets.attempt()
    attempt.fail("unusable", "This is a web page.", {"flaws": 1})
    failed = sets.store.get("letters")
    assert failed.reason is not None
    assert (failed.state, failed.reason.code, failed.reason.message) == (
        "failed",
        "unusable",
        "This is a web page.",
    )
    assert sets.store.report("letters") == {"flaws": 1}
    with pytest.raises(DatasetNotReady, match="it is failed; GET /v1/datasets/letters/report"):
        sets.store.open("letters")
    sets.leftovers.sweep()
    assert sets.on_disk() == []


def test_a_name_is_free_again_after_a_failure_only(sets: DatasetHarness) -> None:
    first = sets.send("letters")
    with pytest.raises(DatasetExists, match=r"another data set 'letters' \(queued\)"):
        sets.store.receive("letters", {}, 1)
    sets.attempt().fail("unusable", "no")
    second = sets.store.receive("letters", {}, 1)
    assert second.id != first.id
    with pytest.raises(DatasetNotFound):
        sets.store.with_id(first.id)


def test_the_same_files_and_options_are_recognised(sets: DatasetHarness) -> None:
    row = sets.ready("letters")
    assert sets.store.repeated("letters", "5" * 64) == row
    with pytest.raises(DatasetExists):
        sets.store.repeated("letters", "6" * 64)


def test_an_upload_that_breaks_off_fails_with_its_reason(sets: DatasetHarness) -> None:
    row = sets.store.receive("letters", {}, 10)
    sets.uploads.create(row.id)
    sets.store.interrupt(row.id, "upload_interrupted", "The client has left.")
    assert sets.store.get("letters").state == "failed"
    with pytest.raises(DatasetNotFound):
        sets.store.received(row.id, ["a"], "5" * 64, 10)
    sets.store.interrupt("ds_unknown", "upload_interrupted", "nothing happens")
    sets.leftovers.sweep()
    assert sets.on_disk() == []


def test_after_a_restart_nothing_is_being_received(sets: DatasetHarness) -> None:
    waiting = sets.send("waiting")
    row = sets.store.receive("letters", {}, 10)
    assert sets.queue.interrupt() == [row.id]
    failed = sets.store.get("letters")
    assert failed.reason is not None
    assert (failed.state, failed.reason.code) == ("failed", "upload_interrupted")
    assert sets.store.with_id(waiting.id).state == "queued"
    assert sets.queue.interrupt() == []


# --- Owners ---


def test_owners_see_their_own_data_sets_only(sets: DatasetHarness) -> None:
    ada, bob = (sets.store.seen_by(name, everything=False) for name in ("ada", "bob"))
    sets.ready("letters", "ada", seed=1)
    sets.ready("letters", "bob", seed=2)
    sets.ready("own", "bob", seed=3)
    assert ada.describe("letters").sha256 != bob.describe("letters").sha256
    assert [info.name for info in ada.all()] == ["mnist", "letters"]
    assert [info.name for info in sets.store.all()] == ["mnist", "letters", "letters", "own"]
    for act in (ada.open, ada.get, ada.delete, ada.report):
        with pytest.raises(DatasetNotFound, match=r"there are: mnist, letters\.$"):
            act("own")
    with pytest.raises(DatasetNotFound):
        ada.with_id(bob.get("own").id)
    assert sets.store.seen_by("bob", everything=True).describe("letters") == bob.describe("letters")


def test_nobody_else_can_receive_for_an_owner(sets: DatasetHarness) -> None:
    row = sets.store.seen_by("ada", everything=False).receive("letters", {}, 1)
    with pytest.raises(DatasetNotFound):
        sets.store.seen_by("bob", everything=False).received(row.id, [], "5" * 64, 1)
    assert sets.store.with_id(row.id).state == "receiving"


def test_two_owners_share_the_files_of_the_same_content(sets: DatasetHarness) -> None:
    first, second = sets.ready("letters", "ada"), sets.ready("same", "bob")
    assert first.sha256 == second.sha256
    sets.store.seen_by("ada", everything=False).delete("letters")
    sets.leftovers.sweep()
    assert sets.on_disk() == [f"sha256-{second.sha256}"]
    assert len(sets.store.open("same").train) == 6
    sets.store.delete("same")
    sets.leftovers.sweep()
    assert sets.on_disk() == []


# --- Quota ---


@pytest.mark.parametrize(
    ("quota", "owner", "words"),
    [
        (DatasetQuota(sets=2), "ada", "You have 2 data sets, and 2 are allowed"),
        (DatasetQuota(owner_bytes=1200), "ada", "Your data sets take 1,116 bytes"),
        (DatasetQuota(all_bytes=1200), "bob", "All data sets of this service take 1,116 bytes"),
    ],
)
def test_a_quota_is_kept_before_anything_is_sent(
    database: Database, tmp_path: Path, quota: DatasetQuota, owner: str, words: str
) -> None:
    sets = DatasetHarness(database, tmp_path, quota)
    size = sets.ready("first", "ada").disk_bytes
    own = sets.store.seen_by("ada", everything=False)
    own.receive("second", {}, 1116 - size)
    usage = own.usage()
    assert (usage.sets, usage.owner_bytes, usage.all_bytes) == (2, 1116, 1116)
    with pytest.raises(QuotaExceeded, match=words):
        sets.store.seen_by(owner, everything=False).receive("third", {}, 100)


def test_failed_data_sets_do_not_count(database: Database, tmp_path: Path) -> None:
    sets = DatasetHarness(database, tmp_path, DatasetQuota(sets=1))
    sets.send("first")
    sets.attempt().fail("unusable", "no")
    assert sets.send("second").state == "queued"


def test_only_the_latest_failed_data_sets_of_an_owner_are_kept(
    database: Database, tmp_path: Path
) -> None:
    sets = DatasetHarness(database, tmp_path, DatasetQuota(sets=2))
    for name in ("first", "second", "third"):
        for owner in ("ada", "bob") if name == "first" else ("ada",):
            sets.send(name, owner)
            sets.attempt().fail("unusable", "no")
    sets.ready("good", "ada")

    def seen_by(owner: str) -> list[str]:
        return [found.name for found in sets.store.seen_by(owner, everything=False).sets()]

    assert seen_by("ada") == ["mnist", "second", "third", "good"]
    assert seen_by("bob") == ["mnist", "first"]


def test_a_set_that_unpacks_beyond_the_quota_fails(database: Database, tmp_path: Path) -> None:
    sets = DatasetHarness(database, tmp_path, DatasetQuota(owner_bytes=100))
    sets.send("letters")
    sets.finish(sets.attempt())
    failed = sets.store.get("letters")
    assert failed.reason is not None
    assert (failed.state, failed.reason.code) == ("failed", "over_quota")
    sets.leftovers.sweep()
    assert sets.on_disk() == []


def test_the_log_of_its_checkers_stays_as_long_as_a_data_set(sets: DatasetHarness) -> None:
    kept, gone = sets.ready("kept", seed=1), sets.ready("gone", seed=2)
    for found in (kept, gone):
        folder = sets.logs / found.id
        folder.mkdir(parents=True)
        (folder / "worker.log").write_text("checked")
    sets.leftovers.sweep()
    assert sorted(path.name for path in sets.logs.iterdir()) == sorted([kept.id, gone.id])
    sets.store.delete("gone")
    sets.leftovers.sweep()
    assert [path.name for path in sets.logs.iterdir()] == [kept.id]


# --- What is deleted, and what is shared ---


def test_a_data_set_can_be_deleted_in_any_state(sets: DatasetHarness) -> None:
    sets.uploads.create(sets.store.receive("receiving", {}, 1).id)
    sets.send("checking")
    attempt = sets.attempt()
    attempt.stage()
    sets.send("queued")
    for name in ("receiving", "checking", "queued"):
        sets.store.delete(name)
        with pytest.raises(DatasetNotFound):
            sets.store.get(name)
    sets.leftovers.sweep()
    assert sets.on_disk() == []


def test_mnist_that_is_uploaded_shares_the_shipped_files(
    sets: DatasetHarness, dataset_store: DatasetStore
) -> None:
    sets.send("mnist-again")
    attempt = sets.attempt()
    staged, data = attempt.stage(), dataset_store.open("mnist")
    arrays: dict[str, Any] = {
        "train.images": data.train.images,
        "train.labels": data.train.labels,
        "test.images": data.test.images,
        "test.labels": data.test.labels,
    }
    for name, array in arrays.items():
        np.save(staged / f"{name}.npy", array)
    attempt.finish(staged, MNIST.manifest, REPORT, {})
    assert len(sets.store.open("mnist-again").train) == 60_000
    sets.store.delete("mnist-again")
    sets.leftovers.sweep()
    assert sets.on_disk() == [f"sha256-{MNIST.sha256}"]


# --- Turns ---


def test_owners_take_turns_and_each_has_its_sets_in_their_order(sets: DatasetHarness) -> None:
    for name in ("a1", "a2", "a3"):
        sets.send(name, "ann")
    sets.send("b1", "bob")
    sets.send("e1", "eve")

    def checked() -> str:
        attempt = sets.attempt()
        name = sets.store.with_id(attempt.dataset).name
        attempt.begin(HANDLE)
        attempt.fail("told", "It is told so.")
        return name

    first = [checked(), checked()]
    sets.send("b2", "bob")
    assert [*first, *(checked() for _ in range(4))] == ["a1", "b1", "e1", "a2", "b2", "a3"]
    assert sets.queue.claim() is None


def test_a_set_that_waits_to_be_tried_again_gives_its_turn_to_the_next(
    sets: DatasetHarness,
) -> None:
    first, second = sets.send("a1", "ann"), sets.send("a2", "ann")
    claim = sets.queue.claim([first.id])
    assert claim is not None
    assert claim.job == second.id
    assert sets.queue.claim([first.id]) is None
