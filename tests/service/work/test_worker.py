import errno
import os
import random
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlp_client.records import Event, Job
from mlp_client.spec import Spec
from mlp_core import Arrangement, Augmentation, Dataset, Epoch, Recipe, Training, arrange
from service.domain.errors import DatasetNotFound, Replaced, StoreBroken
from service.store.attempts import Attempt
from service.store.checkpoints import CheckpointStore, weights_sha256
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.database import Database
from service.work import worker as module
from service.work.process import ProcessHandle
from service.work.worker import Worker, recipe_of
from tests.conftest import QUICK, submit
from tests.support.fake_workers import Clock, tiny_dataset
from tests.support.job_records import claim, content, query
from tests.support.server_process import eventually

NEW = ("schedule", "augmentation")
TINY = {"hidden": [5], "epochs": 4, "batch_size": 50, "learning_rate": 0.2}
TICKS_OF_AN_EPOCH = 12 + 1 + 1 + 1  # batches, blocks of the two evaluations, the end


class Killed(BaseException):
    """The process ends here: nothing that follows is done, not even by an `except Exception`."""


def kill() -> None:
    raise Killed


class Shelf:
    """A shelf with one tiny data set on it."""

    def __init__(self) -> None:
        self.dataset = tiny_dataset()
        self.error: BaseException | None = None

    def open(self, name: str) -> Dataset:
        if self.error:
            raise self.error
        if name != "mnist":
            raise DatasetNotFound(name, ["mnist"])
        return self.dataset

    def arranged(self, name: str) -> Arrangement:
        return arrange(self.open(name))


