"""Tests of tables whose columns are no pixels: vectors, and columns that are left out."""

import re
from pathlib import Path

import numpy as np
import pytest

from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.refusal import Unusable
from service.ingest.source import UploadedFile
from service.ingest.tables.table_files import read
from tests.support.ingest_files import Images, read_rows, rows_of, uploaded
from tests.support.written_tables import (
    SIDE,
    Table,
    cells,
    names,
    refusal,
    source_of,
    table_images,
    written,
)


@pytest.fixture
def images() -> Images:
    return table_images()


# --- Vectors ---


IRIS = "sepal length,sepal width,species\n5.1,3.5,setosa\n-6.2,2900000,rose\n7,0,rose\n"


def test_a_table_of_numbers_becomes_vectors_if_the_option_says_so(tmp_path: Path) -> None:
    path = tmp_path / "iris.csv"
    path.write_text(IRIS)
    options = IngestOptions(input="vector")

    source = source_of(path, options=options)
    rows = read_rows(read, path, options=options)

    assert rows.values is not None
    assert rows.values.tolist() == [[5.1, 3.5], [-6.2, 2900000], [7, 0]]
    assert rows.labels == ["setosa", "rose", "rose"]
    assert list(source.columns) == ["sepal length", "sepal width"]
    assert source.found["label"] == "species"


@pytest.mark.parametrize(
    ("text", "columns", "label"),
    [
        ("5.1,3.5,setosa\n6,7,rose\n", ["column 1", "column 2"], "setosa"),
        ("setosa,5.1,3.5\nrose,6,7\n", ["column 2", "column 3"], "setosa"),
        ("5.1,3.5,1\n6,7,0\n", ["column 1", "column 2"], "1"),
        ("a,a,label\n5.1,3.5,1\n6,7,0\n", ["a (1)", "a (2)"], "1"),
        ("class,a,b\n1,5.1,3.5\n0,6,7\n", ["a", "b"], "1"),
    ],
)
def test_the_label_of_vectors_is_the_named_column_the_only_text_or_the_last(
    tmp_path: Path, text: str, columns: list[str], label: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    options = IngestOptions(input="vector")

    rows = read_rows(read, path, options=options)

    assert list(source_of(path, options=options).columns) == columns
    assert rows.labels[0] == label
    assert rows.values is not None
    assert rows.values.tolist() == [[5.1, 3.5], [6, 7]]


def test_texts_and_gaps_are_never_turned_into_numbers(tmp_path: Path) -> None:
    options = IngestOptions(input="vector")
    (tmp_path / "a.csv").write_text("species,sex,mass\na,m,1\nb,f,2\na,m,3\n")
    (tmp_path / "b.csv").write_text("species,bill,mass\na,1,1\nb,NA,2\na,3,\n")

    (text,) = refusal(tmp_path / "a.csv", options=options)
    gaps = refusal(tmp_path / "b.csv", options=options)

    assert (text.code, text.place) == ("not_numbers", "column 2 (sex)")
    assert [flaw.place for flaw in gaps] == ["line 3, column 2 (bill)", "line 4, column 3 (mass)"]


def test_two_columns_of_numbers_are_no_table_of_pixels(tmp_path: Path) -> None:
    path = tmp_path / "two.csv"
    path.write_text("1,0\n0,1\n1,5\n0,3\n")

    assert [flaw.code for flaw in refusal(path)] == ["not_pixels"]


# --- Columns that are left out ---


def table_file(folder: Path, text: str) -> list[UploadedFile]:
    path = folder / "a.csv"
    path.write_text(text)
    return uploaded(path)


def with_more_columns(images: Images) -> Table:
    """Return a table with names, and a file name and a time around the pixels."""
    table = [["filename", *names(), "taken"]]
    for number, row in enumerate(cells(images)):
        table.append([f"scan, {number}.png", *row, f"2026-01-{number + 1:02}"])
    return table


@pytest.mark.parametrize(
    "ignored", [("filename", "taken"), ("FILENAME", "Taken"), ("1", str(SIDE * SIDE + 3))]
)
def test_columns_are_left_out_by_their_names_or_numbers(
    tmp_path: Path, images: Images, ignored: tuple[str, ...]
) -> None:
    files = table_file(tmp_path, written(with_more_columns(images)))
    source = read(files, IngestOptions(ignore_columns=ignored), Limits())
    rows = rows_of(source)
    np.testing.assert_array_equal(rows.images.reshape(images.pixels.shape), images.pixels)
    assert [int(label) for label in rows.labels] == images.labels.tolist()
    assert source.found["ignored_columns"] == ["filename", "taken"]


@pytest.mark.parametrize("input", [None, "vector"])
def test_a_column_of_texts_is_refused_with_the_option_that_leaves_it_out(
    tmp_path: Path, images: Images, input: str | None
) -> None:
    files = table_file(tmp_path, written(with_more_columns(images)))
    with pytest.raises(Unusable) as caught:
        read(files, IngestOptions(input=input), Limits())
    assert [flaw.place for flaw in caught.value.flaws] == [
        "column 1 (filename)",
        f"column {SIDE * SIDE + 3} (taken)",
    ]
    assert '`ignore_columns`: ["filename", "taken"].' in caught.value.flaws[-1].hint


def test_a_number_for_each_row_is_no_feature_if_it_is_left_out(tmp_path: Path) -> None:
    text = "id,width,height,species\n" + "".join(
        f"{7 * row},{row % 5},{row % 3}.5,{'ab'[row % 2]}\n" for row in range(30)
    )
    files = table_file(tmp_path, text)
    options = IngestOptions(input="vector", ignore_columns=["id", "height"])
    assert read(files, options, Limits()).columns == ["width"]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (IngestOptions(ignore_columns=["nothing"]), "no_column", "It has no column 'nothing'; its"),
        (IngestOptions(ignore_columns=["0"]), "no_column", "It has no column '0'"),
        (
            IngestOptions(label={"column": "label"}, ignore_columns=["label"]),
            "no_label",
            "`ignore_columns` leaves out column 2 (label), which is the label",
        ),
    ],
)
def test_a_column_that_can_not_be_left_out_is_named(
    tmp_path: Path, images: Images, options: IngestOptions, code: str, words: str
) -> None:
    files = table_file(tmp_path, written(with_more_columns(images)))
    with pytest.raises(Unusable, match=re.escape(words)) as caught:
        read(files, options, Limits())
    assert caught.value.flaws[0].code == code
