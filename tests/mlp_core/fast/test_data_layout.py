"""The layout of a data set, and the checks of stored arrays that are read as one."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from mlp_core import (
    BLOCK_ROWS,
    DataLayout,
    Dataset,
    DatasetError,
    Recipe,
    Split,
    Training,
    lay_out,
)
from mlp_core.fast.data_layout import in_blocks, similar_rows
from mlp_core.steps import SingleProcessSteps
from tests.support.sparse_images import one_live_row, split_of
from tests.support.training_runs import result

Change: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]


def data(rng: np.random.Generator) -> Dataset:
    train, test = (split_of(one_live_row(rng, rows), rng) for rows in (120, 40))
    return Dataset("rare", train, test, 3)


def test_columns_are_sorted_with_the_rarest_first() -> None:
    images = np.zeros((10, 4), np.uint8)
    images[:, 1] = 255
    images[:3, 3] = images[:5, 0] = 7
    part = Split(images, np.zeros(10, np.uint8))
    layout = lay_out(Dataset("ordered", part, part, 1))
    assert layout.order.tolist() == [2, 3, 0, 1]
    assert layout.shares.tolist() == [0, 0.3, 0.5, 1]
    assert np.array_equal(layout.images, images[:, [2, 3, 0, 1]])


def test_similar_rows_are_neighbours() -> None:
    images = np.zeros((6, 4), np.uint8)
    images[:, 0] = 9  # not unusual
    images[[0, 4], 2] = 9
    images[2, 3] = 9
    images[5, 1] = images[5, 2] = 9
    order = similar_rows(Split(images, np.array([0, 0, 0, 0, 0, 1], np.uint8)))
    assert order.tolist() == [1, 3, 0, 4, 2, 5]


def test_blocks_hold_each_row_once_and_all_its_live_columns(rng: np.random.Generator) -> None:
    images = one_live_row(rng, 2 * BLOCK_ROWS + 40)
    n_in = images.shape[1]
    blocks = in_blocks(Split(images, np.zeros(len(images), np.uint8)))
    parts = list(blocks)
    assert blocks.count == 3
    assert [len(block.labels) for block in parts] == [BLOCK_ROWS, BLOCK_ROWS, 40]
    assert parts[0].columns.tolist() == [0, 1]
    total = np.zeros(n_in, int)
    for _, pixels, columns in parts:
        total[columns] += pixels.sum(axis=0, dtype=int)
    assert np.array_equal(total, images.sum(axis=0))


def test_the_arrays_of_a_layout_rebuild_it(rng: np.random.Generator) -> None:
    arrays = lay_out(data(rng)).arrays()
    assert tuple(arrays) == DataLayout.ARRAY_NAMES
    again = DataLayout.from_arrays(arrays)
    assert all(np.array_equal(again.arrays()[name], array) for name, array in arrays.items())
    assert len(again.train) == 120
    assert again.block_count == 2


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("order", lambda a: np.zeros_like(a), "order: expected each column once"),
        ("images", lambda a: a[:-1], "images: expected"),
        ("images", lambda a: a[:, :-1], "images: expected"),
        ("images", lambda a: a.astype(np.int8), "images: expected uint8, found int8"),
        ("shares", lambda a: a.astype(np.float32), "shares: expected float64"),
        ("labels", lambda a: a[:-1], "images: expected"),
        ("test.widths", lambda a: np.repeat(a, 2), "blocks: expected 1, found 2"),
        ("test.widths", lambda a: a.astype(np.float64), "test.widths: expected int64"),
        ("train.pixels", lambda a: a[1:], "columns and pixels"),
        ("train.columns", lambda a: a[1:], "columns and pixels"),
        ("train.columns", lambda a: a + 20, "columns: expected 0 to 19"),
        ("test.columns", lambda a: a - 20, "columns: expected 0 to 19"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(
    name: str, change: Change, complaint: str, rng: np.random.Generator
) -> None:
    arrays = lay_out(data(rng)).arrays()
    with pytest.raises(DatasetError, match=complaint):
        DataLayout.from_arrays(arrays | {name: change(arrays[name])})


def test_a_given_layout_leads_to_the_same_bits_as_a_new_one(rng: np.random.Generator) -> None:
    recipe = Recipe((8,), "relu", "he_normal", 0.01, epochs=2, batch_size=80, learning_rate=0.1)
    dataset = data(rng)
    given = SingleProcessSteps(recipe, dataset, lay_out(dataset))
    assert result(Training(recipe, dataset, steps=given)) == result(Training(recipe, dataset))
