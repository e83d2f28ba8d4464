"""Rows of numbers are scaled by the columns of the network's table."""

from typing import Any

import numpy as np
import pytest

from service.domain.dataset_manifest import Column, InputForm, Manifest
from service.domain.errors import BadImage
from service.inference.input_batch import Sample
from service.inference.vector_batch import vector_batch

COLUMNS = (Column("length", 0.0, 10.0), Column("width", -1.0, 1.0), Column("same", 4.0, 4.0))
TABLE = Manifest(
    "0" * 64,
    (3,),
    ("a", "b"),
    {"train": [1, 1], "test": [1, 1]},
    InputForm.VECTOR,
    columns=COLUMNS,
)


def test_the_ends_of_a_column_are_0_and_255() -> None:
    rows = np.array([[0.0, -1.0, 4.0], [10.0, 1.0, 4.0], [2.0, 0.5, 4.0]])
    batch = vector_batch(TABLE, rows)
    assert batch.pixels.tolist() == [[0, 0, 0], [255, 255, 0], [51, 191, 0]]
    assert batch.clipped == {}


def test_numbers_outside_are_clipped_and_their_columns_named() -> None:
    rows = [np.array([-5.0, 0.0, 4.0]), np.array([5.0, 0.0, 4.0]), np.array([11.0, 9.0, 5.0])]
    batch = vector_batch(TABLE, rows)
    assert batch.pixels.tolist() == [[0, 128, 0], [128, 128, 0], [255, 255, 0]]
    assert batch.clipped == {0: ["length"], 2: ["length", "width", "same"]}


def test_samples_and_errors_stand_among_rows() -> None:
    bad = BadImage("unusable_array", "It is no row.")
    rows: list[Any] = [bad, Sample(np.array([7, 8, 9], np.uint8)), np.array([10.0, -1.0, 4.0])]
    batch = vector_batch(TABLE, rows)
    assert batch.bad == [0]
    assert batch.pixels[1:].tolist() == [[7, 8, 9], [255, 0, 0]]
    assert batch.clipped == {}
    with pytest.raises(BadImage, match="no row"):
        vector_batch(TABLE, [bad])
