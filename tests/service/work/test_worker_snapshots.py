"""A job keeps the networks that the records of some epochs measured, whatever happens to it."""

import hashlib
import random
from typing import Any

import pytest

from mlp_core import Diverged, Network, evaluate
from service.domain import snapshot_plan as plan_module
from service.domain.errors import StoreFull
from service.domain.snapshot_plan import NO_SNAPSHOTS, SnapshotLimits
from service.store.attempts import Attempt
from service.store.checkpoints import CheckpointStore, weights_sha256
from service.store.stored_dataset import MNIST
from service.work import worker as worker_module
from tests.conftest import submit
from tests.support.worker_harness import TICKS_OF_AN_EPOCH, TINY, WorkerHarness, kill

NINE = TINY | {"epochs": 9}


@pytest.fixture(autouse=True)
def five_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan of nine epochs is 1, 2, 4, 9; one place is for the best."""
    plan = plan_module.snapshot_plan

    def narrow(epochs: int, parameters: int, limits: SnapshotLimits) -> Any:
        return plan(epochs, parameters, SnapshotLimits(5))

    monkeypatch.setattr(worker_module, "snapshot_plan", narrow)


def networks(workers: WorkerHarness, job: str) -> dict[int, Network]:
    """Return the networks in the files that rows name."""
    _, _, snapshots = workers.jobs.with_snapshots(job)
    return {
        it.epoch: Network.from_arrays(workers.checkpoints.load(it.file).arrays, "relu")
        for it in snapshots
    }


def digests(workers: WorkerHarness, job: str) -> dict[int, str]:
    return {number: weights_sha256(it.arrays()) for number, it in networks(workers, job).items()}


def best_epoch(workers: WorkerHarness, job: str) -> int:
    records = workers.jobs.epochs(job)
    return int(max(records, key=lambda it: (it["test_accuracy"], -it["epoch"]))["epoch"])


@pytest.fixture
def undisturbed(workers: WorkerHarness) -> dict[int, str]:
    job = submit(workers.jobs, **NINE)
    workers.run(job)
    found = digests(workers, job)
    assert set(found) == {1, 2, 4, 9, best_epoch(workers, job)}
    return found


def test_a_snapshot_is_the_network_of_a_job_with_so_many_epochs(
    workers: WorkerHarness, undisturbed: dict[int, str]
) -> None:
    """The learning rate is constant, so a shorter job passes through the same networks."""
    for number, sha256 in undisturbed.items():
        short = submit(workers.jobs, **TINY | {"epochs": number})
        workers.run(short)
        assert workers.jobs.get(short).weights_sha256 == sha256


def test_a_snapshot_is_the_network_that_its_record_measured(workers: WorkerHarness) -> None:
    job = submit(workers.jobs, **NINE)
    workers.run(job, tick=0.5)
    test = workers.datasets.open(MNIST.sha256).test
    for number, network in networks(workers, job).items():
        record = workers.jobs.epochs(job)[number - 1]
        assert evaluate(network, test).accuracy == pytest.approx(record["test_accuracy"], abs=1e-12)
        assert evaluate(network, test).loss == pytest.approx(record["test_loss"], rel=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_a_disturbed_job_neither_loses_nor_doubles_a_snapshot(
    workers: WorkerHarness, undisturbed: dict[int, str], seed: int
) -> None:
    chance, job = random.Random(seed), submit(workers.jobs, **NINE)
    for _ in range(4):
        tick = chance.choice([0.01, 0.1, 1.0])
        workers.run(job, {chance.randrange(1, 16): "stop"}, tick)
        workers.run_and_kill(job, chance.randrange(1, 16), tick)
    assert workers.run(job) == "succeeded"
    assert digests(workers, job) == undisturbed


@pytest.mark.parametrize("call", [1, 2, 3, 4, 6, 9])
def test_a_job_killed_at_any_write_ends_with_the_same_snapshots(
    workers: WorkerHarness, undisturbed: dict[int, str], call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before and after each file, and before and after each commit."""
    job, calls = submit(workers.jobs, **NINE), 0
    with monkeypatch.context() as patch:
        for owner, name in (
            (CheckpointStore, "save_snapshot"),
            (CheckpointStore, "save"),
            (Attempt, "commit"),
        ):
            genuine = getattr(owner, name)

            def stepped(*args: Any, genuine: Any = genuine) -> Any:
                nonlocal calls
                calls += 1
                if calls == call:
                    kill()
                result = genuine(*args)
                calls += 1
                if calls == call:
                    kill()
                return result

            patch.setattr(owner, name, stepped)
        workers.run_and_kill(job, 10**6, tick=0.4)
    assert workers.run(job) == "succeeded"
    assert digests(workers, job) == undisturbed


