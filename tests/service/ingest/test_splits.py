"""Tests that rows are divided as their source says, or else by chance."""

import numpy as np
import pytest
from numpy.typing import NDArray

from service.ingest.options import SplitOption
from service.ingest.refusal import Unusable
from service.ingest.splits import divided
from service.ingest.staging import SPLITS, UNNAMED

NAMES = {"-": UNNAMED} | {split: place for place, split in enumerate(SPLITS)}


def given(*named: str) -> dict[str, list[int]]:
    codes = np.array([NAMES[name] for name in named], np.uint8)
    rows, decided = divided(codes, np.zeros(len(named), np.uint8), None)
    assert decided == "given"
    return {split: np.flatnonzero(mask).tolist() for split, mask in rows.items()}


def chosen(labels: list[int], option: SplitOption) -> dict[str, list[int]]:
    named = np.full(len(labels), UNNAMED, np.uint8)
    rows, decided = divided(named, np.array(labels, np.uint8), option)
    assert decided == option
    return {split: np.flatnonzero(mask).tolist() for split, mask in rows.items()}


def test_rows_of_which_the_source_says_nothing_are_to_train_on() -> None:
    assert given("-", "test", "train", "-") == {"train": [0, 2, 3], "test": [1]}


def test_all_three_splits_are_kept() -> None:
    assert given("test", "validation", "train") == {"train": [2], "validation": [1], "test": [0]}


def test_a_validation_set_alone_is_the_test_set() -> None:
    assert given("validation", "train") == {"train": [1], "test": [0]}


@pytest.mark.parametrize("split", ["train", "validation", "test", "-"])
def test_a_source_of_one_split_is_divided_by_chance(split: str) -> None:
    codes = np.full(10, NAMES[split], np.uint8)
    rows, decided = divided(codes, np.zeros(10, np.uint8), None)

    assert decided == SplitOption()
    assert {name: int(mask.sum()) for name, mask in rows.items()} == {"train": 8, "test": 2}


def test_a_given_split_without_training_rows_is_refused() -> None:
    codes = np.array([NAMES["test"], NAMES["validation"]], np.uint8)

    with pytest.raises(Unusable, match="All of its rows belong to `validation` and `test`"):
        divided(codes, np.zeros(2, np.uint8), None)


def test_a_split_that_must_be_given_is_not_made() -> None:
    codes = np.full(10, NAMES["test"], np.uint8)

    with pytest.raises(Unusable, match="All of its rows belong to `test`"):
        divided(codes, np.zeros(10, np.uint8), "given")


def test_without_a_split_all_rows_are_to_train_and_to_test_on() -> None:
    codes = np.array([NAMES["train"], NAMES["test"]], np.uint8)
    rows, decided = divided(codes, np.zeros(2, np.uint8), "none")

    assert decided == "none"
    assert all(mask.all() for mask in rows.values())
    assert list(rows) == ["train", "test"]


def test_an_option_overrules_the_source() -> None:
    codes = np.array([NAMES["train"]] * 5 + [NAMES["test"]] * 5, np.uint8)
    rows, _ = divided(codes, np.zeros(10, np.uint8), SplitOption(test=0.3))

    assert int(rows["test"].sum()) == 3


def per_class(labels: list[int], rows: list[int]) -> NDArray[np.intp]:
    return np.bincount(np.array(labels)[rows], minlength=3)


def test_each_class_has_its_share_of_the_test_set() -> None:
    labels = [0] * 100 + [1] * 50 + [2] * 3
    rows = chosen(labels, SplitOption(test=0.2))

    assert per_class(labels, rows["test"]).tolist() == [20, 10, 1]
    assert per_class(labels, rows["train"]).tolist() == [80, 40, 2]


def test_a_class_of_one_row_stays_in_the_training_set() -> None:
    assert 10 in chosen([0] * 10 + [1], SplitOption(test=0.5))["train"]


def test_a_small_class_keeps_a_row_to_train_on_whatever_the_share() -> None:
    assert len(chosen([0, 0], SplitOption(test=0.99))["train"]) == 1


def test_without_classes_the_share_is_that_of_all_rows() -> None:
    labels = [0] * 5 + [1] * 5
    shares = {
        per_class(labels, chosen(labels, SplitOption(0.4, seed, stratify=False))["test"])[0]
        for seed in range(20)
    }

    assert shares >= {1, 2, 3}  # each of them is likely; all four rows are always chosen
    assert len(chosen(labels, SplitOption(0.4, stratify=False))["test"]) == 4


def test_an_equal_seed_chooses_equal_rows_and_another_one_others() -> None:
    first = chosen([0] * 100, SplitOption(seed=1))

    assert chosen([0] * 100, SplitOption(seed=1)) == first
    assert chosen([0] * 100, SplitOption(seed=2)) != first


def test_a_row_of_each_class_can_not_be_divided() -> None:
    with pytest.raises(Unusable, match="There are too few images to test on some of them: 10"):
        chosen(list(range(10)), SplitOption())
