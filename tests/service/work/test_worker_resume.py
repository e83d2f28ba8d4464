"""A job that was interrupted anywhere continues from its checkpoint and ends with the same bits."""

import errno
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from service.domain.errors import StoreBroken
from service.store.attempts import Attempt
from service.work import worker as module
from tests.conftest import submit
from tests.support.job_records import query
from tests.support.worker_harness import TICKS_OF_AN_EPOCH, TINY, Killed, WorkerHarness, kill


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"hidden": [], "l2": 0.01},
        {"activation": "tanh", "optimizer": {"momentum": 0.9, "nesterov": True}},
    ],
    ids=["plain", "linear with l2", "momentum"],
)
def test_a_job_stopped_anywhere_ends_with_the_same_bits(
    workers: WorkerHarness, fields: dict[str, object]
) -> None:
    chance = random.Random(5)
    undisturbed, disturbed = (submit(workers.jobs, **TINY | fields) for _ in range(2))
    workers.run(undisturbed)
    for _ in range(4):
        workers.run(disturbed, {chance.randrange(1, 14): "stop"})
        workers.run_and_kill(disturbed, chance.randrange(1, 14), tick=chance.choice([0.1, 1.0]))
    assert workers.run(disturbed) == "succeeded"
    assert workers.result(disturbed) == workers.result(undisturbed)
    assert workers.warnings(disturbed) == []


@pytest.mark.parametrize("step", range(1, 2 * TICKS_OF_AN_EPOCH, 5))
def test_a_job_killed_at_any_step_ends_with_the_same_bits(
    workers: WorkerHarness, step: int
) -> None:
    undisturbed, killed = (submit(workers.jobs, **TINY | {"epochs": 2}) for _ in range(2))
    workers.run(undisturbed)
    workers.run_and_kill(killed, step)
    assert workers.run(killed) == "succeeded"
    assert workers.result(killed) == workers.result(undisturbed)


def test_a_resumed_job_repeats_nothing_that_was_saved(workers: WorkerHarness) -> None:
    job = submit(workers.jobs, **TINY)
    workers.run(job, {3 * TICKS_OF_AN_EPOCH + 5: "stop"})
    steps: list[int] = []
    workers.run(job, {step: partial(steps.append, step) for step in range(1, 100)})
    assert steps[-1] == TICKS_OF_AN_EPOCH - 5


