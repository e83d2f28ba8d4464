"""Samples that are collected one by one: counted, kept, frozen, and kept when a check fails."""

import threading
from pathlib import Path

import pytest

from service.domain.dataset_quota import DatasetQuota
from service.domain.errors import (
    DatasetExists,
    DatasetNotFound,
    DatasetNotReady,
    QuotaExceeded,
    SampleNotFound,
    StoreFull,
)
from service.store import collected_samples
from service.store.collected_samples import CollectedSamples
from service.store.sql.database import Database
from tests.support.stored_datasets import HANDLE, DatasetHarness


@pytest.fixture
def sets(database: Database, tmp_path: Path) -> DatasetHarness:
    return DatasetHarness(database, tmp_path)


def samples_of(sets: DatasetHarness, owner: str | None = None) -> CollectedSamples:
    return CollectedSamples(sets.connector, sets.uploads, sets.quota or DatasetQuota(), owner)


def contents(sets: DatasetHarness, name: str = "own") -> list[bytes]:
    row = sets.store.get(name)
    return [sets.uploads.file(row.id, at).read_bytes() for at in range(row.samples or 0)]


def test_the_first_sample_creates_a_set_that_collects(sets: DatasetHarness) -> None:
    found = samples_of(sets).add("own", b"one")
    assert (found.state, found.samples, found.upload_bytes) == ("collecting", 1, 3)
    assert samples_of(sets).add("own", b"two!").samples == 2
    assert sets.store.get("own").upload_bytes == 7
    assert contents(sets) == [b"one", b"two!"]
    with pytest.raises(DatasetNotReady, match="POST /v1/datasets/own/freeze"):
        sets.store.describe("own")


def test_a_sample_that_is_sent_again_at_once_is_not_added_twice(sets: DatasetHarness) -> None:
    samples = samples_of(sets)
    assert [samples.add("own", it).samples for it in (b"one", b"one", b"two", b"one")] == [
        1,
        1,
        2,
        3,
    ]
    assert contents(sets) == [b"one", b"two", b"one"]


def test_posters_at_the_same_time_lose_nothing(sets: DatasetHarness) -> None:
    sent = [[b"%d of %d" % (at, who) for at in range(20)] for who in range(3)]

    def post(mine: list[bytes]) -> None:
        for sample in mine:
            samples_of(sets).add("own", sample)

    threads = [threading.Thread(target=post, args=(mine,)) for mine in sent]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(contents(sets)) == sorted(sample for mine in sent for sample in mine)


def test_a_file_that_was_written_and_not_counted_is_replaced(sets: DatasetHarness) -> None:
    row = samples_of(sets).add("own", b"one")
    sets.uploads.file(row.id, 1).write_bytes(b"of a server that was killed")
    assert samples_of(sets).add("own", b"two").samples == 2
    assert contents(sets) == [b"one", b"two"]


