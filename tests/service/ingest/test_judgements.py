"""Tests of what is judged by the pixels of a set: polarity, MNIST's form and copies."""

from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.ingest.judgements import (
    FORM_SAMPLES,
    LEFT_OUT,
    Copies,
    copies_in,
    is_grey_paper,
    is_white_paper,
    sampled,
    share_of_digit_form,
)
from service.ingest.staging import UNNAMED, RowFacts
from tests.support.drawn_digits import mnist
from tests.support.fashion_mnist import fashion


def facts(images: NDArray[np.uint8]) -> RowFacts:
    flat = images.reshape(len(images), -1)
    n = len(images)
    return RowFacts(
        np.arange(n),
        np.zeros(n, np.int32),
        np.full(n, UNNAMED, np.uint8),
        np.zeros((n, 2), np.uint64),
        (flat >= 250).sum(axis=1).astype(np.uint32),
        (flat <= 5).sum(axis=1).astype(np.uint32),
        np.zeros(n, np.bool_),
    )


def is_white(images: NDArray[np.uint8]) -> bool:
    wanted = np.ones(len(images), np.bool_)
    return is_white_paper(facts(images), wanted, images[0].size)


def test_ink_on_white_paper_is_told_from_its_negative_and_from_photographs() -> None:
    paper = np.full((3, 10, 10), 255, np.uint8)
    paper[:, 2:5, 2:5] = 0
    photograph = np.arange(300, dtype=np.uint8).reshape(3, 10, 10)

    assert is_white(paper)
    assert not is_white(255 - paper)
    assert not is_white(photograph)


def test_only_the_wanted_rows_say_whether_the_paper_is_white() -> None:
    images = np.zeros((4, 5, 5), np.uint8)
    images[1] = 255

    wanted = np.array([False, True, False, False])
    assert is_white_paper(facts(images), wanted, 25)
    assert not is_white_paper(facts(images), ~wanted, 25)


def copies(pictures: list[int], labels: list[int], splits: list[int]) -> Copies:
    digests = np.array([(picture % 3, picture) for picture in pictures], np.uint64).reshape(-1, 2)
    return copies_in(digests, np.array(labels, np.uint8), np.array(splits, np.uint8))


def test_copies_are_told_by_split_and_label() -> None:
    #                   0  1  2  3  4  5  6  7
    found = copies([7, 5, 7, 7, 5, 9, 7, 6], [0, 1, 0, 0, 2, 3, 0, 0], [0, 0, 0, 2, 0, 0, 2, 2])

    assert found.duplicates.tolist() == [[2, 0], [6, 3]]  # of the training and of the test set
    assert found.leaks.tolist() == [[3, 0], [6, 0]]
    assert found.two_labels.tolist() == [[4, 1]]
    assert found.needless.tolist() == [0, 2, 4]  # in the test set; copies of rows 0 and 1


def test_rows_that_are_left_out_are_copies_of_nothing() -> None:
    found = copies([7, 7, 7], [0, 0, 1], [0, LEFT_OUT, LEFT_OUT])

    assert [len(pairs) for pairs in vars(found).values()] == [0, 0, 0, 0]


def test_a_set_without_rows_has_no_copies() -> None:
    assert len(copies([], [], []).duplicates) == 0


Row = tuple[int, int, int]
"""The picture, the label and the split of a row."""


def searched(rows: list[Row], is_pair: Callable[[int, int], bool]) -> list[list[int]]:
    """Return each row that has others to which it is a pair, with the first of them."""
    used = [row for row in range(len(rows)) if rows[row][2] != LEFT_OUT]
    found = []
    for row in used:
        others = [other for other in used if rows[other][0] == rows[row][0]]
        pairs = [[row, other] for other in others if other != row and is_pair(row, other)]
        found += pairs[:1]
    return found


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1), st.integers(0, 3)), max_size=25))
def test_copies_are_those_that_a_search_row_by_row_finds(rows: list[Row]) -> None:
    pictures, labels, splits = ([row[part] for row in rows] for part in range(3))
    found = copies(pictures, labels, splits)

    def is_train(row: int) -> bool:
        return splits[row] == 0

    def first(row: int) -> int:
        used = (k for k in range(len(rows)) if splits[k] != LEFT_OUT)
        return next(other for other in used if pictures[other] == pictures[row])

    assert found.duplicates.tolist() == searched(
        rows, lambda row, other: other < row and rows[other] == rows[row]
    )
    assert found.leaks.tolist() == searched(
        rows, lambda row, other: not is_train(row) and is_train(other)
    )
    assert found.two_labels.tolist() == searched(
        rows, lambda row, other: other == first(row) and labels[other] != labels[row]
    )
    needless = searched(
        rows, lambda row, other: is_train(row) and (not is_train(other) or other < row)
    )
    assert found.needless.tolist() == [row for row, _ in needless]


def test_mnists_images_have_its_form_and_pictures_of_clothes_do_not() -> None:
    assert share_of_digit_form(mnist("t10k")) == 1
    assert share_of_digit_form(fashion("test")[0]) < 0.02


def test_a_sample_is_spread_over_the_wanted_rows() -> None:
    wanted = np.ones(10 * FORM_SAMPLES, np.bool_)
    wanted[::2] = False
    rows = np.flatnonzero(sampled(wanted))

    assert len(rows) == FORM_SAMPLES
    assert wanted[rows].all()
    assert (rows[0], rows[-1]) == (1, 10 * FORM_SAMPLES - 1)
    assert np.diff(rows).max() <= 12


def test_a_small_sample_is_all_wanted_rows() -> None:
    wanted = np.array([True, False, True])

    assert sampled(wanted).tolist() == [True, False, True]


def test_paper_is_grey_where_something_darker_and_hardly_anything_lighter_is_on_it() -> None:
    paper = np.random.default_rng(3).integers(150, 180, (20, 100)).astype(np.uint8)
    signs, photos, digits = paper.copy(), paper.copy(), np.zeros_like(paper)
    signs[:, 40:50] = 60
    photos[:, 40:50], photos[:, 60:80] = 60, 250
    digits[:, 40:60] = 255

    assert is_grey_paper(signs)
    assert not any(map(is_grey_paper, (paper, photos, digits, 255 - digits // 3 * 2 - 140)))
