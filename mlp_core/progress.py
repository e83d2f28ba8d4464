"""The position of a run, and the progress that it reports."""

from dataclasses import dataclass
from typing import NamedTuple

from mlp_core.checkpoint import Cursor
from mlp_core.errors import CheckpointError


@dataclass(frozen=True)
class Epoch:
    """The record of an epoch: mean losses in nats, without L2 term, and accuracies in [0, 1]."""

    number: int  # from 1
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float  # since the previous record, interruptions excluded


class Progress(NamedTuple):
    """Yielded by `Training` after each slice of work: a batch, or a part of an evaluation."""

    cursor: Cursor
    epoch: Epoch | None = None  # the record that this slice has completed, if any


class Position:
    """Counts the epochs and batches of a run."""

    def __init__(self, epochs: int, batches_per_epoch: int) -> None:
        self._epochs = epochs
        self.batches_per_epoch = batches_per_epoch
        self.epochs_done = 0
        self.batches_done = 0

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.epochs_done, self.batches_done)

    @property
    def epoch(self) -> int:
        """The number of the epoch under way, from 1."""
        return self.epochs_done + 1

    def run_is_done(self) -> bool:
        return self.epochs_done >= self._epochs

    def epoch_is_done(self) -> bool:
        return self.batches_done >= self.batches_per_epoch

    @property
    def steps_done(self) -> int:
        """The number of batches trained on since the run began."""
        return self.epochs_done * self.batches_per_epoch + self.batches_done

    @property
    def fraction(self) -> float:
        """The fraction of all steps of the run that is done, in [0, 1]."""
        return self.steps_done / (self._epochs * self.batches_per_epoch)

    def advance(self) -> None:
        """Count a batch."""
        self.batches_done += 1

    def rewind(self, steps: int) -> None:
        """Undo lost steps. They belong to this epoch: none can be lost once it has ended."""
        self.batches_done -= steps

    def begin_next_epoch(self) -> None:
        self.epochs_done += 1
        self.batches_done = 0

    def move_to(self, cursor: Cursor) -> None:
        """Go to the position of a checkpoint.

        Raises:
            CheckpointError: the run has no such position.

        """
        last = Cursor(self._epochs, 0)
        fits = 0 <= cursor.batches_done <= self.batches_per_epoch
        if not (fits and Cursor() <= cursor <= last):
            expected = f"up to {last}, {self.batches_per_epoch} batches an epoch"
            raise CheckpointError("cursor", expected, cursor)
        self.epochs_done, self.batches_done = cursor
