"""One process that trains one job: `python -m service.work.worker JOB --attempt N`.

There is one way to start, from the last checkpoint, and one way to be stopped: being killed, at any
line. Asking a worker to stop (by SIGTERM, or by the state in the job's row) only saves work that
would otherwise be done again.
"""

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mlp_core import Checkpoint, Diverged, Epoch, Training
from mlp_core.parallel.step_runner import TwoCoreSteps
from service.domain.baseline import Baseline
from service.domain.cost import data_bytes
from service.domain.errors import Damaged, DatasetDamaged, DatasetGone, Replaced, StoreBroken
from service.domain.job_recipe import recipe_of
from service.domain.job_state import State
from service.domain.snapshot_plan import DEFAULT_LIMITS, SnapshotLimits, snapshot_plan
from service.store.artifacts import artifacts_at
from service.store.attempts import FAILED, STOPPED, SUCCEEDED, Attempt, TrainingTask
from service.store.checkpoints import CheckpointRef, CheckpointStore, weights_sha256
from service.store.damaged_datasets import CODE as FILES_DAMAGED
from service.store.damaged_datasets import DamagedDatasets
from service.store.dataset_files import DatasetFiles, dataset_files_of
from service.store.snapshots import NewSnapshot
from service.store.sql.driver import DriverConnector
from service.store.sql.engine import engine_of
from service.work.attempt_process import run_attempt
from service.work.clock import Clock
from service.work.cores import a_core_is_idle
from service.work.heartbeats import Waiting, no_heartbeats, waiting_for
from service.work.numeric_environment import numeric_environment
from service.work.process_handle import ProcessHandle
from service.work.process_limits import limit_memory, lower_priority
from service.work.progress_reporter import ProgressReporter
from service.work.save_schedule import DEFAULT_INTERVALS, Intervals

PENDING_RECORD_SECONDS = 2.0
"""A worker that stops waits this long for the evaluation of the last finished epoch."""
STORE_RETRY_SECONDS = 60.0
"""At its end a worker waits this long for a store that fails to work again."""

logger = logging.getLogger("service.worker")


