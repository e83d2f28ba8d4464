"""One process that trains one job: `python -m service.work.worker JOB --attempt N`.

There is one way to start, from the last checkpoint, and one way to be stopped, at any line. Asking
it to leave (SIGTERM, or the row's state) only saves what would have to be done again.
"""

import contextlib
import dataclasses
import functools
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

import mlp_core
from mlp_client.job_state import State
from mlp_core import ARITHMETIC, Augmentation, Checkpoint, Diverged, Recipe, Training
from service.domain.errors import Damaged, Replaced, StoreBroken
from service.store.attempts import FAILED, STOPPED, SUCCEEDED, Attempt, TrainingTask
from service.store.checkpoints import CheckpointRef, CheckpointStore, weights_sha256
from service.store.datasets import DatasetStore
from service.store.files.local import Artifacts
from service.store.sql.driver import DriverConnector
from service.store.sql.engine import engine_of
from service.work.process import STORE_EXIT, ProcessHandle, a_core_is_idle

BEAT_SECONDS = 0.5
FLUSH_SECONDS = 0.25
FIRST_SAVE_SECONDS = 0.5
SAVE_SECONDS = 2.0
SAVE_SHARE = 20  # saving takes at most a twentieth of the time
NICE = 5
BASE_MEMORY_BYTES = 2 * 1024**3  # interpreter, libraries and the mapped data set
FIRST_TO_BE_KILLED = 500  # if the machine runs out of memory, a worker goes before the server
RECORD_SECONDS = 2.0
PATIENCE_SECONDS = 60.0  # at its end a worker waits this long for a store that fails
REPLACED_EXIT = 75  # EX_TEMPFAIL: another attempt has the job

logger = logging.getLogger("service.worker")