def test_a_job_killed_between_file_and_row_ends_with_the_same_bits(
    workers: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, killed = (submit(workers.jobs, **TINY) for _ in range(2))
    workers.run(undisturbed)
    with monkeypatch.context() as patch:
        patch.setattr(Attempt, "commit", lambda *_: kill())
        workers.run_and_kill(killed, 1000)
    assert workers.saved(killed) == []
    assert len(list(workers.artifacts.keys(killed))) == 1
    assert workers.run(killed) == "succeeded"
    assert workers.result(killed) == workers.result(undisturbed)


def test_a_job_stopped_after_its_last_epoch_has_only_to_be_ended(workers: WorkerHarness) -> None:
    undisturbed, job = (submit(workers.jobs, **TINY) for _ in range(2))
    workers.run(undisturbed)
    workers.run(job, {4 * TICKS_OF_AN_EPOCH: "stop"})
    assert workers.jobs.get(job).epochs_done == 4
    assert workers.run(job) == "succeeded"
    assert workers.result(job) == workers.result(undisturbed)
    assert workers.jobs.get(job).latest == workers.jobs.epochs(job)[-1]


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


@pytest.mark.parametrize("harm", [damage, Path.unlink], ids=["damaged", "lost"])
def test_an_unreadable_checkpoint_is_replaced_by_the_one_before(
    workers: WorkerHarness, harm: Callable[[Path], object]
) -> None:
    undisturbed, job = (submit(workers.jobs, **TINY) for _ in range(2))
    workers.run(undisturbed)
    workers.run(job, {20: "stop"})
    workers.run(job, {20: "stop"})
    harm(workers.newest_file(job))
    assert workers.run(job) == "succeeded"
    assert workers.warnings(job) == ["checkpoint_unreadable"]
    assert workers.result(job) == workers.result(undisturbed)


def test_a_checkpoint_that_cannot_be_read_for_a_while_is_read_later(
    workers: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, job = (submit(workers.jobs, **TINY) for _ in range(2))
    workers.run(undisturbed)
    workers.run(job, {20: "stop"})
    newest = workers.newest_file(job)

    def fail(path: Path) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fail)
        with pytest.raises(StoreBroken, match="can't read"):
            workers.run(job)
    assert newest.exists()
    workers.queue.lose(job, 2, "", counts=False)
    assert workers.run(job) == "succeeded"
    assert set(workers.warnings(job)) == {"checkpoint_unreadable"}, "it has not begun again"
    assert workers.result(job) == workers.result(undisturbed)


def test_without_a_readable_checkpoint_the_job_begins_again(workers: WorkerHarness) -> None:
    undisturbed, job = (submit(workers.jobs, **TINY) for _ in range(2))
    workers.run(undisturbed)
    workers.run(job, {20: "stop"})
    for saved in workers.saved(job):
        damage(workers.artifacts_dir / saved.key)
    assert workers.run(job) == "succeeded"
    assert workers.warnings(job) == [*["checkpoint_unreadable"] * 2, "begun_again"]
    assert workers.result(job) == workers.result(undisturbed)


def test_a_worker_started_by_hand_for_the_same_attempt_continues(workers: WorkerHarness) -> None:
    job = submit(workers.jobs, **TINY)
    worker = workers.worker(job, {20: "kill"})
    with pytest.raises(Killed):
        worker.run(worker.begin())
    saved = workers.saved(job)
    again = workers.worker_of(Attempt(workers.database, job, 1))
    again.request_stop()
    task = again.begin()
    assert task.checkpoints == saved
    assert again.run(task) == "queued"
    keys = [row.key for row in workers.saved(job)]
    assert len(keys) == len(set(keys)) <= 2


# --- Warnings that the bits may differ ---


def test_a_changed_environment_is_recorded_once(
    workers: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(workers.jobs, **TINY)
    workers.run(job, {20: "stop"})
    monkeypatch.setattr(module, "numeric_environment", lambda: {"numpy": "another"})
    workers.run(job, {5: "stop"})
    workers.run(job)
    assert workers.warnings(job) == ["not_bit_exact"], "the second one changes nothing"
    assert workers.jobs.get(job).bit_exact is False
    [event] = [event for event in workers.events(job) if event.type == "warning"]
    assert "another" in event.data["message"]


def test_a_changed_environment_is_recorded_although_the_first_worker_in_it_was_killed(
    workers: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(workers.jobs, **TINY)
    workers.run(job, {20: "stop"})
    monkeypatch.setattr(module, "numeric_environment", lambda: {"numpy": "another"})
    worker = workers.worker(job)
    worker.begin()
    workers.queue.lose(job, 2, "killed")
    workers.run(job)
    assert workers.jobs.get(job).bit_exact is False


def test_a_changed_environment_does_not_matter_before_the_first_checkpoint(
    workers: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(workers.jobs, **TINY)
    workers.run_and_kill(job, 2)
    monkeypatch.setattr(module, "numeric_environment", lambda: {"numpy": "another"})
    workers.run(job)
    assert (workers.warnings(job), workers.jobs.get(job).bit_exact) == ([], True)


def test_an_epoch_with_another_loss_than_before_is_recorded_as_a_warning(
    workers: WorkerHarness,
) -> None:
    job = submit(workers.jobs, **TINY)
    workers.run_and_kill(job, 20)  # the epoch is recorded, but the checkpoint is older
    assert len(workers.jobs.epochs(job)) == 1
    query(workers.database, "UPDATE epochs SET train_loss = 0.125")
    assert workers.run(job) == "succeeded"
    assert workers.warnings(job) == ["not_bit_exact"]
    assert workers.jobs.get(job).bit_exact is False
    assert workers.jobs.epochs(job)[0]["train_loss"] == 0.125, "a recorded epoch never changes"
