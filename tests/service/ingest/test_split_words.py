"""The names of files, arrays and folders say which split they are."""

import pytest

from service.ingest.split_words import split_in, split_named, split_of_folder, without_split


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-images-idx3-ubyte", "train"),
        ("t10k-labels-idx1-ubyte.gz", "test"),
        ("archive/x_train.npy", "train"),
        ("Xtest", "test"),
        ("yVal", "validation"),
        ("trainer", None),
        ("pixels", None),
    ],
)
def test_a_word_within_a_name_says_the_split(name: str, split: str | None) -> None:
    assert split_in(name) == split


def test_a_word_is_known_in_any_case() -> None:
    words = ["Training", "PublicTest", "PrivateTest", ""]
    assert [split_named(word) for word in words] == ["train", "validation", "test", None]


def test_a_folder_of_a_class_that_is_called_te_is_no_split() -> None:
    assert split_in("te.csv") == "test"
    assert split_of_folder("te") is None
    assert split_of_folder("test_images") == "test"


def test_folders_that_differ_in_the_split_only_have_one_name_without_it() -> None:
    assert without_split("train_images") == without_split("Test_images") == "*_images"
