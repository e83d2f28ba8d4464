"""Rows are numbered through, and each is found in the file that it came from."""

import pytest

from service.ingest.row_origins import origin_of


def test_rows_are_numbered_through_all_parts() -> None:
    found = [origin_of(row, [2, 0, 3]) for row in range(5)]
    assert found == [(0, 0), (0, 1), (2, 0), (2, 1), (2, 2)]


def test_a_row_beyond_all_parts_is_no_row() -> None:
    with pytest.raises(IndexError):
        origin_of(5, [2, 0, 3])