class Bench:
    """Workers in this process, one after another, with a clock that ticks at each step."""

    def __init__(
        self, database: Database, checkpoints: CheckpointStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.database, self.checkpoints = database, checkpoints
        self.jobs, self.queue, self.shelf = JobStore(database), Queue(database), Shelf()
        self._patch = monkeypatch

    def worker(self, job: str, at_step: dict[int, Any] | None = None, tick: float = 0.1) -> Worker:
        """Claim the job for a new worker; `at_step` tells what happens at which step."""
        return self.worker_of(claim(self.database, job), at_step, tick)

    def worker_of(
        self, attempt: Attempt, at_step: dict[int, Any] | None = None, tick: float = 0.1
    ) -> Worker:
        worker = Worker(attempt, self.checkpoints, self.shelf)  # type: ignore[arg-type]
        acts = {
            "leave": worker.leave,
            "kill": kill,
            "pause": lambda: self.jobs.act("pause", attempt.job),
            "cancel": lambda: self.jobs.act("cancel", attempt.job),
        }
        happens = {step: acts.get(what, what) for step, what in (at_step or {}).items()}
        clock = Clock()

        class Watched(Training):
            """Each slice of work takes `tick` seconds, and then something may happen."""

            def __iter__(self) -> Iterator[Epoch | None]:
                for step, finished in enumerate(super().__iter__(), start=1):
                    clock.now += tick
                    happens.get(step, lambda: None)()
                    yield finished

        self._patch.setattr(module, "time", clock)
        self._patch.setattr(module, "Training", Watched)
        # A thread would take its own time, and so would the steps.
        self._patch.setattr(module, "a_core_is_idle", lambda: False)
        return worker

    def run(self, job: str, at_step: dict[int, Any] | None = None, tick: float = 0.1) -> str:
        worker = self.worker(job, at_step, tick)
        return worker.run(worker.begin())

    def killed(self, job: str, step: int, tick: float = 0.1) -> None:
        """Run a worker that is killed at a step, and take the job away from it."""
        with pytest.raises(Killed):
            self.run(job, {step: "kill"}, tick)
        attempt = self.jobs.get(job).attempt
        assert self.queue.lose(job, attempt, "killed")

    def warnings(self, job: str) -> list[str]:
        return [event.data["code"] for event in self.events(job) if event.type == "warning"]

    def events(self, job: str) -> list[Event]:
        return self.jobs.events(job)[1]

    def newest(self, job: str) -> Path:
        key = self.jobs.with_checkpoints(job)[1][0].key
        return Path(self.checkpoints._artifacts._root) / key


@pytest.fixture
def bench(
    database: Database, checkpoints: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> Bench:
    return Bench(database, checkpoints, monkeypatch)


def result(job: Job) -> tuple[object, ...]:
    return job.state, job.weights_sha256, job.bit_exact


def losses(bench: Bench, job: str) -> list[float]:
    return [epoch["train_loss"] for epoch in bench.jobs.epochs(job)]


# --- To the end ---


def test_a_job_of_one_epoch_says_so(bench: Bench) -> None:
    job = submit(bench.jobs, **{**TINY, "epochs": 1})
    bench.run(job)
    assert (reason := bench.jobs.get(job).reason)
    assert reason.message == "1 epoch is done"


def test_a_job_is_trained_to_its_end(bench: Bench) -> None:
    job = submit(bench.jobs, **TINY)
    assert bench.run(job) == "succeeded"
    done = bench.jobs.get(job)
    assert done.reason is not None
    assert (done.reason.code, done.reason.message) == ("epochs_done", "all 4 epochs are done")
    assert (done.epochs_done, done.batches_done) == (4, 0)
    epochs = bench.jobs.epochs(job)
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3, 4]
    assert epochs[3]["train_loss"] < epochs[0]["train_loss"]
    assert done.latest == epochs[3]
    assert bench.warnings(job) == []


def test_the_hash_is_that_of_the_last_checkpoint(bench: Bench) -> None:
    job = submit(bench.jobs, **TINY)
    bench.run(job)
    done, [newest, *_] = bench.jobs.with_checkpoints(job)
    assert (newest.epochs_done, newest.batches_done) == (4, 0)
    assert done.weights_sha256 == weights_sha256(bench.checkpoints.load(newest).arrays)


@pytest.mark.parametrize("tick", [0.01, 0.1, 0.3, 3.0])
def test_at_any_speed_the_result_is_the_same(bench: Bench, tick: float) -> None:
    first, second = submit(bench.jobs, **TINY), submit(bench.jobs, **TINY)
    bench.run(first, tick=0.001), bench.run(second, tick=tick)
    assert result(bench.jobs.get(first)) == result(bench.jobs.get(second))
    assert losses(bench, first) == losses(bench, second)


def test_only_checkpoints_that_count_are_left_while_it_trains(bench: Bench) -> None:
    job = submit(bench.jobs, **TINY)
    counts = []

    def look() -> None:
        files = set(bench.checkpoints._artifacts.keys(job))
        named = {saved.key for saved in bench.jobs.with_checkpoints(job)[1]}
        counts.append((len(files), files == named))

    bench.run(job, dict.fromkeys(range(2, 60), look), tick=1)
    assert set(counts) == {(1, True), (2, True)}


def test_the_first_beat_comes_before_the_data_is_opened(bench: Bench) -> None:
    worker = bench.worker(submit(bench.jobs, **TINY))
    bench.shelf.error = Killed()
    task = worker.begin()
    [row] = bench.queue.active()
    assert ProcessHandle.read(row.handle) == ProcessHandle.of(os.getpid())
    with pytest.raises(Killed):
        worker.run(task)


def test_beats_come_twice_a_second_and_carry_progress(bench: Bench) -> None:
    job = submit(bench.jobs, **TINY | {"epochs": 2})
    beats = []

    def look() -> None:
        [row] = bench.queue.active()
        beats.append(row.heartbeat)

    bench.run(job, dict.fromkeys(range(2, 30), look), tick=0.25)
    steps = {later - earlier for earlier, later in zip(beats, beats[2:], strict=False)}
    assert steps <= {0, 1, 2}
    assert all(later > earlier for earlier, later in zip(beats, beats[5:], strict=False))


# --- Asked to stop ---


@pytest.mark.parametrize(("wish", "left"), [("pause", "paused"), ("cancel", "cancelled")])
def test_a_wish_is_seen_at_a_beat_and_the_work_is_saved(bench: Bench, wish: str, left: str) -> None:
    job = submit(bench.jobs, **TINY)
    assert bench.run(job, {20: wish}) == left
    stopped, [newest, *_] = bench.jobs.with_checkpoints(job)
    at = (stopped.epochs_done, stopped.batches_done)
    assert (newest.epochs_done, newest.batches_done) == at
    assert at[0] == 1
    assert [epoch["epoch"] for epoch in bench.jobs.epochs(job)] == [1]
    assert stopped.reason is not None
    assert stopped.reason.code == "user"


@pytest.mark.parametrize("step", [1, 3, 12, 14, TICKS_OF_AN_EPOCH, 40])
def test_a_worker_asked_to_leave_saves_and_goes_at_once(bench: Bench, step: int) -> None:
    job = submit(bench.jobs, **TINY)
    assert bench.run(job, {step: "leave"}) == "queued"
    left, [newest, *_] = bench.jobs.with_checkpoints(job)
    epochs, rest = divmod(step, TICKS_OF_AN_EPOCH)
    # An epoch is done with its last batch; its evaluation follows.
    at = (epochs, rest) if rest <= 12 else (epochs + 1, 0)
    assert (newest.epochs_done, newest.batches_done) == at
    assert left.reason is not None
    assert left.reason.code == "shutdown"
    assert left.lost_workers == 0
    assert len(bench.jobs.epochs(job)) == epochs


def test_a_replaced_worker_stops_and_changes_nothing(bench: Bench) -> None:
    job = submit(bench.jobs, **TINY)
    left: list[bytes] = []

    def replace() -> None:
        bench.queue.lose(job, 1, "too slow")
        left.append(content(bench.database))

    with pytest.raises(Replaced):
        bench.run(job, {30: replace})
    assert content(bench.database) == left[0]


# --- Resume ---


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
    bench: Bench, fields: dict[str, object]
) -> None:
    chance = random.Random(5)
    undisturbed, disturbed = (submit(bench.jobs, **TINY | fields) for _ in range(2))
    bench.run(undisturbed)
    for _ in range(4):
        bench.run(disturbed, {chance.randrange(1, 14): "leave"})
        bench.killed(disturbed, chance.randrange(1, 14), tick=chance.choice([0.1, 1.0]))
    assert bench.run(disturbed) == "succeeded"
    assert result(bench.jobs.get(disturbed)) == result(bench.jobs.get(undisturbed))
    assert losses(bench, disturbed) == losses(bench, undisturbed)
    assert bench.warnings(disturbed) == []


