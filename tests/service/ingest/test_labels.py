"""Labels become names, whatever program has written them, and names become classes in order."""

import pytest

from service.ingest.labels import classes_of, label_text
from service.ingest.refusal import Unusable


@pytest.mark.parametrize(
    ("written", "name"),
    [(7, "7"), (7.0, "7"), ("7.00", "7"), (" -3.0 ", "-3"), ("7.5", "7.5"), ("v1.0", "v1.0")],
)
def test_a_whole_number_has_one_name_however_it_is_written(written: object, name: str) -> None:
    assert label_text(written) == name


def test_numbers_come_before_names_and_both_in_the_order_of_people() -> None:
    assert classes_of(["b", "10", "item 10", "2", "item 9", "-1", "2"]) == [
        *("-1", "2", "10"),
        *("b", "item 9", "item 10"),
    ]


def test_more_classes_than_a_network_can_tell_apart_are_refused() -> None:
    with pytest.raises(Unusable, match="There are 3 classes; a network can tell 2 apart"):
        classes_of("abc", most=2)