class Worker:
    """Trains one job and, between steps, reports progress and checks whether to stop."""

    def __init__(
        self,
        attempt: Attempt,
        checkpoints: CheckpointStore,
        datasets: DatasetFiles,
        clock: Clock = time,
        intervals: Intervals = DEFAULT_INTERVALS,
        snapshot_limits: SnapshotLimits = DEFAULT_LIMITS,
        waiting: Waiting = no_heartbeats,
    ) -> None:
        self._attempt = attempt
        self._checkpoints = checkpoints
        self._datasets = datasets
        self._clock = clock
        self._intervals = intervals
        self._snapshot_limits = snapshot_limits
        self._reporter = ProgressReporter(attempt, checkpoints, clock, intervals, waiting)
        self._waiting = waiting
        self._stop_requested = False
        self._is_bit_exact = True
        self._baseline: Baseline | None = None
        """That of the test set, once the data is open."""

    def request_stop(self, *_: object) -> None:
        """Ask the worker to save and exit as soon as the current step is done."""
        self._stop_requested = True

    def begin(self) -> TrainingTask:
        """Take over the job with a first heartbeat; return what is to be done.

        Raises:
            Replaced: another attempt has the job.
            StoreBroken: the database failed.

        """
        handle = ProcessHandle.of(os.getpid())
        return self._attempt.begin(handle.as_record(), numeric_environment())

    def run(self, task: TrainingTask) -> State:
        """Train to the end, or until asked to stop; return the state the job is left in.

        Raises:
            Replaced: another attempt has the job; nothing more was changed.
            StoreBroken: the disk or the database failed at the start, or for too long at the end;
                the next attempt may succeed.

        """
        try:
            return self._train(task)
        except (Replaced, StoreBroken):
            raise
        except Diverged as exc:
            return self._fail("diverged", str(exc), self._reporter.snapshots.write())
        except DatasetDamaged as exc:
            return self._fail(FILES_DAMAGED, str(exc))
        except DatasetGone as exc:
            return self._fail("dataset_gone", str(exc))
        except MemoryError as exc:
            return self._fail("out_of_memory", f"The worker ran out of memory: {exc}")
        except Exception as exc:
            logger.exception("training failed")
            return self._fail("internal", f"{type(exc).__name__}: {exc}")

    def _train(self, task: TrainingTask) -> State:
        with self._waiting(self._attempt.touch):
            training = self._build_training(task)
        self._reporter.start()
        # A loss that is not finite raises Diverged; NumPy need not warn on the way there.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for progress in training:
                if progress.epoch:
                    self._add_epoch(progress.epoch, training, task)
                self._reporter.report_if_due(training)
                if self._should_stop():
                    return self._end_attempt(self._stop_early, training)
        return self._end_attempt(self._succeed, training)

    def _should_stop(self) -> bool:
        asked = self._reporter.job_state in (State.PAUSING, State.CANCELLING)
        return self._stop_requested or asked

    # --- The beginning ---

    def _build_training(self, task: TrainingTask) -> Training:
        """Return the training, at the newest checkpoint that can be read or at its beginning.

        Records a warning if the bits may differ because the environment has changed.
        """
        recipe = recipe_of(task.spec, task.manifest.classes, task.manifest.image_shape)
        sha256 = task.manifest.sha256
        dataset, layout = self._datasets.open(sha256), self._datasets.data_layout(sha256)
        self._baseline = Baseline.of(dataset.test.labels)
        checkpoint = self._load_newest_checkpoint(task)
        here = numeric_environment()
        if checkpoint and task.environment not in (None, here):
            why = f"Training began in {task.environment} and continues in {here}."
            self._warn_not_bit_exact(why)
        steps = TwoCoreSteps(recipe, dataset, layout, a_core_is_idle)
        training = Training(recipe, dataset, checkpoint, steps)
        plan = snapshot_plan(recipe.epochs, task.parameters, self._snapshot_limits)
        self._reporter.snapshots.begin(plan, task)
        logger.info("attempt %d begins at %s", self._attempt.number, training.cursor)
        return training

    def _load_newest_checkpoint(self, task: TrainingTask) -> Checkpoint | None:
        """Return the newest checkpoint that can be read; None if there is none left.

        Raises:
            StoreBroken: none can be read now, but one may be later; training must not begin again.

        """
        temporary: StoreBroken | None = None
        for saved in task.checkpoints:
            try:
                return self._checkpoints.load(saved)
            except (StoreBroken, FileNotFoundError) as exc:
                self._warn_unreadable(saved, exc)
                if isinstance(exc, StoreBroken) and not isinstance(exc, Damaged):
                    temporary = exc
        if temporary:
            raise temporary
        if task.checkpoints:  # all epochs are trained again, in this environment
            message = "No checkpoint can be read, so training begins again."
            self._attempt.warn("begun_again", message, environment=numeric_environment())
        return None

    def _warn_unreadable(self, saved: CheckpointRef, exc: Exception) -> None:
        logger.warning("checkpoint %s can't be read: %s", saved.key, exc)
        message = f"The checkpoint {saved.key} can't be read: {exc}"
        self._attempt.warn("checkpoint_unreadable", message)

    # --- Epochs ---

    def _add_epoch(self, epoch: Epoch, training: Training, task: TrainingTask) -> None:
        """Pass a finished epoch on to be recorded; warn if an earlier attempt got another loss."""
        before = task.train_losses.get(epoch.number)
        if before not in (None, epoch.train_loss):
            self._warn_not_bit_exact(
                f"The training loss of epoch {epoch.number} was {before} in an earlier attempt "
                f"and is {epoch.train_loss} in this one."
            )
        self._reporter.add_epoch(epoch, training)

    def _warn_not_bit_exact(self, why: str) -> None:
        """Record once for each attempt that its bits may differ from an undisturbed run's."""
        if self._is_bit_exact:
            self._is_bit_exact = False
            here = numeric_environment()
            self._attempt.warn("not_bit_exact", why, bit_exact=False, environment=here)

    # --- The end ---

    def _end_attempt(self, end: Callable[[Training], State], training: Training) -> State:
        """Call `end` until it succeeds in ending the attempt.

        Raises:
            StoreBroken: the store has failed for `STORE_RETRY_SECONDS`.

        """
        deadline = self._clock.monotonic() + STORE_RETRY_SECONDS
        while True:
            try:
                with self._waiting(self._attempt.touch):
                    return end(training)
            except StoreBroken as exc:
                if self._clock.monotonic() >= deadline:
                    raise
                self._reporter.note_failure(exc)
            self._clock.sleep(self._intervals.heartbeat)
            with contextlib.suppress(StoreBroken):  # perhaps only files can't be written
                self._reporter.heartbeat(training)

    def _stop_early(self, training: Training) -> State:
        started = self._clock.monotonic()
        # Saving comes first: a worker that waits for a record may be killed while it waits.
        self._reporter.save(training)
        if self._reporter.job_state == State.CANCELLING or not self._stop_requested:
            self._await_pending_record(training, started + PENDING_RECORD_SECONDS)
        saved = self._reporter.write_checkpoint(training)
        reason = ("shutdown", "The worker was asked to stop and has saved its work.")
        if not self._stop_requested:  # only recorded if a client has resumed the job meanwhile
            reason = ("user", "A client asked to pause and then to resume.")
        snapshots = self._reporter.snapshots.write()
        return self._reporter.end(STOPPED, reason, saved, snapshots=snapshots)

    def _await_pending_record(self, training: Training, deadline: float) -> None:
        """Wait for the evaluation of the last finished epoch, but no longer than the deadline.

        Without it the epoch would never have a record if the job is cancelled, now or after a
        pause.
        """
        for progress in training.complete_pending_record():
            if progress.epoch:
                self._reporter.add_epoch(progress.epoch, training)
            if self._clock.monotonic() >= deadline:
                break

    def _succeed(self, training: Training) -> State:
        saved = self._reporter.write_checkpoint(training)
        count = training.cursor.epochs_done
        message = "The only epoch is done." if count == 1 else f"All {count} epochs are done."
        sha256 = weights_sha256(training.copy_network().arrays())
        reason, snapshots = ("epochs_done", message), self._reporter.snapshots.write()
        return self._reporter.end(SUCCEEDED, reason, saved, sha256, self._baseline, snapshots)

    def _fail(self, code: str, message: str, snapshots: Sequence[NewSnapshot] = ()) -> State:
        return self._reporter.end(FAILED, (code, message), snapshots=snapshots)