class Worker:
    """Trains one job and, between steps, beats, records epochs and saves checkpoints."""

    def __init__(
        self, attempt: Attempt, checkpoints: CheckpointStore, datasets: DatasetStore
    ) -> None:
        self._attempt = attempt
        self._checkpoints = checkpoints
        self._datasets = datasets
        self._leave = False
        self._finished: list[mlp_core.Epoch] = []  # epochs that the database does not know yet
        self._written: CheckpointRef | None = None
        self._named = False  # whether the row surely names what was written last
        self._store_works = True
        self._state = State.RUNNING
        self._exact = True

    def leave(self, *_: object) -> None:
        """Ask the worker to save and go, as soon as the step under way is done."""
        self._leave = True

    def begin(self) -> TrainingTask:
        """Take the job up; return what is to be done.

        Raises:
            Replaced: another attempt has the job.

        """
        return self._attempt.begin(ProcessHandle.of(os.getpid()).stored(), environment())

    def run(self, task: TrainingTask) -> State:
        """Train to the end, or until asked to stop; return the state the job is left in.

        Raises:
            Replaced: another attempt has the job; nothing more was changed.
            StoreBroken: the disk or the database failed at the start, or too long at the end, but
                may be well again at the next attempt.

        """
        try:
            return self._train(task)
        except (Replaced, StoreBroken):
            raise
        except Diverged as exc:
            return self._fail("diverged", str(exc))
        except MemoryError as exc:
            return self._fail("out_of_memory", f"the worker ran out of memory: {exc}")
        except Exception as exc:
            logger.exception("training failed")
            return self._fail("internal", f"{type(exc).__name__}: {exc}")

    def _train(self, task: TrainingTask) -> State:
        training = self._training(task)
        started = time.monotonic()
        self._next_beat = started + BEAT_SECONDS
        self._next_save = started + FIRST_SAVE_SECONDS
        # A loss that is not finite raises Diverged; NumPy need not warn on the way there.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for finished in training:
                if finished:
                    self._finish(finished, task)
                if self._asked_to_stop(training):
                    return self._end(self._stop, training)
        return self._end(self._succeed, training)

    def _training(self, task: TrainingTask) -> Training:
        """Go on from the newest good checkpoint, or begin."""
        recipe = recipe_of(task.spec)
        name = task.spec["dataset"]
        dataset, arrangement = self._datasets.open(name), self._datasets.arranged(name)
        checkpoint = self._newest_good(task)
        if checkpoint and task.environment not in (None, environment()):
            self._inexact(f"it began under {task.environment}, goes on in {environment()}")
        training = Training(recipe, dataset, checkpoint, arrangement, a_core_is_idle)
        logger.info("attempt %d begins at %s", self._attempt.number, training.cursor)
        return training

    def _newest_good(self, task: TrainingTask) -> Checkpoint | None:
        passing: StoreBroken | None = None
        for saved in task.checkpoints:
            try:
                return self._checkpoints.load(saved)
            except (StoreBroken, FileNotFoundError) as exc:
                logger.warning("checkpoint %s is unreadable: %s", saved.key, exc)
                self._attempt.warn("checkpoint_unreadable", f"{saved.key}: {exc}")
                if isinstance(exc, StoreBroken) and not isinstance(exc, Damaged):
                    passing = exc
        if passing:  # it may be readable soon; nothing that can be read again is done again
            raise passing
        if task.checkpoints:  # all is done again, and here
            self._attempt.warn("begun_again", "no checkpoint is left", environment=environment())
        return None

    def _finish(self, epoch: mlp_core.Epoch, task: TrainingTask) -> None:
        before = task.train_losses.get(epoch.number)
        if before not in (None, epoch.train_loss):
            self._inexact(f"epoch {epoch.number} was {before}, is {epoch.train_loss} when re-run")
        self._finished.append(epoch)

    def _inexact(self, why: str) -> None:
        if not self._exact:
            return  # said once
        self._exact = False
        self._attempt.warn("not_bit_exact", why, bit_exact=False, environment=environment())

    def _asked_to_stop(self, training: Training) -> bool:
        """Beat, record and save when it is time; tell whether to stop."""
        now = time.monotonic()
        saves = now >= self._next_save
        try:
            if saves:
                self._save(training)
            elif now >= self._next_beat - (FLUSH_SECONDS if self._finished else 0):
                self._beat(training)
        except StoreBroken as exc:  # train on: a disk that is full may have space again
            self._note_failure(exc)
            if saves:  # and beat meanwhile
                self._next_save = time.monotonic() + SAVE_SECONDS
            else:
                self._next_beat = time.monotonic() + BEAT_SECONDS
        return self._leave or self._state in (State.PAUSING, State.CANCELLING)

    def _note_failure(self, exc: StoreBroken) -> None:
        if self._store_works:  # said once, for the log may lie on the same disk
            logger.warning("the store fails, nothing is saved until it works again: %s", exc)
        self._store_works = False

    def _beat(self, training: Training) -> None:
        cursor = training.cursor
        at = (cursor.epochs_done, cursor.batches_done)
        self._state = self._attempt.heartbeat(at, self._finished)
        self._finished.clear()
        self._next_beat = time.monotonic() + BEAT_SECONDS

    def _save(self, training: Training) -> None:
        started = time.monotonic()
        # What the store could not name comes first: unnamed files would pile up on a full disk.
        saved = self._unnamed() or self._write(training)
        if saved:
            self._state, dropped = self._attempt.commit(saved, self._finished)
            self._named = True
            self._finished.clear()
            for key in dropped:
                self._checkpoints.delete(key)
        else:
            self._beat(training)
        self._store_works = True
        now = time.monotonic()
        self._next_beat = now + BEAT_SECONDS
        self._next_save = now + max(SAVE_SECONDS, SAVE_SHARE * (now - started))

    def _unnamed(self) -> CheckpointRef | None:
        return None if self._named else self._written

    def _write(self, training: Training) -> CheckpointRef | None:
        """Write a checkpoint, unless one of the same cursor is; return what is to be named.

        A file whose commit failed may be named all the same, so it is never written again.
        """
        last, cursor = self._written, training.cursor
        if last is None or (last.epochs_done, last.batches_done) != (
            cursor.epochs_done,
            cursor.batches_done,
        ):
            job, attempt = self._attempt.job, self._attempt.number
            self._written = self._checkpoints.save(job, attempt, training.checkpoint())
            self._named = False
        return self._unnamed()

    def _end(self, end: Callable[[Training], State], training: Training) -> State:
        """End the attempt, as soon as the store lets it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return end(training)
            except StoreBroken as exc:
                if time.monotonic() >= deadline:
                    raise
                self._note_failure(exc)
            time.sleep(BEAT_SECONDS)
            with contextlib.suppress(StoreBroken):
                self._beat(training)  # it may be that only files can't be written

    def _stop(self, training: Training) -> State:
        started = time.monotonic()
        self._save(training)  # first: who waits for a record may be killed for it
        if self._state == State.CANCELLING or not self._leave:
            self._await_record(training, started + RECORD_SECONDS)
        saved = self._write(training)
        reason = ("shutdown", "the worker was asked to leave and has saved its work")
        if not self._leave:  # it saw a pause that has been taken back since
            reason = ("user", "a client asked to pause and to resume")
        return self._attempt.end(STOPPED, reason, saved, self._finished)

    def _await_record(self, training: Training, deadline: float) -> None:
        """Let the epoch that is done be scored, if it is soon: nobody would do it after a cancel.

        Nor for a job that is paused now and cancelled then.
        """
        for finished in training.last_record():
            if finished:
                self._finished.append(finished)
            if time.monotonic() >= deadline:
                break

    def _succeed(self, training: Training) -> State:
        saved = self._write(training)
        count = training.cursor.epochs_done
        told = "1 epoch is done" if count == 1 else f"all {count} epochs are done"
        sha256 = weights_sha256(training.network.arrays())
        return self._attempt.end(SUCCEEDED, ("epochs_done", told), saved, self._finished, sha256)

    def _fail(self, code: str, message: str) -> State:
        return self._attempt.end(FAILED, (code, message), None, self._finished)


def recipe_of(spec: dict[str, Any]) -> Recipe:
    """Return what the lab needs of a resolved spec; one of an older version lacks some fields."""
    optimizer = dict(spec["optimizer"])
    augmentation = spec.get("augmentation")
    return Recipe(
        hidden=tuple(spec["hidden"]),
        augmentation=Augmentation(**augmentation) if augmentation else None,
        optimizer=optimizer.pop("type"),
        **optimizer,
        **{name: spec[name] for name in AS_THEY_ARE if name in spec},
    )


AS_THEY_ARE = {field.name for field in dataclasses.fields(Recipe)} - {
    "hidden",
    "augmentation",
    "optimizer",
}


@functools.cache
def environment() -> dict[str, Any]:
    """Return what decides the bits of a run, beside its spec."""
    blas = [
        f"{library['internal_api']} {library['version']} {library.get('architecture', '')}".strip()
        for library in threadpool_info()
        if library["user_api"] == "blas"
    ]
    return {"arithmetic": ARITHMETIC, "numpy": np.__version__, "blas": sorted(blas)}


def limit_memory(job_bytes: int) -> None:
    """Let a job that needs more than it said run into MemoryError, not the machine into swap."""
    limit = BASE_MEMORY_BYTES + 3 * job_bytes
    _, allowed = resource.getrlimit(resource.RLIMIT_AS)
    if allowed != resource.RLIM_INFINITY:
        limit = min(limit, allowed)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> int:
    job, _, number = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.nice(NICE)
    with contextlib.suppress(OSError):  # some sandboxes have no such file
        Path("/proc/self/oom_score_adj").write_text(str(FIRST_TO_BE_KILLED))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    # This is a door: the launcher hands these over in the environment, where no `ps` shows them.
    database = DriverConnector(engine_of(os.environ["MLP_DATABASE_URL"]))
    checkpoints = CheckpointStore(Artifacts(Path(os.environ["MLP_ARTIFACTS_DIR"])))
    datasets = DatasetStore(Path(os.environ["MLP_DATASETS_DIR"]))
    attempt = Attempt(database, job, int(number))
    worker = Worker(attempt, checkpoints, datasets)
    signal.signal(signal.SIGTERM, worker.leave)
    try:
        task = worker.begin()
        limit_memory(task.job_bytes)
        state = worker.run(task)
    except Replaced as exc:
        logger.warning("%s", exc)
        return REPLACED_EXIT
    except StoreBroken as exc:
        logger.error("%s", exc)
        return STORE_EXIT
    logger.info("the job is left %s", state)
    return 0


if __name__ == "__main__":
    sys.exit(main())
