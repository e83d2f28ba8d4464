"""Tests that tables with faults are refused with line and column."""

import gzip
from pathlib import Path

import pytest

from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.tables.table_files import read
from tests.support.ingest_files import Images, read_rows
from tests.support.written_tables import cells, names, refusal, table_images, written


@pytest.fixture
def images() -> Images:
    return table_images()


def changed(images: Images, line: int, column: int, cell: str) -> str:
    """Return a table with a cell replaced; line and column are counted from 1."""
    table = [names(), *cells(images)]
    table[line - 1][column - 1] = cell
    return written(table)


@pytest.mark.parametrize(
    ("line", "column", "cell", "code", "place"),
    [
        (5, 11, "", "not_a_number", "line 5, column 11 (pixel9)"),
        (5, 11, "NA", "not_a_number", "line 5, column 11 (pixel9)"),
        (23, 11, "x", "not_a_number", "line 23, column 11 (pixel9)"),
        (23, 11, "inf", "not_a_number", "line 23, column 11 (pixel9)"),
        (23, 11, "1_0", "not_a_number", "line 23, column 11 (pixel9)"),
        (7, 11, "256", "out_of_range", "line 7, column 11 (pixel9)"),
        (7, 11, "-1", "out_of_range", "line 7, column 11 (pixel9)"),
        (9, 1, "", "no_label", "line 9, column 1 (label)"),
    ],
)
def test_cells_that_are_wrong_are_refused_with_line_and_column(
    tmp_path: Path, images: Images, line: int, column: int, cell: str, code: str, place: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(changed(images, line, column, cell))

    (flaw,) = refusal(path)

    assert (flaw.code, flaw.place) == (code, place)


def test_rows_with_other_numbers_of_columns_are_refused_with_their_lines(
    tmp_path: Path, images: Images
) -> None:
    lines = written(cells(images)).splitlines()
    lines[10] += ",0"
    lines[20] = lines[20].rpartition(",")[0]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines))

    flaws = refusal(path)

    assert [(flaw.code, flaw.place) for flaw in flaws] == [
        ("ragged", "line 11"),
        ("ragged", "line 21"),
    ]
    assert "83 columns" in flaws[0].detail


def test_no_more_than_20_flaws_are_listed(tmp_path: Path, images: Images) -> None:
    table = [[row[0], "x", *row[2:]] for row in cells(images)]
    table = [cells(images)[0], *table, *table]
    path = tmp_path / "a.csv"
    path.write_text(written([names(), *cells(images), *table]))

    assert len(refusal(path)) == 20


def test_columns_of_texts_are_refused_by_name_and_the_way_out_is_the_option_input(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "species,island,bill,sex\n" + "Adelie,Dream,39.1,male\nGentoo,Biscoe,47,female\n" * 3
    )

    flaws = refusal(path)

    assert [flaw.place for flaw in flaws] == ["column 2 (island)", "column 4 (sex)"]
    assert {flaw.code for flaw in flaws} == {"not_pixels"}
    assert "`input`" in flaws[-1].hint


def test_measurements_are_not_taken_for_pixels(tmp_path: Path) -> None:
    path = tmp_path / "iris.csv"
    path.write_text("5.1,3.5,1.4,0.2,setosa\n6.2,2.9,4.3,1.3,versicolor\n" * 5)

    (flaw,) = refusal(path)

    assert flaw.code == "not_pixels"
    assert 'the option `input` to "vector"' in flaw.hint


def test_pixels_of_another_scale_need_the_option_range(tmp_path: Path, images: Images) -> None:
    table = [[row[0], *(str(int(cell) // 16) for cell in row[1:])] for row in cells(images)]
    path = tmp_path / "a.csv"
    path.write_text(written(table))

    (flaw,) = refusal(path)
    rows = read_rows(read, path, options=IngestOptions(range=(0, 15)))

    assert flaw.code == "range"
    assert "[0, 15]" in flaw.hint
    assert (rows.images[..., 0] == images.pixels // 16 * 17).all()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("label,pixel0\n", "empty"),
        ("just one column\n1\n2\n", "no_table"),
        ("x" * 5_000_000, "no_table"),
    ],
)
def test_texts_that_are_no_tables_are_refused(tmp_path: Path, text: str, code: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)

    assert refusal(path)[0].code == code


def test_a_packed_table_that_was_cut_off_is_refused(tmp_path: Path, images: Images) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(written(cells(images)).encode())[:900])

    assert refusal(path)[0].code == "cut_off"


@pytest.mark.parametrize("limits", [Limits(rows=23), Limits(unpacked_bytes=500), Limits(side=8)])
def test_what_exceeds_the_limits_is_refused(tmp_path: Path, images: Images, limits: Limits) -> None:
    path = tmp_path / "a.csv"
    path.write_text(written(cells(images)))

    assert refusal(path, limits=limits)[0].code == "too_large"
