"""Tests that columns are found in tables as Excel, R, pandas and competitions write them."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.refusal import Flaw, Unusable
from service.ingest.source import Source
from service.ingest.tables.table_files import read
from tests.support.ingest_files import rows_of, uploaded

Column = Sequence[object] | np.ndarray
ROWS = 24
PIXELS = np.random.default_rng(8).integers(0, 256, (ROWS, 100))
PIXELS[:, 0] = PIXELS[:, 99] = 0
LABELS = [str(row * 7 % 3) for row in range(ROWS)]


def source_of(path: Path, text: str, input: str | None = None) -> Source:
    path.write_text(text)
    return read(uploaded(path), IngestOptions(input=input), Limits())


def refusal(path: Path, text: str) -> Flaw:
    with pytest.raises(Unusable) as caught:
        rows_of(source_of(path, text))
    return caught.value.flaws[0]


def lines(*columns: Column, names: str = "", end: str = "\n") -> str:
    """Return a table of columns; an array is as many columns as it is wide."""
    parts = [np.asarray(column).reshape(len(column), -1).tolist() for column in columns]
    rows = [
        ",".join(str(cell) for part in row for cell in part) for row in zip(*parts, strict=True)
    ]
    return end.join([names, *rows] if names else rows) + end


def numbered(count: int) -> str:
    return ",".join(map(str, range(count)))


NUMBERS = range(ROWS)
REPEATED = ",".join(["0", *(f"0.{number}" for number in range(1, 101))])
"""What pandas makes of a first row of zeros that it takes for names."""


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(lines(LABELS, PIXELS, names=REPEATED), id="names that pandas made of a row"),
        pytest.param(lines(LABELS, PIXELS, names=numbered(101)), id="numbers as names"),
        pytest.param(lines(PIXELS, LABELS, names=numbered(101)), id="numbers as names, label last"),
        pytest.param(
            lines(NUMBERS, PIXELS, LABELS, names="," + numbered(101)),
            id="a data frame without names, label last",
        ),
        pytest.param(
            lines(NUMBERS, LABELS, PIXELS, names="," + numbered(101)),
            id="a data frame without names, label first",
        ),
        pytest.param(
            lines(
                NUMBERS,
                NUMBERS,
                LABELS,
                PIXELS,
                names="Unnamed: 0.1,Unnamed: 0,label," + numbered(100),
            ),
            id="saved twice with the numbers of the rows",
        ),
        pytest.param(
            lines(NUMBERS, LABELS, PIXELS, names="label," + numbered(100)),
            id="R, numbers of rows without a name",
        ),
        pytest.param(
            "sep=,\r\n" + lines(LABELS, PIXELS, names="label," + numbered(100), end="\r\n"),
            id="the separator told to Excel",
        ),
    ],
)
def test_label_and_pixels_are_found(tmp_path: Path, text: str) -> None:
    rows = rows_of(source_of(tmp_path / "data.csv", text))

    assert rows.labels == LABELS
    assert (rows.images.reshape(ROWS, 100) == PIXELS).all()


def test_the_line_of_a_fault_is_right_after_a_line_for_excel(tmp_path: Path) -> None:
    text = "sep=,\n" + lines(LABELS, PIXELS, names="label," + numbered(100)) + "1,2\n"

    assert refusal(tmp_path / "data.csv", text).place == f"line {ROWS + 3}"


def test_a_first_line_with_other_columns_is_refused_with_both_numbers(tmp_path: Path) -> None:
    flaw = refusal(tmp_path / "wine.csv", "178,13,a,b\n" + lines(LABELS, PIXELS))

    assert flaw.code == "ragged"
    assert "4 columns" in flaw.detail
    assert "101" in flaw.detail


def test_names_without_rows_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "data.csv", "label,a,b\n").code == "empty"


@pytest.mark.parametrize("is_last", [False, True], ids=["label first", "label last"])
def test_the_line_of_python_for_colours_makes_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_last: bool
) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (ROWS, 300))
    names = [f"pixel{number}" for number in range(300)]
    if is_last:
        text = lines(pixels, LABELS, names=",".join([*names, "label"]))
    else:
        text = lines(LABELS, pixels, names=",".join(["label", *names]))

    flaw = refusal(tmp_path / "data.csv", text)

    monkeypatch.chdir(tmp_path)
    line = re.search(r"(import numpy; .*)\. If", flaw.hint)
    assert line
    exec(line[1])
    with np.load("data.npz") as made:
        assert (made["images"].reshape(ROWS, 300) == pixels).all()
        assert made["labels"].tolist() == [float(label) for label in LABELS]


VALUES = np.random.default_rng(4).integers(0, 1000, (60, 5)) / 8
FEW = [str(row % 3 + 1) for row in range(60)]
MANY = [str(row * 17 % 59) for row in range(60)]
PAIRS = [str(row % 2) for row in range(60)]
LETTERS = [chr(65 + row % 26) for row in range(60)]


@pytest.mark.parametrize(
    ("columns", "label"),
    [
        ((FEW, VALUES, MANY), FEW),
        ((MANY, VALUES, FEW), FEW),
        ((FEW, VALUES, PAIRS), PAIRS),
        ((LETTERS, VALUES), LETTERS),
    ],
    ids=["first", "last", "last of two", "letters first"],
)
def test_the_label_of_vectors_is_the_end_that_holds_few_values(
    tmp_path: Path, columns: tuple[Column, ...], label: list[str]
) -> None:
    rows = rows_of(source_of(tmp_path / "data.csv", lines(*columns), input="vector"))

    assert rows.labels == label


def test_names_of_the_rows_are_no_label_of_vectors(tmp_path: Path) -> None:
    animals = [f"animal{row}" for row in range(60)]

    with pytest.raises(Unusable, match="column 1: It holds no numbers"):
        source_of(tmp_path / "zoo.csv", lines(animals, VALUES, FEW), input="vector")
