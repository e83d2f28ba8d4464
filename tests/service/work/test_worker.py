"""A worker trains its job to the end, or until it is asked to stop."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from mlp_core import Training
from service.domain.errors import Replaced
from service.store.attempts import Attempt
from service.store.checkpoints import CheckpointRef, CheckpointStore, weights_sha256
from service.work import worker as module
from service.work.process_handle import ProcessHandle
from tests.conftest import submit
from tests.support.job_records import content
from tests.support.worker_harness import TICKS_OF_AN_EPOCH, TINY, Killed, WorkerHarness


def test_the_reason_of_a_job_of_one_epoch_is_in_the_singular(workers: WorkerHarness) -> None:
    job = submit(workers.jobs, **TINY | {"epochs": 1, "learning_rate": 2.0})
    workers.run(job)
    assert workers.reason(job) == ("epochs_done", "The only epoch is done.")


def test_a_job_is_trained_to_its_end(workers: WorkerHarness) -> None:
    job = submit(workers.jobs, **TINY)
    assert workers.run(job) == "succeeded"
    done = workers.jobs.get(job)
    assert workers.reason(job) == ("epochs_done", "All 4 epochs are done.")
    assert (done.epochs_done, done.batches_done) == (4, 0)
    epochs = workers.jobs.epochs(job)
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3, 4]
    assert epochs[3]["train_loss"] < epochs[0]["train_loss"]
    assert done.latest == epochs[3]
    assert done.learned is True
    assert workers.warnings(job) == []


def test_a_job_that_learned_nothing_succeeds_with_a_warning(workers: WorkerHarness) -> None:
    job = submit(workers.jobs, **TINY | {"learning_rate": 1e-9})
    assert workers.run(job) == "succeeded"
    code, message = workers.reason(job)
    assert code == "learned_nothing"
    assert message.startswith("All 4 epochs are done. The network has learned nothing: its acc")
    assert "Try a higher learning_rate" in message
    assert workers.warnings(job) == ["learned_nothing"]
    assert workers.jobs.get(job).learned is False


def test_the_worker_after_one_that_was_killed_at_the_very_end_judges_too(
    workers: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its training has nothing left to do, and finishes no epoch."""
    job = submit(workers.jobs, **TINY)

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Attempt, "end", killed)
        with pytest.raises(Killed):
            workers.run(job)
    assert workers.queue.lose(job, 1, "killed")
    assert workers.run(job) == "succeeded"
    assert workers.jobs.get(job).learned is True


def test_the_hash_is_that_of_the_last_checkpoint(workers: WorkerHarness) -> None:
    job = submit(workers.jobs, **TINY)
    workers.run(job)
    done, [newest, *_] = workers.jobs.with_checkpoints(job)
    assert (newest.epochs_done, newest.batches_done) == (4, 0)
    assert done.weights_sha256 == weights_sha256(workers.checkpoints.load(newest).arrays)


@pytest.mark.parametrize("tick", [0.01, 0.1, 0.3, 3.0])
def test_at_any_speed_the_result_is_the_same(workers: WorkerHarness, tick: float) -> None:
    first, second = submit(workers.jobs, **TINY), submit(workers.jobs, **TINY)
    workers.run(first, tick=0.001), workers.run(second, tick=tick)
    assert workers.result(first) == workers.result(second)


def test_only_named_checkpoints_are_kept_while_a_job_trains(workers: WorkerHarness) -> None:
    job = submit(workers.jobs, **TINY)
    counts: list[tuple[int, bool]] = []

    def look() -> None:
        files = set(workers.artifacts.keys(job))
        named = {saved.key for saved in workers.saved(job)}
        snapshots = {key for key in files if "/after-" in key}
        counts.append((len(named), files - snapshots == named))

    workers.run(job, dict.fromkeys(range(2, 60), look), tick=1)
    assert set(counts) == {(1, True), (2, True)}


def test_the_first_heartbeat_comes_before_the_data_set_is_opened(workers: WorkerHarness) -> None:
    worker = workers.worker(submit(workers.jobs, **TINY))
    workers.datasets.error = Killed()
    task = worker.begin()
    [row] = workers.queue.active()
    assert ProcessHandle.from_record(row.handle) == ProcessHandle.of(os.getpid())
    with pytest.raises(Killed):
        worker.run(task)


