"""Takes the snapshots of a run: copies networks when their epochs are recorded, and writes them."""

from dataclasses import dataclass, replace

from mlp_core import Epoch, Training
from service.domain.snapshot_plan import NO_SNAPSHOTS, SnapshotPlan
from service.store.attempts import Attempt, TrainingTask
from service.store.checkpoints import Arrays, CheckpointRef, CheckpointStore
from service.store.snapshots import NewSnapshot


@dataclass(frozen=True)
class _Taken:
    """A snapshot that no row certainly names."""

    epoch: Epoch
    planned: bool
    arrays: Arrays
    """Empty once the file is written."""
    file: CheckpointRef | None = None


class SnapshotTaker:
    """The snapshots of one attempt that are not named yet.

    They wait in memory for the next save, so that a job whose accuracy rises with every short epoch
    writes one network for many epochs. A worker that dies before the save goes back to a checkpoint
    before these epochs, and takes them again.
    """

    def __init__(self, attempt: Attempt, checkpoints: CheckpointStore) -> None:
        self._attempt, self._checkpoints = attempt, checkpoints
        self._plan = NO_SNAPSHOTS
        self._earlier: dict[int, float] = {}
        self._best = -1.0
        self._taken: dict[int, _Taken] = {}

    def begin(self, plan: SnapshotPlan, task: TrainingTask) -> None:
        """Follow a plan, behind the epochs that earlier attempts have recorded."""
        self._plan = plan
        self._earlier = task.test_accuracies

    def add(self, epoch: Epoch, training: Training) -> None:
        """Copy the network that this record measured, if it is to be kept."""
        is_best = self._is_best(epoch) and self._plan.keeps_best
        planned = epoch.number in self._plan.epochs
        if is_best:
            surpassed = [number for number, it in self._taken.items() if not it.planned]
            for number in surpassed:
                del self._taken[number]
        if is_best or planned:
            arrays = training.copy_evaluated_network().arrays()
            self._taken[epoch.number] = _Taken(epoch, planned, arrays)

    def _is_best(self, epoch: Epoch) -> bool:
        """Return whether this epoch is more accurate than all before it.

        Those that an earlier attempt recorded beyond its last checkpoint do not count: they are
        trained again, and their networks kept only then.
        """
        if self._earlier:
            before = [it for number, it in self._earlier.items() if number < epoch.number]
            self._best, self._earlier = max(before, default=self._best), {}
        is_best, self._best = epoch.test_accuracy > self._best, max(self._best, epoch.test_accuracy)
        return is_best

    def write(self) -> list[NewSnapshot]:
        """Write the files that are not written yet; return all snapshots that may not be named.

        Raises:
            StoreBroken: a file can't be written; the next call tries again.

        """
        for number, taken in self._taken.items():
            if taken.file is None:
                job, attempt = self._attempt.job, self._attempt.number
                file = self._checkpoints.save_snapshot(job, attempt, number, taken.arrays)
                self._taken[number] = replace(taken, arrays={}, file=file)
        return [
            NewSnapshot(it.epoch, it.planned, it.file) for it in self._taken.values() if it.file
        ]

    def forget(self) -> None:
        """Forget the snapshots that `write` returned, because they are named."""
        self._taken.clear()
