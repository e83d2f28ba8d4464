"""Classes and splits are found in the paths of pictures as people pack them."""

import pytest

from service.ingest.archives.archive_members import Member
from service.ingest.archives.class_folders import Found, find
from service.ingest.refusal import Unusable


def found(*paths: str, label: object = None) -> Found:
    members = [Member(number, path, 1) for number, path in enumerate(paths)]
    return find(members, label)  # type: ignore[arg-type]


def placed(*paths: str, label: object = None) -> list[str]:
    """Return `split:label` of each picture that has a label."""
    pictures = found(*paths, label=label).placed
    return [f"{picture.split or ''}:{picture.label}" for picture in pictures]


@pytest.mark.parametrize("top", ["", "data/", "a/b/c/"])
def test_the_folder_of_a_picture_is_its_class(top: str) -> None:
    paths = [f"{top}cat/1.png", f"{top}dog/2.png"]
    assert placed(*paths) == [":cat", ":dog"]
    assert found(*paths).top == top


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("validation", "validation"),
        ("valid", "validation"),
        ("val", "validation"),
        ("dev", "validation"),
        ("test", "test"),
        ("TESTING", "test"),
        ("eval", "test"),
        ("evaluation", "test"),
    ],
)
def test_the_words_for_splits_are_known_in_any_case(folder: str, split: str) -> None:
    paths = [f"d/{folder}/{name}/1.png" for name in "ab"] + ["d/other/a/1.png", "d/other/b/1.png"]
    assert placed(*paths)[:2] == [f"{split}:a", f"{split}:b"]


def test_a_split_may_lie_above_or_below_the_classes() -> None:
    assert placed("train/a/1.png", "train/b/1.png", "test/a/1.png") == [
        "train:a",
        "train:b",
        "test:a",
    ]
    assert placed("a/train/1.png", "a/test/1.png", "b/train/1.png") == [
        "train:a",
        "test:a",
        "train:b",
    ]


def test_a_split_may_lie_beside_the_classes() -> None:
    result = found("d/0/1.png", "d/1/1.png", "d/test/0/1.png", "d/test/1/1.png")
    assert [(it.split, it.label) for it in result.placed] == [
        (None, "0"),
        (None, "1"),
        ("test", "0"),
        ("test", "1"),
    ]
    assert result.splits == {"d/test/": 2}


def test_a_word_in_a_name_counts_if_the_folder_holds_the_same_classes() -> None:
    paths = ["circle/1.png", "square/1.png", "test_shapes/circle/1.png", "test_shapes/square/1.png"]
    assert placed(*paths) == [":circle", ":square", "test:circle", "test:square"]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set/training_set", "test_set/test_set"),
        ("trainingSet", "testSet"),
        ("mnist_train", "mnist_test"),
        ("asl-train/images", "asl-test/images"),
    ],
)
def test_a_word_in_a_name_counts_if_there_is_a_counterpart(train: str, test: str) -> None:
    paths = [f"{folder}/{name}/1.png" for folder in (train, test) for name in ("cat", "dog")]
    assert placed(*paths) == ["train:cat", "train:dog", "test:cat", "test:dog"]


def test_classes_whose_names_have_such_words_stay_classes() -> None:
    assert placed("lab/test_tube/1.png", "lab/beaker/1.png") == [":test_tube", ":beaker"]
    assert placed("car/1.png", "plane/1.png", "train/1.png") == [":car", ":plane", ":train"]


def test_pictures_to_test_on_that_have_no_class_are_told() -> None:
    result = found("train/cat/1.png", "train/dog/1.png", "test/1.png", "test/2.png")
    assert [member.path for member in result.without_class] == ["test/1.png", "test/2.png"]


def test_a_folder_that_all_classes_have_is_left_out() -> None:
    assert placed("tiny/train/n1/images/1.png", "tiny/train/n2/images/2.png") == [
        "train:n1",
        "train:n2",
    ]
    assert placed("cat/images/1.png", "dog/images/2.png") == [":cat", ":dog"]


def test_the_folders_in_which_all_of_a_split_lies_are_left_out() -> None:
    paths = ["train/a/1.png", "train/b/1.png", "test/set1/a/1.png", "test/set1/b/1.png"]
    assert placed(*paths, label="path") == ["train:a", "train:b", "test:a", "test:b"]


OMNIGLOT = ["o/Greek/letter1/1.png", "o/Greek/letter2/1.png", "o/Latin/letter1/1.png"]


def test_folders_of_one_name_in_different_places_are_refused() -> None:
    with pytest.raises(Unusable) as caught:
        found(*OMNIGLOT)
    assert "'letter1', such as Greek/letter1 and Latin/letter1" in str(caught.value)
    assert caught.value.flaws[0].code == "ambiguous_classes"


def test_the_option_label_says_what_such_folders_mean() -> None:
    assert placed(*OMNIGLOT, label="path") == [":Greek/letter1", ":Greek/letter2", ":Latin/letter1"]
    assert placed(*OMNIGLOT, label="parent") == [":letter1", ":letter2", ":letter1"]


def test_a_pattern_finds_the_class_in_the_path() -> None:
    paths = ["pets/cat.1.jpg", "pets/dog.2.jpg", "pets/readme.jpg"]
    result = found(*paths, label={"pattern": r"/(cat|dog)\.\d"})
    assert [picture.label for picture in result.placed] == ["cat", "dog"]
    assert [member.path for member in result.without_class] == ["pets/readme.jpg"]


@pytest.mark.parametrize("pattern", ["(", "no group", "(two) (groups)"])
def test_a_pattern_needs_one_group(pattern: str) -> None:
    with pytest.raises(Unusable, match=r"label: .*pattern"):
        found("a/1.png", label={"pattern": pattern})


def test_a_pattern_goes_with_the_splits_of_folders() -> None:
    paths = ["train/3_1.png", "test/4_1.png"]
    assert placed(*paths, label={"pattern": r"(\d)_"}) == ["train:3", "test:4"]


def test_pictures_without_folders_have_no_class() -> None:
    result = found("1.png", "2.png")
    assert result.placed == []
    assert len(result.without_class) == 2


def test_a_single_folder_is_a_class() -> None:
    assert placed("data/cat/1.png", "data/cat/2.png") == [":cat", ":cat"]


def test_more_folders_than_any_set_has_are_refused() -> None:
    with pytest.raises(Unusable, match="lie in 20,001 folders"):
        found(*(f"{number}/1.png" for number in range(20_001)))


def test_folders_beside_given_splits_are_no_further_classes() -> None:
    paths = [f"{split}/{name}/1.png" for split in ("train", "test") for name in ("a", "b")]
    result = found(*paths, "single_prediction/1.png", "a/2.png")
    assert [(it.split, it.label) for it in result.placed] == [
        ("train", "a"),
        ("train", "b"),
        ("test", "a"),
        ("test", "b"),
        (None, "a"),
    ]
    assert [member.path for member in result.without_class] == ["single_prediction/1.png"]
