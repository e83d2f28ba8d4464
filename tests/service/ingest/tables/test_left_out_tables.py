"""Tests that tables of competitions and of codes are left out, and that the report says so."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.source import Source
from service.ingest.tables.table_files import read
from tests.support.ingest_files import rows_of, uploaded

PIXELS = np.random.default_rng(3).integers(0, 256, (12, 64))
NAMES = [f"pixel{number}" for number in range(64)]


def table(path: Path, names: Sequence[str], *rows: Sequence[object]) -> Path:
    lines: list[Sequence[object]] = [names, *rows] if names else list(rows)
    path.write_text("".join(",".join(map(str, line)) + "\n" for line in lines))
    return path


def source_of(*paths: Path, options: IngestOptions | None = None) -> Source:
    return read(uploaded(*paths), options or IngestOptions(), Limits())


def labelled() -> list[list[object]]:
    return [[row % 3, *pixels] for row, pixels in enumerate(PIXELS.tolist())]


@pytest.mark.parametrize("label", ["label", "what"])
def test_the_images_that_a_competition_asks_about_are_left_out(tmp_path: Path, label: str) -> None:
    asked = table(tmp_path / "test.csv", NAMES, *PIXELS.tolist())
    answer = table(tmp_path / "sample_submission.csv", ["ImageId", "Label"], [1, 0], [2, 0])
    train = table(tmp_path / "train.csv", [label, *NAMES], *labelled())

    source = source_of(asked, answer, train)

    assert rows_of(source).labels == [str(row % 3) for row in range(12)]
    assert [(doubt.code, doubt.examples) for doubt in source.doubts] == [
        ("unlabelled", ["test.csv"])
    ]
    assert source.ignored == {"other tables": 1}


def test_the_column_that_only_the_training_table_has_is_the_label(tmp_path: Path) -> None:
    values = [[row, row % 2, row / 8, row % 5] for row in range(12)]
    train = table(tmp_path / "train.csv", ["Id", "Bought", "a", "b"], *values)
    asked = table(tmp_path / "test.csv", ["Id", "a", "b"], *([it[0], *it[2:]] for it in values))

    source = source_of(train, asked, options=IngestOptions(input="vector"))

    assert source.columns == ["a", "b"]
    assert rows_of(source).labels == [str(row % 2) for row in range(12)]


def test_test_tables_with_labels_are_read(tmp_path: Path) -> None:
    paths = [
        table(tmp_path / f"{split}.csv", ["label", *NAMES], *labelled())
        for split in ("train", "test")
    ]

    assert rows_of(source_of(*paths)).splits == ["train"] * 12 + ["test"] * 12


def test_the_codes_of_letters_are_no_table_of_images(tmp_path: Path) -> None:
    train = table(tmp_path / "emnist-letters-train.csv", [], *labelled())
    codes = tmp_path / "emnist-letters-mapping.txt"
    codes.write_text("1 65 97\n2 66 98\n")

    source = source_of(train, codes)

    assert len(rows_of(source).labels) == 12
    assert source.ignored == {"other tables": 1}


def test_labels_and_pixels_of_data_frames_are_numbered_and_belong_together(tmp_path: Path) -> None:
    numbered = [[row, *pixels] for row, pixels in enumerate(PIXELS.tolist())]
    images = table(tmp_path / "X.csv", ["", *map(str, range(64))], *numbered)
    labels = table(tmp_path / "y.csv", ["", "0"], *([row, f"c{row % 2}"] for row in range(12)))

    rows = rows_of(source_of(images, labels))

    assert rows.labels == ["c0", "c1"] * 6
    assert (rows.images.reshape(12, 64) == PIXELS).all()