def train_attempt(job: str, number: int) -> State:
    """Train a job as the process of one attempt."""
    lower_priority()
    # The launcher passes these in the environment, where no `ps` shows them.
    database = DriverConnector(engine_of(os.environ["MLP_DATABASE_URL"]))
    checkpoints = CheckpointStore(artifacts_at(os.environ["MLP_ARTIFACTS_URL"]))
    damaged = DamagedDatasets(database)
    datasets = dataset_files_of(os.environ, damaged.confirm)
    limits = _snapshot_limits(os.environ)
    attempt = Attempt(database, job, number)
    waiting = waiting_for(os.environ.get("MLP_SHARED_URL"))
    worker = Worker(attempt, checkpoints, datasets, snapshot_limits=limits, waiting=waiting)
    signal.signal(signal.SIGTERM, worker.request_stop)
    task = worker.begin()
    limit_memory(task.job_bytes + limits.bytes, data_bytes(task.manifest.sizes))
    return worker.run(task)


def _snapshot_limits(environment: Mapping[str, str]) -> SnapshotLimits:
    """Return the limits that the launcher passes; a worker that a person starts has none set."""
    count = environment.get("MLP_SNAPSHOTS", DEFAULT_LIMITS.count)
    size = environment.get("MLP_SNAPSHOT_BYTES", DEFAULT_LIMITS.bytes)
    return SnapshotLimits(int(count), int(size))


if __name__ == "__main__":
    sys.exit(run_attempt(train_attempt, logger))
