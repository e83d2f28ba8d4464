"""Tests that lines read at once, by their bytes, are the rows that are read cell by cell."""

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from service.ingest.tables.table_layout import Layout
from service.ingest.tables.table_rows import CarefulRows, rows_at_once
from service.ingest.tables.table_text import Lines

cells = st.one_of(
    st.integers(0, 999).map(str),
    st.sampled_from(["0", "00", "007", "255", "256", "1000", "-1", "1.0", "0.5", " 7", "7 ", ""]),
    st.sampled_from(["nan", "x", '"7"', "1e2", "+3", "é"]),
)
columns = st.integers(2, 5)


@st.composite
def tables(draw: st.DrawFn) -> tuple[bytes, Layout]:
    """Return lines, most of which are rows of whole numbers, and the layout of these."""
    width = draw(columns)
    separator = draw(st.sampled_from(",;\t|"))
    label = draw(st.integers(0, width - 1))
    pixels = tuple(at for at in range(width) if at != label)
    good = st.lists(st.integers(0, 300).map(str), min_size=width, max_size=width)
    odd = st.lists(cells, min_size=width - 1, max_size=width + 1)
    rows = draw(st.lists(good if draw(st.booleans()) else good | odd, min_size=1, max_size=6))
    data = "".join(separator.join(row) + "\n" for row in rows).encode()
    return data, Layout(separator, width, pixels=pixels, label=label)


@settings(max_examples=200, deadline=None)
@given(tables())
def test_rows_read_by_their_bytes_are_those_read_cell_by_cell(
    table: tuple[bytes, Layout],
) -> None:
    data, layout = table
    lines = Lines(7, data)
    careful = CarefulRows(layout, "")

    fast, slow = rows_at_once(lines, layout), careful.rows(lines)

    if fast is not None:
        assert careful.flaws == []
        assert list(fast.lines) == list(slow.lines)
        assert (fast.values == slow.values).all()
        assert fast.labels == slow.labels
        assert fast.splits == slow.splits


def test_rows_of_whole_numbers_are_read_by_their_bytes() -> None:
    draw = random.Random(3)
    rows = [[draw.randrange(1000) for _ in range(9)] for _ in range(50)]
    data = "".join(",".join(map(str, row)) + "\n" for row in rows).encode()

    found = rows_at_once(Lines(1, data), Layout(",", 9, pixels=tuple(range(1, 9)), label=0))

    assert found is not None
    assert found.values.tolist() == [row[1:] for row in rows]
    assert found.labels == [str(row[0]) for row in rows]
    assert found.values.dtype == np.uint16
