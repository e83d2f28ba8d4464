"""What a worker does when training, the machine or the store fails."""

import re

import pytest

from service.domain.errors import StoreBroken
from service.store.attempts import Attempt
from service.store.checkpoints import CheckpointStore
from service.work import worker as module
from tests.conftest import submit
from tests.support.worker_harness import TICKS_OF_AN_EPOCH, TINY, Killed, WorkerHarness


def test_the_reason_of_a_diverged_job_names_the_step_and_a_remedy(workers: WorkerHarness) -> None:
    job = submit(workers.jobs, **TINY | {"learning_rate": 1000.0, "l2": 100.0})
    assert workers.run(job) == "failed"
    code, message = workers.reason(job)
    assert code == "diverged"
    assert re.search(r"epoch 1, step \d+", message)
    assert "1000" in message
    assert message.count("lower") == 1, "the advice is given once"
    assert workers.jobs.get(job).weights_sha256 is None


def test_a_failure_keeps_the_epochs_and_the_checkpoint_before_it(workers: WorkerHarness) -> None:
    job = submit(workers.jobs, **TINY)

    def spoil() -> None:
        raise RuntimeError("the disk is on fire")

    assert workers.run(job, {TICKS_OF_AN_EPOCH + 1: spoil}) == "failed"
    assert workers.reason(job) == ("internal", "RuntimeError: the disk is on fire")
    assert [epoch["epoch"] for epoch in workers.jobs.epochs(job)] == [1]
    assert workers.saved(job) != []


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MemoryError("3 GiB"), "out_of_memory", "The worker ran out of memory: 3 GiB"),
        (ZeroDivisionError("by zero"), "internal", "ZeroDivisionError: by zero"),
    ],
)
def test_an_unexpected_error_fails_the_job(
    workers: WorkerHarness, error: Exception, code: str, message: str
) -> None:
    job = submit(workers.jobs, **TINY)
    workers.datasets.error = error
    assert workers.run(job) == "failed"
    assert workers.reason(job) == (code, message)


def test_a_job_that_fails_after_a_client_has_cancelled_it_is_cancelled(
    workers: WorkerHarness,
) -> None:
    job = submit(workers.jobs, **TINY)
    worker = workers.worker(job)
    workers.jobs.act("cancel", job)
    workers.datasets.error = MemoryError()
    assert worker.run(worker.begin()) == "cancelled"


# --- The store fails ---


def test_a_broken_store_leaves_the_job_to_the_next_attempt(workers: WorkerHarness) -> None:
    job = submit(workers.jobs, **TINY)
    workers.datasets.error = StoreBroken("the disk is full")
    with pytest.raises(StoreBroken):
        workers.run(job)
    assert workers.jobs.get(job).state == "running"


def test_a_worker_that_cannot_save_still_gives_heartbeats(
    workers: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def fail(*_: object) -> None:
        tries.append(len(tries))
        raise StoreBroken("the disk is full")

    job = submit(workers.jobs, **TINY)
    beats: list[int] = []

    def look() -> None:
        beats.append(workers.queue.active()[0].heartbeat)

    worker = workers.worker(job, {1: look, 50: look, 51: "kill"})
    monkeypatch.setattr(CheckpointStore, "save", fail)
    with pytest.raises(Killed):
        worker.run(worker.begin())
    assert len(tries) == 3, "5 s have passed"
    assert beats[1] - beats[0] >= 8


def test_a_store_that_keeps_failing_ends_the_attempt(
    workers: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StoreBroken("the disk is full")

    job = submit(workers.jobs, **TINY)
    worker = workers.worker(job)
    task = worker.begin()
    monkeypatch.setattr(Attempt, "end", fail)
    with pytest.raises(StoreBroken):
        worker.run(task)
    assert workers.clock.now >= 1000 + module.STORE_RETRY_SECONDS
    assert workers.jobs.get(job).state == "running"