@pytest.mark.parametrize("step", range(1, 2 * TICKS_OF_AN_EPOCH, 5))
def test_a_job_killed_at_any_step_ends_with_the_same_bits(bench: Bench, step: int) -> None:
    undisturbed, killed = (submit(bench.jobs, **TINY | {"epochs": 2}) for _ in range(2))
    bench.run(undisturbed)
    bench.killed(killed, step)
    assert bench.run(killed) == "succeeded"
    assert result(bench.jobs.get(killed)) == result(bench.jobs.get(undisturbed))
    assert losses(bench, killed) == losses(bench, undisturbed)


def test_a_resumed_job_repeats_nothing_that_was_saved(bench: Bench) -> None:
    job = submit(bench.jobs, **TINY)
    bench.run(job, {3 * TICKS_OF_AN_EPOCH + 5: "leave"})
    steps: list[int] = []
    bench.run(job, {step: partial(steps.append, step) for step in range(1, 100)})
    assert steps[-1] == TICKS_OF_AN_EPOCH - 5


def test_a_job_killed_between_file_and_row_ends_with_the_same_bits(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, killed = (submit(bench.jobs, **TINY) for _ in range(2))
    bench.run(undisturbed)
    with monkeypatch.context() as patch:
        patch.setattr(Attempt, "commit", lambda *_: kill())
        bench.killed(killed, 1000)
    assert bench.jobs.with_checkpoints(killed)[1] == []
    assert len(list(bench.checkpoints._artifacts.keys(killed))) == 1
    assert bench.run(killed) == "succeeded"
    assert result(bench.jobs.get(killed)) == result(bench.jobs.get(undisturbed))


def test_a_job_killed_after_its_last_checkpoint_only_ends(bench: Bench) -> None:
    undisturbed, job = (submit(bench.jobs, **TINY) for _ in range(2))
    bench.run(undisturbed)
    bench.run(job, {4 * TICKS_OF_AN_EPOCH: "leave"})
    assert bench.jobs.get(job).epochs_done == TINY["epochs"]
    assert bench.run(job) == "succeeded"
    assert result(bench.jobs.get(job)) == result(bench.jobs.get(undisturbed))
    assert bench.jobs.get(job).latest == bench.jobs.epochs(job)[-1]


def harm(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


@pytest.mark.parametrize("hurt", [harm, Path.unlink], ids=["damaged", "lost"])
def test_an_unreadable_checkpoint_is_passed_over_for_the_one_before(
    bench: Bench, hurt: Callable[[Path], object]
) -> None:
    undisturbed, job = (submit(bench.jobs, **TINY) for _ in range(2))
    bench.run(undisturbed)
    bench.run(job, {20: "leave"})
    bench.run(job, {20: "leave"})
    hurt(bench.newest(job))
    assert bench.run(job) == "succeeded"
    assert bench.warnings(job) == ["checkpoint_unreadable"]
    assert result(bench.jobs.get(job)) == result(bench.jobs.get(undisturbed))
    assert losses(bench, job) == losses(bench, undisturbed)


def test_a_checkpoint_that_can_not_be_read_now_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, job = (submit(bench.jobs, **TINY) for _ in range(2))
    bench.run(undisturbed)
    bench.run(job, {20: "leave"})
    newest = bench.newest(job)

    def fail(path: Path) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fail)
        with pytest.raises(StoreBroken, match="can't read"):
            bench.run(job)
    assert newest.exists()
    bench.queue.lose(job, 2, "", counts=False)
    assert bench.run(job) == "succeeded"
    assert set(bench.warnings(job)) == {"checkpoint_unreadable"}, "it has not begun again"
    assert result(bench.jobs.get(job)) == result(bench.jobs.get(undisturbed))


def test_without_a_readable_checkpoint_the_job_begins_again(bench: Bench) -> None:
    undisturbed, job = (submit(bench.jobs, **TINY) for _ in range(2))
    bench.run(undisturbed)
    bench.run(job, {20: "leave"})
    harm(bench.newest(job))
    assert bench.run(job) == "succeeded"
    assert result(bench.jobs.get(job)) == result(bench.jobs.get(undisturbed))


def test_a_worker_started_by_hand_for_the_same_attempt_goes_on(bench: Bench) -> None:
    job = submit(bench.jobs, **TINY)
    worker = bench.worker(job, {20: "kill"})
    with pytest.raises(Killed):
        worker.run(worker.begin())
    saved = bench.jobs.with_checkpoints(job)[1]
    again = bench.worker_of(Attempt(bench.database, job, 1))
    again.leave()
    task = again.begin()
    assert task.checkpoints == saved
    assert again.run(task) == "queued"
    keys = [row.key for row in bench.jobs.with_checkpoints(job)[1]]
    assert len(keys) == len(set(keys)) <= 2


# --- Bit-exactness ---


def test_a_changed_environment_is_told_and_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(bench.jobs, **TINY)
    bench.run(job, {20: "leave"})
    monkeypatch.setattr(module, "environment", lambda: {"numpy": "another"})
    bench.run(job, {5: "leave"})
    bench.run(job)
    assert bench.warnings(job) == ["not_bit_exact"], "the second change is none"
    assert bench.jobs.get(job).bit_exact is False
    [event] = [event for event in bench.events(job) if event.type == "warning"]
    assert "another" in event.data["message"]


def test_a_worker_killed_before_it_could_tell_of_the_change_hides_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(bench.jobs, **TINY)
    bench.run(job, {20: "leave"})
    monkeypatch.setattr(module, "environment", lambda: {"numpy": "another"})
    worker = bench.worker(job)
    worker.begin()
    bench.queue.lose(job, 2, "killed")
    bench.run(job)
    assert bench.jobs.get(job).bit_exact is False


def test_a_changed_environment_does_not_matter_before_the_first_checkpoint(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(bench.jobs, **TINY)
    bench.killed(job, 2)
    monkeypatch.setattr(module, "environment", lambda: {"numpy": "another"})
    bench.run(job)
    assert (bench.warnings(job), bench.jobs.get(job).bit_exact) == ([], True)


def test_the_environment_is_what_decides_the_bits() -> None:
    found = module.environment()
    assert found["numpy"] == np.__version__
    assert isinstance(found["arithmetic"], int)
    assert any("openblas" in library for library in found["blas"])


def test_an_epoch_that_comes_out_differently_is_told(bench: Bench) -> None:
    job = submit(bench.jobs, **TINY)
    bench.killed(job, 20)  # the epoch is recorded, but the checkpoint is older
    assert len(bench.jobs.epochs(job)) == 1
    query(bench.database, "UPDATE epochs SET train_loss = 0.125")
    assert bench.run(job) == "succeeded"
    assert bench.warnings(job) == ["not_bit_exact"]
    assert bench.jobs.get(job).bit_exact is False
    assert losses(bench, job)[0] == 0.125, "what was told stays told"


# --- Failures ---


def failure(bench: Bench, job: str) -> tuple[str, str]:
    reason = bench.jobs.get(job).reason
    assert reason is not None
    return reason.code, reason.message


def test_a_job_that_diverges_says_when_and_what_may_help(bench: Bench) -> None:
    job = submit(bench.jobs, **TINY | {"learning_rate": 1000.0, "l2": 100.0})
    assert bench.run(job) == "failed"
    code, message = failure(bench, job)
    assert code == "diverged"
    assert re.search(r"epoch 1, step \d+", message)
    assert "1000" in message
    assert message.count("lower") == 1, "the advice is given once"
    assert bench.jobs.get(job).weights_sha256 is None


def test_a_failure_keeps_the_epochs_and_the_checkpoint_before_it(bench: Bench) -> None:
    job = submit(bench.jobs, **TINY)

    def spoil() -> None:
        raise RuntimeError("the disk is on fire")

    assert bench.run(job, {TICKS_OF_AN_EPOCH + 1: spoil}) == "failed"
    assert failure(bench, job) == ("internal", "RuntimeError: the disk is on fire")
    assert [epoch["epoch"] for epoch in bench.jobs.epochs(job)] == [1]
    assert bench.jobs.with_checkpoints(job)[1] != []


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MemoryError("3 GiB"), "out_of_memory", "the worker ran out of memory: 3 GiB"),
        (ZeroDivisionError("by zero"), "internal", "ZeroDivisionError: by zero"),
    ],
)
def test_an_unexpected_error_fails_the_job(
    bench: Bench, error: Exception, code: str, message: str
) -> None:
    job = submit(bench.jobs, **TINY)
    bench.shelf.error = error
    assert bench.run(job) == "failed"
    assert failure(bench, job) == (code, message)