def test_a_disk_that_is_full_for_a_while_loses_no_snapshot(
    workers: WorkerHarness, undisturbed: dict[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(workers.jobs, **NINE)
    save, refusals = CheckpointStore.save_snapshot, iter(range(6))

    def refusing(*args: Any) -> Any:
        if next(refusals, None) is not None:
            raise StoreFull("the disk is full")
        return save(*args)

    monkeypatch.setattr(CheckpointStore, "save_snapshot", refusing)
    assert workers.run(job) == "succeeded"
    assert digests(workers, job) == undisturbed


def test_files_are_written_once_and_those_that_no_row_names_are_deleted(
    workers: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    put = workers.artifacts.put

    def noted(key: str, data: bytes) -> str:
        written.append(key)
        return put(key, data)

    monkeypatch.setattr(workers.artifacts, "put", noted)
    job = submit(workers.jobs, **NINE)
    workers.run(job, tick=0.5)
    assert len(written) == len(set(written))
    _, checkpoints, snapshots = workers.jobs.with_snapshots(job)
    named = {it.key for it in checkpoints} | {it.file.key for it in snapshots}
    left = set(workers.artifacts.keys(job)) - {key for key in written if "/after-" not in key}
    assert left <= named, "a surpassed network is deleted as soon as a better one is named"
    for it in snapshots:
        data = (workers.artifacts_dir / it.file.key).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (it.file.size, it.file.sha256)


def test_short_epochs_write_few_networks_however_often_the_best_one_changes(
    workers: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All nine epochs pass within one save interval."""
    files = 0
    save = CheckpointStore.save_snapshot

    def counted(*args: Any) -> Any:
        nonlocal files
        files += 1
        return save(*args)

    monkeypatch.setattr(CheckpointStore, "save_snapshot", counted)
    workers.run(submit(workers.jobs, **NINE), tick=0.001)
    assert files <= 5


def test_a_checkpoint_during_an_evaluation_continues_to_the_same_snapshot(
    workers: WorkerHarness, undisturbed: dict[int, str]
) -> None:
    job = submit(workers.jobs, **NINE)
    workers.run(job, {TICKS_OF_AN_EPOCH - 2: "stop"})
    assert workers.jobs.get(job).epochs_done == 1
    assert workers.run(job) == "succeeded"
    assert digests(workers, job) == undisturbed


def test_a_diverged_job_keeps_the_networks_before(
    workers: WorkerHarness, undisturbed: dict[int, str]
) -> None:
    def diverge() -> None:
        raise Diverged(5, 3, 0.2)

    job = submit(workers.jobs, **NINE)
    assert workers.run(job, {4 * TICKS_OF_AN_EPOCH + 3: diverge}) == "failed"
    found = digests(workers, job)
    assert {1, 2, 4} <= set(found) <= {1, 2, 3, 4}
    assert [found[number] for number in (1, 2, 4)] == [undisturbed[number] for number in (1, 2, 4)]


def test_a_job_without_places_keeps_none(
    workers: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "snapshot_plan", lambda *_: NO_SNAPSHOTS)
    job = submit(workers.jobs, **NINE)
    assert workers.run(job) == "succeeded"
    assert networks(workers, job) == {}
    assert [key for key in workers.artifacts.keys(job) if "/after-" in key] == []