def test_a_first_sample_that_can_not_be_written_leaves_no_set(
    sets: DatasetHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreFull("there is no space left")

    with monkeypatch.context() as patched:
        patched.setattr(collected_samples, "write_atomic", full)
        with pytest.raises(StoreFull):
            samples_of(sets).add("own", b"one")
    with pytest.raises(DatasetNotFound):
        sets.store.get("own")
    sets.leftovers.sweep()
    assert sets.on_disk() == []
    samples_of(sets).add("own", b"one")
    with monkeypatch.context() as patched:
        patched.setattr(collected_samples, "write_atomic", full)
        with pytest.raises(StoreFull):
            samples_of(sets).add("own", b"two")
    assert contents(sets) == [b"one"]


def test_the_last_sample_is_taken_back_with_its_file(sets: DatasetHarness) -> None:
    samples = samples_of(sets)
    for sample in (b"one", b"two!", b"three"):
        row = samples.add("own", sample)
    samples.remove("own", 3)
    assert contents(sets) == [b"one", b"two!"]
    assert sets.store.get("own").upload_bytes == 7
    assert not sets.uploads.file(row.id, 2).exists()
    for number in (3, 1, 0):
        with pytest.raises(SampleNotFound, match="that is number 2"):
            samples.remove("own", number)
    assert samples.add("own", b"four").samples == 3
    assert contents(sets) == [b"one", b"two!", b"four"]


def test_a_set_goes_with_its_only_sample(sets: DatasetHarness) -> None:
    samples_of(sets).add("own", b"one")
    samples_of(sets).remove("own", 1)
    with pytest.raises(DatasetNotFound):
        sets.store.get("own")
    sets.leftovers.sweep()
    assert sets.on_disk() == []


def test_nothing_is_taken_back_from_what_is_frozen_or_of_another_owner(
    sets: DatasetHarness,
) -> None:
    samples_of(sets).add("own", b"one")
    with pytest.raises(DatasetNotFound):
        samples_of(sets, "somebody").remove("own", 1)
    samples_of(sets).freeze("own", {}, {})
    with pytest.raises(DatasetExists):
        samples_of(sets).remove("own", 1)
    assert contents(sets) == [b"one"]


def test_a_frozen_set_is_checked_and_takes_no_more(sets: DatasetHarness) -> None:
    samples = samples_of(sets)
    row = samples.add("own", b"one")
    frozen = samples.freeze("own", {}, {"size": [2, 3]}, license="MIT")
    assert (frozen.state, frozen.license, frozen.samples) == ("queued", "MIT", 1)
    assert samples.freeze("own", {}, {"size": [2, 3]}).id == row.id
    with pytest.raises(DatasetExists):
        samples.freeze("own", {"base": "mnist"}, {})
    with pytest.raises(DatasetExists):
        samples.add("own", b"two")
    attempt = sets.attempt()
    task = attempt.begin(HANDLE)
    assert task.is_collected
    assert task.options == {"size": [2, 3]}
    assert [(it.name, it.path.read_bytes()) for it in task.files] == [("sample 1", b"one")]
    sets.finish(attempt)
    sets.leftovers.sweep()
    assert sets.on_disk() == [f"sha256-{sets.store.get('own').sha256}"]
    assert samples.freeze("own", {}, {}).state == "ready"


def test_a_failed_check_keeps_the_samples(sets: DatasetHarness) -> None:
    samples = samples_of(sets)
    samples.add("own", b"one")
    samples.freeze("own", {}, {})
    attempt = sets.attempt()
    attempt.begin(HANDLE)
    attempt.fail("classes", "There is no such class.", {"errors": []})
    sets.leftovers.sweep()
    assert contents(sets) == [b"one"]
    with pytest.raises(DatasetExists):
        sets.store.receive("own", {}, 1)
    assert sets.store.usage().sets == 1
    again = samples.freeze("own", {"base": "mnist"}, {})
    assert (again.state, again.reason, again.finished_at) == ("queued", None, None)
    assert sets.store.report("own") is None
    attempt = sets.attempt()
    attempt.begin(HANDLE)
    attempt.fail("classes", "There is no such class.")
    found = samples.add("own", b"two")
    assert (found.state, found.reason, found.samples) == ("collecting", None, 2)
    assert contents(sets) == [b"one", b"two"]


def test_failed_uploads_do_not_push_failed_samples_out(database: Database, tmp_path: Path) -> None:
    sets = DatasetHarness(database, tmp_path, DatasetQuota(sets=2))
    samples_of(sets).add("own", b"one")
    samples_of(sets).freeze("own", {}, {})
    for name in ("own", "first", "second", "third", "fourth"):
        if name != "own":
            sets.send(name)
        attempt = sets.attempt()
        attempt.begin(HANDLE)
        attempt.fail("empty", "It is empty.")
    sets.leftovers.sweep()
    assert contents(sets) == [b"one"]
    assert len(sets.store.sets()) < 6, "the oldest of the others are gone"


def test_a_failed_upload_makes_room_for_samples(sets: DatasetHarness) -> None:
    sets.send("own")
    attempt = sets.attempt()
    attempt.begin(HANDLE)
    attempt.fail("empty", "It is empty.")
    assert samples_of(sets).add("own", b"one").samples == 1
    assert contents(sets) == [b"one"]


def test_a_set_of_files_takes_no_samples(sets: DatasetHarness) -> None:
    sets.ready("own")
    with pytest.raises(DatasetExists):
        samples_of(sets).add("own", b"one")
    with pytest.raises(DatasetExists):
        samples_of(sets).freeze("own", {}, {})
    with pytest.raises(DatasetExists, match="part of the service"):
        samples_of(sets).add("mnist", b"one")
    with pytest.raises(DatasetExists, match="part of the service"):
        samples_of(sets).freeze("mnist", {}, {})


def test_deletion_removes_the_samples(sets: DatasetHarness) -> None:
    samples_of(sets).add("own", b"one")
    sets.store.delete("own")
    sets.leftovers.sweep()
    assert sets.on_disk() == []
    with pytest.raises(DatasetNotFound):
        samples_of(sets).freeze("own", {}, {})


def test_owners_collect_apart(sets: DatasetHarness) -> None:
    ada, bob = samples_of(sets, "ada"), samples_of(sets, "bob")
    ada.add("own", b"one")
    with pytest.raises(DatasetNotFound, match="there are: mnist\\."):
        bob.freeze("own", {}, {})
    bob.add("own", b"two")
    own = [sets.store.seen_by(owner, everything=False).get("own") for owner in ("ada", "bob")]
    assert [(it.owner, it.samples) for it in own] == [("ada", 1), ("bob", 1)]


def test_samples_are_limited(sets: DatasetHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collected_samples, "MAX_SAMPLES", 2)
    samples = samples_of(sets)
    samples.add("own", b"one")
    samples.add("own", b"two")
    with pytest.raises(QuotaExceeded, match="has 2 samples"):
        samples.add("own", b"three")
    assert len(contents(sets)) == 2


def test_samples_count_towards_the_quota_of_their_owner(database: Database, tmp_path: Path) -> None:
    sets = DatasetHarness(database, tmp_path, DatasetQuota(sets=1, owner_bytes=5))
    samples = samples_of(sets, "ada")
    samples.add("own", b"one")
    with pytest.raises(QuotaExceeded, match="take 0 bytes, and with 6 more"):
        samples.add("own", b"two")
    with pytest.raises(QuotaExceeded, match="You have 1 data sets"):
        samples.add("other", b"two")
    assert samples.add("own", b"44").samples == 2


def test_samples_are_part_of_a_restart(sets: DatasetHarness) -> None:
    samples_of(sets).add("own", b"one")
    assert sets.queue.interrupt() == []
    assert sets.queue.claim() is None
    assert sets.store.get("own").state == "collecting"
