"""Writes a worker's progress to the store: heartbeats, finished epochs and checkpoints."""

import logging
from collections.abc import Sequence

from mlp_core import Cursor, Epoch, Training
from service.domain.baseline import Baseline
from service.domain.errors import StoreBroken
from service.domain.job_state import State
from service.store.attempts import Attempt
from service.store.checkpoints import CheckpointRef, CheckpointStore
from service.store.snapshots import NewSnapshot
from service.work.clock import Clock
from service.work.heartbeats import Waiting, no_heartbeats
from service.work.save_schedule import Intervals, SaveSchedule
from service.work.snapshot_taker import SnapshotTaker

logger = logging.getLogger("service.worker")


class ProgressReporter:
    """Reports the progress of one attempt, as often as its intervals say.

    All methods that write raise `Replaced` if another attempt has the job, and `StoreBroken` if the
    database or the disk fails, unless they say otherwise.
    """

    def __init__(
        self,
        attempt: Attempt,
        checkpoints: CheckpointStore,
        clock: Clock,
        intervals: Intervals,
        waiting: Waiting = no_heartbeats,
    ) -> None:
        self._attempt = attempt
        self._checkpoints = checkpoints
        self._clock = clock
        self._intervals = intervals
        self._waiting = waiting
        self.job_state = State.RUNNING
        """The state that the last write found in the job's row, which clients may have changed."""
        self._unrecorded: list[Epoch] = []
        """Finished epochs that are not in the database yet."""
        self.snapshots = SnapshotTaker(attempt, checkpoints)
        self._written: CheckpointRef | None = None
        """The newest checkpoint file."""
        self._is_named = False
        """Whether the job's row certainly names the newest checkpoint file."""
        self._store_works = True
        self.start()

    def start(self) -> None:
        """Begin to count the intervals, as training begins."""
        self._schedule = SaveSchedule(self._intervals, self._clock.monotonic())

    def add_epoch(self, epoch: Epoch, training: Training) -> None:
        """Keep a finished epoch for the next heartbeat or save, and perhaps its network."""
        self._unrecorded.append(epoch)
        self.snapshots.add(epoch, training)

    def report_if_due(self, training: Training) -> None:
        """Give a heartbeat or save a checkpoint if it is time.

        A failing store raises no error here: training continues, because a full disk may have space
        again later.
        """
        now = self._clock.monotonic()
        if self._schedule.is_save_due(now):
            self._try_to_save(training)
        elif self._schedule.is_heartbeat_due(now, has_epochs=bool(self._unrecorded)):
            self._try_to_heartbeat(training)

    def _try_to_save(self, training: Training) -> None:
        started = self._clock.monotonic()
        try:
            with self._waiting(self._attempt.touch):
                self.save(training)
        except StoreBroken as exc:
            self.note_failure(exc)
            self._schedule.note_failed_save(started, self._clock.monotonic())

    def _try_to_heartbeat(self, training: Training) -> None:
        try:
            self.heartbeat(training)
        except StoreBroken as exc:
            self.note_failure(exc)
            self._schedule.note_heartbeat(self._clock.monotonic())

    def note_failure(self, exc: StoreBroken) -> None:
        """Log that the store fails, once until it works again: the log may be on the same disk."""
        if self._store_works:
            logger.warning("the store fails; nothing is saved until it works again: %s", exc)
        self._store_works = False

    def heartbeat(self, training: Training) -> None:
        """Record how far training is, with the epochs finished since the last report."""
        self.job_state = self._attempt.heartbeat(_position(training.cursor), self._unrecorded)
        self._unrecorded.clear()
        self._schedule.note_heartbeat(self._clock.monotonic())

    def save(self, training: Training) -> None:
        """Write a checkpoint and name it in the job's row, together with the epochs before it."""
        started = self._clock.monotonic()
        # A file that no row names yet is committed first, or such files would pile up on the disk.
        checkpoint = self._unnamed_checkpoint or self.write_checkpoint(training)
        if checkpoint:
            self._commit(checkpoint)
        else:
            self.heartbeat(training)
        self._store_works = True
        self._schedule.note_save(started, self._clock.monotonic())

    def _commit(self, checkpoint: CheckpointRef) -> None:
        snapshots = self.snapshots.write()
        self.job_state, dropped = self._attempt.commit(checkpoint, self._unrecorded, snapshots)
        self._is_named = True
        self._unrecorded.clear()
        self.snapshots.forget()
        for key in dropped:
            self._checkpoints.delete(key)

    def write_checkpoint(self, training: Training) -> CheckpointRef | None:
        """Write a checkpoint file, unless there is one of the same cursor.

        Returns the newest checkpoint if the job's row may not name it yet, and None otherwise. A
        commit that failed may have happened all the same, so no file is ever written again.
        """
        last = self._written
        if last is None or (last.epochs_done, last.batches_done) != _position(training.cursor):
            job, attempt = self._attempt.job, self._attempt.number
            self._written = self._checkpoints.save(job, attempt, training.make_checkpoint())
            self._is_named = False
        return self._unnamed_checkpoint

    @property
    def _unnamed_checkpoint(self) -> CheckpointRef | None:
        return None if self._is_named else self._written

    def end(
        self,
        moves: dict[State, State],
        reason: tuple[str, str],
        checkpoint: CheckpointRef | None = None,
        weights_sha256: str | None = None,
        baseline: Baseline | None = None,
        snapshots: Sequence[NewSnapshot] = (),
    ) -> State:
        """End the attempt with the move for the job's state; record the remaining epochs.

        Args:
            moves: the state that follows each state in which the job may be.
            reason: a code and a message for clients.
            checkpoint: the last checkpoint, if no row names it yet.
            weights_sha256: the digest of the weights of a job that has succeeded.
            baseline: that of the set on which the network of such a job was tested.
            snapshots: those that no row may name yet.

        """
        epochs = self._unrecorded
        return self._attempt.end(
            moves, reason, checkpoint, epochs, weights_sha256, baseline, snapshots
        )


def _position(cursor: Cursor) -> tuple[int, int]:
    return cursor.epochs_done, cursor.batches_done