@pytest.mark.parametrize("seconds", [2.0, 0.0])
@pytest.mark.parametrize(("action", "state"), [("cancel", "cancelled"), ("pause", "paused")])
def test_a_stopped_job_has_a_record_of_each_epoch_that_is_soon_scored(
    bench: Bench, action: str, state: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECORD_SECONDS", seconds)
    job = submit(bench.jobs, **TINY)
    # After 12 batches an epoch is done; at step 13 a part of its evaluation.
    assert bench.run(job, {13: action}, tick=0.5) == state
    epochs_done = bench.jobs.get(job).epochs_done
    assert epochs_done == 1
    assert len(bench.jobs.epochs(job)) == (1 if seconds else 0)


def test_what_is_done_is_saved_before_a_record_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(module.Worker, "_await_record", die)
    job = submit(bench.jobs, **TINY)
    with pytest.raises(Killed):
        bench.run(job, {13: "pause"})
    newest, *_ = bench.jobs.with_checkpoints(job)[1]
    assert (newest.epochs_done, newest.batches_done) >= (1, 0)


def test_an_error_while_a_client_cancels_is_a_cancel(bench: Bench) -> None:
    job = submit(bench.jobs, **TINY)
    worker = bench.worker(job)
    bench.jobs.act("cancel", job)
    bench.shelf.error = MemoryError()
    assert worker.run(worker.begin()) == "cancelled"


def test_a_broken_store_leaves_the_job_to_the_next_attempt(bench: Bench) -> None:
    job = submit(bench.jobs, **TINY)
    bench.shelf.error = StoreBroken("the disk is full")
    with pytest.raises(StoreBroken):
        bench.run(job)
    assert bench.jobs.get(job).state == "running"


def test_a_worker_that_cannot_save_beats_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def fail(*_: object) -> None:
        tries.append(len(tries))
        raise StoreBroken("the disk is full")

    job = submit(bench.jobs, **TINY)
    beats: list[int] = []
    look = {step: lambda: beats.append(bench.queue.active()[0].heartbeat) for step in (1, 50)}
    worker = bench.worker(job, look | {51: "kill"})
    monkeypatch.setattr(CheckpointStore, "save", fail)
    with pytest.raises(Killed):
        worker.run(worker.begin())
    assert len(tries) == 3, "5 s have passed"
    assert beats[1] - beats[0] >= 8


def test_a_store_that_fails_for_ever_ends_the_attempt_in_the_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StoreBroken("the disk is full")

    job = submit(bench.jobs, **TINY)
    worker = bench.worker(job)
    task = worker.begin()
    monkeypatch.setattr(Attempt, "end", fail)
    with pytest.raises(StoreBroken):
        worker.run(task)
    assert module.time.monotonic() >= 1000 + module.PATIENCE_SECONDS
    assert bench.jobs.get(job).state == "running"


def test_every_field_of_the_spec_reaches_the_recipe(jobs: JobStore) -> None:
    fields = {
        "hidden": [7, 3],
        "activation": "tanh",
        "initialization": "glorot_uniform",
        "initial_bias": 0.5,
        "epochs": 9,
        "batch_size": 33,
        "learning_rate": 0.7,
        "l2": 0.25,
        "seed": 77,
    }
    momentum = {"type": "sgd", "momentum": 0.5, "nesterov": True}
    spec = jobs.get(submit(jobs, **fields, optimizer=momentum)).spec
    recipe = recipe_of(spec)
    assert recipe == Recipe(**fields | {"hidden": (7, 3)}, momentum=0.5, nesterov=True)
    more = {"schedule": "cosine"}
    fields |= more | {"l2": 0.0}
    adamw = {"weight_decay": 0.5, "beta1": 0.25, "beta2": 0.125}
    deformed = {"rotation": 1.0, "elastic": 2.0}
    spec = jobs.get(
        submit(jobs, **fields, optimizer={"type": "adamw", **adamw}, augmentation=deformed)
    ).spec
    recipe = recipe_of(spec)
    assert recipe == Recipe(
        **fields | {"hidden": (7, 3)},
        optimizer="adamw",
        **adamw,
        augmentation=Augmentation(1.0, 0.12, 0.12, 2.0, 2.0, 4.5),
    )


def test_a_spec_of_the_first_version_is_read() -> None:
    old = {name: value for name, value in Spec().model_dump().items() if name not in NEW}
    assert recipe_of(old) == recipe_of(Spec().model_dump())


# --- As a process ---


@pytest.fixture
def surroundings(database_url: str, datasets_dir: Path, tmp_path: Path) -> dict[str, str]:
    return {
        "MLP_DATABASE_URL": database_url,
        "MLP_ARTIFACTS_DIR": str(tmp_path / "jobs"),
        "MLP_DATASETS_DIR": str(datasets_dir),
        "OPENBLAS_NUM_THREADS": "1",
    }


def process(job: str, attempt: int, surroundings: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            "-W",
            "error",
            "-m",
            "service.work.worker",
            job,
            "--attempt",
            str(attempt),
        ],
        env=os.environ | surroundings,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_program_trains_a_job_and_a_second_one_finds_it_done(
    jobs: JobStore, database: Database, surroundings: dict[str, str]
) -> None:
    job = submit(jobs, **QUICK)
    claim(database, job)
    first = process(job, 1, surroundings)
    _, words = first.communicate(timeout=60)
    assert (first.returncode, jobs.get(job).state) == (0, "succeeded"), words
    assert "attempt 1 begins" in words
    before = content(database)
    second = process(job, 1, surroundings)
    _, words = second.communicate(timeout=60)
    assert second.returncode == 75
    assert f"Attempt 1 of job {job} is over" in words
    assert content(database) == before


@pytest.fixture
def long_run(
    jobs: JobStore, database: Database, surroundings: dict[str, str]
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    job = submit(jobs, preset="mlp-relu", epochs=500)
    claim(database, job)
    worker = process(job, 1, surroundings)
    eventually(lambda: jobs.get(job).batches_done, "the worker to train")
    yield job, worker
    worker.kill()
    worker.communicate()


def test_the_program_leaves_at_a_signal_with_its_work_saved(
    jobs: JobStore, long_run: tuple[str, subprocess.Popen[str]]
) -> None:
    job, worker = long_run
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=10)
    assert worker.returncode == 0
    left, saved = jobs.with_checkpoints(job)
    assert (left.state, left.lost_workers) == ("queued", 0)
    assert saved != []


def test_the_program_is_nice_and_has_its_limits(
    queue: Queue, jobs: JobStore, long_run: tuple[str, subprocess.Popen[str]]
) -> None:
    job, worker = long_run
    [row] = queue.active()
    assert ProcessHandle.read(row.handle) == ProcessHandle.of(worker.pid)
    assert os.getpriority(os.PRIO_PROCESS, worker.pid) == os.getpriority(os.PRIO_PROCESS, 0) + 5
    limit = 2 * 1024**3 + 3 * jobs.get(job).cost["bytes"]
    assert resource.prlimit(worker.pid, resource.RLIMIT_AS) == (limit, limit)
    assert resource.prlimit(worker.pid, resource.RLIMIT_CORE) == (0, 0)
    threads = Path(f"/proc/{worker.pid}/task")
    alone = "one thread, but while another evaluates"
    eventually(lambda: len(list(threads.iterdir())) == 1, alone)


def in_a_process(code: str) -> str:
    start = "import resource as r, numpy as np\nfrom service.work.worker import limit_memory\n"
    command = [sys.executable, "-W", "error", "-c", start + code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_too_much_memory_is_a_memory_error() -> None:
    code = "limit_memory(10)\ntry: np.ones(2**32, np.uint8)\nexcept MemoryError: print('refused')"
    assert in_a_process(code) == "refused"
    code = "limit_memory(2**31)\nprint(np.empty(2**32, np.uint8).size)"
    assert in_a_process(code) == str(2**32)


def test_a_stricter_limit_of_the_machine_stands() -> None:
    code = (
        "r.setrlimit(r.RLIMIT_AS, (2**31, 2**31))\n"
        "limit_memory(10)\n"
        "print(r.getrlimit(r.RLIMIT_AS))"
    )
    assert in_a_process(code) == str((2**31, 2**31))
