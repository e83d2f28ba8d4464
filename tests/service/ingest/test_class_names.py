"""Tests that classes have the names and the order that people expect."""

from collections.abc import Mapping, Sequence

import pytest

from service.ingest.class_names import named_classes
from service.ingest.refusal import Unusable


def named(
    written: Sequence[str], option: Sequence[str] | Mapping[str, str] | None = None
) -> tuple[list[str], list[str]]:
    """Return the names in order, and the name of each label that is written."""
    classes, doubts = named_classes(written, option)
    assert not doubts
    return list(classes.names), [classes.names[place] for place in classes.of_written]


def test_numbers_are_ordered_by_their_value_and_words_as_people_count() -> None:
    assert named(["10", "9", "1"])[0] == ["1", "9", "10"]
    assert named(["item 10", "item 9", "Apple"])[0] == ["Apple", "item 9", "item 10"]


def test_classes_are_named_as_they_are_written() -> None:
    assert named(["ま", "あ"])[1] == ["ま", "あ"]


def test_listed_names_that_are_written_give_the_order() -> None:
    assert named(["cat", "ant"], ["cat", "bee", "ant"]) == (["cat", "bee", "ant"], ["cat", "ant"])


def test_listed_names_replace_labels_that_count_from_zero() -> None:
    assert named(["2", "0"], ["zero", "one", "two"])[1] == ["two", "zero"]


def test_listed_names_replace_other_labels_in_their_order() -> None:
    assert named(["10", "1", "2"], ["one", "two", "ten"])[1] == ["ten", "one", "two"]


def test_a_wrong_number_of_names_is_refused() -> None:
    with pytest.raises(Unusable, match="has 2 names for 3 labels: 1, 2, 3"):
        named(["1", "2", "3"], ["a", "b"])


def test_a_name_that_is_listed_twice_is_refused() -> None:
    with pytest.raises(Unusable, match="listed twice"):
        named(["a"], ["a", "a"])


def test_names_by_label_keep_the_order_of_labels_and_the_names_of_others() -> None:
    names, of_written = named(["10", "2", "1"], {"10": "ten", "1": "one", "3": "three"})

    assert names == ["one", "2", "three", "ten"]
    assert of_written == ["ten", "2", "one"]


def test_labels_with_one_name_are_one_class() -> None:
    classes, _ = named_classes(["a", "A", "b"], {"a": "letter a", "A": "letter a"})

    assert classes.names == ("letter a", "b")
    assert classes.of_written.tolist() == [0, 0, 1]
    assert set(classes.sources[0].split(", ")) == {"a", "A"}


def test_a_class_without_rows_has_no_source() -> None:
    assert named_classes(["a"], ["a", "b"])[0].sources == ("a", "")


def test_composed_and_decomposed_letters_are_one_name() -> None:
    assert named(["e\u0301", "\u00e9"])[0] == ["\u00e9"]


@pytest.mark.parametrize("name", ["\x1b[31mred", "x" * 65, "", "\u200d", "a\u202eb"])
def test_a_name_that_can_not_be_shown_is_replaced_and_that_is_said(name: str) -> None:
    classes, doubts = named_classes(["0", name], None)

    place = int(classes.of_written[1])
    assert classes.names[place] == f"class-{place}"
    assert [(doubt.code, doubt.count) for doubt in doubts] == [("names_changed", 1)]
    assert doubts[0].examples[0].endswith(f" is class-{place}")


@pytest.mark.parametrize(
    "name", ["x" * 64, "👨\u200d👩\u200d👧", "क्\u200dष", "Balinese/character01"]
)
def test_names_of_all_scripts_stay(name: str) -> None:
    assert named([name])[0] == [name]


def test_a_placeholder_is_not_merged_with_a_class_of_that_name() -> None:
    classes, _ = named_classes(["\x1b", "class-0"], None)

    assert len(classes.names) == 2


@pytest.mark.parametrize("encoding", ["gbk", "shift_jis", "cp866", "big5"])
def test_names_in_the_encoding_of_a_country_are_doubted(encoding: str) -> None:
    text = "\u043a\u043e\u0442" if encoding == "cp866" else "\u6c34\u706b"
    name = text.encode(encoding).decode("cp437")

    _, (doubt,) = named_classes([name, "dog"], None)

    assert (doubt.code, doubt.examples) == ("names_changed", [name])


@pytest.mark.parametrize(
    "name", ["caf\u00e9", "\u732b", "\u043a\u043e\u0442", "Stra\u00dfe", "\u03a9", "a_1 (b)"]
)
def test_names_of_all_scripts_are_believed(name: str) -> None:
    assert named_classes([name, "dog"], None)[1] == []
