"""Tests that numbers are scaled to bytes by the ranges of their columns."""

import numpy as np

from service.domain.dataset_manifest import Column
from service.inference.feature_scaling import scaled


def test_a_columns_range_becomes_0_to_255() -> None:
    values = np.array([[-2.0], [0.0], [6.0]])

    levels, outside = scaled(values, [Column("x", -2, 6)])

    assert levels.tolist() == [[0], [64], [255]]
    assert not outside.any()


def test_what_lies_outside_is_clipped_and_told() -> None:
    levels, outside = scaled(np.array([[-3.0, 1.5], [7.0, 1.0]]), [Column("x", -2, 6)] * 2)

    assert levels.tolist() == [[0, 112], [255, 96]]
    assert outside.tolist() == [[True, False], [True, False]]


def test_the_ends_of_a_column_that_was_read_as_float32_are_not_outside() -> None:
    column = Column("petal", 0.1, 7.9)

    for values in (np.array([[0.1], [7.9]]), np.array([[0.1], [7.9]], np.float32)):
        levels, outside = scaled(values, [column])
        assert levels.tolist() == [[0], [255]]
        assert not outside.any()


def test_a_column_of_one_value_is_always_0() -> None:
    levels, outside = scaled(np.array([[5.0], [6.0]]), [Column("x", 5, 5)])

    assert levels.tolist() == [[0], [0]]
    assert outside.tolist() == [[False], [True]]


def test_the_widest_range_does_not_overflow() -> None:
    most = float(np.finfo(np.float32).max)

    levels, _ = scaled(np.array([[-most], [0], [most]]), [Column("x", -most, most)])

    assert levels.tolist() == [[0], [128], [255]]
