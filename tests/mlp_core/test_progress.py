import pytest

from mlp_core import CheckpointError, Cursor
from mlp_core.progress import Position


def test_a_position_counts_batches_epochs_and_steps() -> None:
    position = Position(epochs=3, batches_per_epoch=2)
    seen = []
    while not position.run_is_done():
        while not position.epoch_is_done():
            seen.append((position.epoch, position.cursor, position.steps_done, position.fraction))
            position.advance()
        position.begin_next_epoch()
    assert seen == [
        (1, Cursor(0, 0), 0, 0),
        (1, Cursor(0, 1), 1, 1 / 6),
        (2, Cursor(1, 0), 2, 2 / 6),
        (2, Cursor(1, 1), 3, 3 / 6),
        (3, Cursor(2, 0), 4, 4 / 6),
        (3, Cursor(2, 1), 5, 5 / 6),
    ]
    assert (position.cursor, position.fraction) == (Cursor(3, 0), 1)


def test_a_rewind_undoes_lost_steps() -> None:
    position = Position(epochs=3, batches_per_epoch=5)
    position.move_to(Cursor(1, 4))
    position.rewind(3)
    assert (position.cursor, position.steps_done) == (Cursor(1, 1), 6)


@pytest.mark.parametrize("cursor", [Cursor(4, 0), Cursor(3, 1), Cursor(0, 6), Cursor(0, -1)])
def test_a_cursor_outside_the_run_is_refused(cursor: Cursor) -> None:
    position = Position(epochs=3, batches_per_epoch=5)
    with pytest.raises(CheckpointError, match=r"cursor: expected up to .*, 5 batches an epoch"):
        position.move_to(cursor)
    assert position.cursor == Cursor(0, 0)


def test_cursors_are_ordered_by_progress() -> None:
    assert Cursor(0, 5) < Cursor(1, 0) < Cursor(1, 1)
