"""Numbers in names are sorted as people count."""

from service.ingest.natural_order import natural_key


def test_numbers_are_sorted_by_their_value() -> None:
    names = ["10", "2", "1", "letter 12", "letter 9", "Letter 10"]
    assert sorted(names, key=natural_key) == ["1", "2", "10", "letter 9", "Letter 10", "letter 12"]