def test_heartbeats_come_twice_a_second_and_carry_progress(workers: WorkerHarness) -> None:
    job = submit(workers.jobs, **TINY | {"epochs": 2})
    beats: list[int] = []

    def look() -> None:
        [row] = workers.queue.active()
        beats.append(row.heartbeat)

    workers.run(job, dict.fromkeys(range(2, 30), look), tick=0.25)
    steps = {later - earlier for earlier, later in zip(beats, beats[2:], strict=False)}
    assert steps <= {0, 1, 2}
    assert all(later > earlier for earlier, later in zip(beats, beats[5:], strict=False))


# --- Asked to stop ---


@pytest.mark.parametrize(("action", "left"), [("pause", "paused"), ("cancel", "cancelled")])
def test_an_action_is_seen_at_a_heartbeat_and_the_work_is_saved(
    workers: WorkerHarness, action: str, left: str
) -> None:
    job = submit(workers.jobs, **TINY)
    assert workers.run(job, {20: action}) == left
    stopped, [newest, *_] = workers.jobs.with_checkpoints(job)
    at = (stopped.epochs_done, stopped.batches_done)
    assert (newest.epochs_done, newest.batches_done) == at
    assert at[0] == 1
    assert [epoch["epoch"] for epoch in workers.jobs.epochs(job)] == [1]
    assert workers.reason(job)[0] == "user"


@pytest.mark.parametrize("step", [1, 3, 12, 14, TICKS_OF_AN_EPOCH, 40])
def test_a_worker_asked_to_stop_saves_and_exits_immediately(
    workers: WorkerHarness, step: int
) -> None:
    job = submit(workers.jobs, **TINY)
    assert workers.run(job, {step: "stop"}) == "queued"
    left, [newest, *_] = workers.jobs.with_checkpoints(job)
    epochs, rest = divmod(step, TICKS_OF_AN_EPOCH)
    # An epoch is done with its last batch; its evaluation follows.
    at = (epochs, rest) if rest <= 12 else (epochs + 1, 0)
    assert (newest.epochs_done, newest.batches_done) == at
    reason = ("shutdown", "The worker was asked to stop and has saved its work.")
    assert workers.reason(job) == reason
    assert left.lost_workers == 0
    assert len(workers.jobs.epochs(job)) == epochs


def test_a_pause_undone_while_the_worker_stops_requeues_the_job(
    workers: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, save = submit(workers.jobs, **TINY), CheckpointStore.save

    def resume_and_save(store: CheckpointStore, *arguments: Any) -> CheckpointRef:
        if workers.jobs.get(job).state == "pausing":
            workers.jobs.act("resume", job)
        return save(store, *arguments)

    monkeypatch.setattr(CheckpointStore, "save", resume_and_save)
    assert workers.run(job, {20: "pause"}) == "queued"
    assert workers.reason(job) == ("user", "A client asked to pause and then to resume.")


def test_a_replaced_worker_stops_and_changes_nothing(workers: WorkerHarness) -> None:
    job = submit(workers.jobs, **TINY)
    left: list[bytes] = []

    def replace() -> None:
        workers.queue.lose(job, 1, "too slow")
        left.append(content(workers.database))

    with pytest.raises(Replaced):
        workers.run(job, {30: replace})
    assert content(workers.database) == left[0]


@pytest.mark.parametrize("seconds", [2.0, 0.0])
@pytest.mark.parametrize(("action", "state"), [("cancel", "cancelled"), ("pause", "paused")])
def test_a_stopped_job_has_a_record_of_each_epoch_that_is_soon_evaluated(
    workers: WorkerHarness, action: str, state: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PENDING_RECORD_SECONDS", seconds)
    job = submit(workers.jobs, **TINY)
    # After 12 batches an epoch is done; at step 13 a part of its evaluation.
    assert workers.run(job, {13: action}, tick=0.5) == state
    epochs_done = workers.jobs.get(job).epochs_done
    assert epochs_done == 1
    assert len(workers.jobs.epochs(job)) == (1 if seconds else 0)


def test_a_worker_saves_before_it_waits_for_a_record(
    workers: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, real = submit(workers.jobs, **TINY), Training.complete_pending_record

    def die_when_pausing(training: Training) -> Iterator[Any]:
        if workers.jobs.get(job).state == "pausing":
            raise Killed
        yield from real(training)

    monkeypatch.setattr(Training, "complete_pending_record", die_when_pausing)
    with pytest.raises(Killed):
        workers.run(job, {13: "pause"})
    newest, *_ = workers.saved(job)
    assert (newest.epochs_done, newest.batches_done) >= (1, 0)
