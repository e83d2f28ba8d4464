"""Tests that images are read from tables however they are written, and faults told with places."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from service.ingest.options import IngestOptions
from service.ingest.tables.table_files import read
from tests.support.ingest_files import Images, read_rows
from tests.support.written_tables import (
    SIDE,
    Table,
    cells,
    is_read,
    names,
    refusal,
    source_of,
    table_images,
    written,
)


@pytest.fixture
def images() -> Images:
    return table_images()


def with_names(table: Table) -> Table:
    return [names(), *table]


def label_last(table: Table) -> Table:
    return [[*row[1:], row[0]] for row in table]


def with_index(table: Table) -> Table:
    header = ["", *names()]
    return [header, *([str(at), *row] for at, row in enumerate(table))]


def with_shuffled_index(table: Table) -> Table:
    header = ["id", *names()]
    return [header, *([str(at * 7 % 24), *row] for at, row in enumerate(table))]


def one_hot_last(table: Table) -> Table:
    classes = [[str(int(row[0] == str(label))) for label in range(3)] for row in table]
    return [[*row[1:], *hot] for row, hot in zip(table, classes, strict=True)]


def label_with_another_name(table: Table) -> Table:
    return [["character", *names()[1:]], *table]


def numbered_columns(table: Table) -> Table:
    return [["label", *map(str, range(SIDE * SIDE))], *table]


@pytest.mark.parametrize(
    "layout",
    [
        lambda table: table,
        with_names,
        label_last,
        lambda table: [[*names()[1:], "Label"], *label_last(table)],
        with_index,
        with_shuffled_index,
        one_hot_last,
        label_with_another_name,
        numbered_columns,
        lambda table: [[f"{row[0]}.0", *row[1:]] for row in table],
        lambda table: [[cell + ".00" for cell in row] for row in table],
        lambda table: [[cell.zfill(3) for cell in row] for row in table],
        lambda table: [[*row, ""] for row in table],
    ],
)
def test_images_are_found_in_every_layout(
    tmp_path: Path, images: Images, layout: Callable[[Table], Table]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(written(layout(cells(images))))

    rows = read_rows(read, path)

    assert (rows.images[..., 0] == images.pixels).all()
    assert [float(label) for label in rows.labels] == images.labels.tolist()


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-16-be").join([b"\xfe\xff", b""]),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace(",", "\t").encode(),
        lambda text: text.replace(",", ";").encode(),
        lambda text: text.replace(",", "|").encode(),
        lambda text: text.replace(",", " ").replace("\n", " \n").encode(),
        lambda text: text.replace(",", "\t").replace("\n", "\t\r\n").encode(),
        lambda text: text.replace(",", ", ").encode(),
        lambda text: text.removesuffix("\n").encode(),
        lambda text: text.replace("\n", "\n\n").encode() + b"\n \n",
        lambda text: gzip.compress(text.encode()),
    ],
)
def test_images_are_read_however_the_text_is_written(
    tmp_path: Path, images: Images, encode: Callable[[str], bytes]
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(encode(written([names(), *cells(images)])))

    assert is_read(path, images)


def test_every_cell_may_stand_in_quotes(tmp_path: Path, images: Images) -> None:
    path = tmp_path / "a.csv"
    path.write_text(written([names(), *cells(images)], is_quoted=True))

    assert is_read(path, images)


def test_fractions_from_0_to_1_are_grey_levels_also_with_a_decimal_comma(
    tmp_path: Path, images: Images
) -> None:
    table = [[row[0], *(f"{int(cell) / 255:.4f}" for cell in row[1:])] for row in cells(images)]
    (tmp_path / "a.csv").write_text(written(table))
    (tmp_path / "b.csv").write_text(written(table, ";").replace(".", ","))

    assert is_read(tmp_path / "a.csv", images)
    assert is_read(tmp_path / "b.csv", images)
    assert source_of(tmp_path / "b.csv").found["decimal"] == "comma"


def test_labels_may_be_names_in_quotes_with_separators_in_them(
    tmp_path: Path, images: Images
) -> None:
    table = cells(images)
    for row in table:
        row[0] = f"Größe {row[0]}, grün"
    path = tmp_path / "a.csv"
    path.write_text(written([names(), *table]))

    assert set(read_rows(read, path).labels) == {f"Größe {k}, grün" for k in range(3)}


@pytest.mark.parametrize("is_last", [False, True])
def test_the_label_is_found_first_or_last_even_in_a_sorted_table_without_names(
    tmp_path: Path, is_last: bool
) -> None:
    pixels = np.zeros((60, SIDE * SIDE), np.uint8)
    pixels[:, 5:70] = np.random.default_rng(3).integers(0, 256, (60, 65))
    labels = [str(at // 30) for at in range(60)]  # the first lines are of one class
    table = [
        [*map(str, row), label] if is_last else [label, *map(str, row)]
        for label, row in zip(labels, pixels.tolist(), strict=True)
    ]
    path = tmp_path / "a.csv"
    path.write_text(written(table))

    assert read_rows(read, path).labels == labels


def test_a_table_of_windows_is_read_and_its_encoding_told(tmp_path: Path, images: Images) -> None:
    table = [["Größe", *row[1:]] for row in cells(images)]
    path = tmp_path / "a.csv"
    path.write_bytes(written([names(), *table]).encode("cp1252"))

    assert set(read_rows(read, path).labels) == {"Größe"}
    assert source_of(path).found["encoding"] == "cp1252"


@pytest.mark.parametrize("asked", ["kind", "KIND", "3"])
def test_the_option_label_names_the_column_or_its_number(
    tmp_path: Path, images: Images, asked: str
) -> None:
    table = [[*row[1:3], row[0], *row[3:]] for row in cells(images)]
    header = ["a", "b", "kind", *(f"c{k}" for k in range(SIDE * SIDE - 2))]
    path = tmp_path / "a.csv"
    path.write_text(written([header, *table]))

    assert is_read(path, images, IngestOptions(label={"column": asked}))


def test_a_column_that_is_not_there_is_refused_with_those_that_are(
    tmp_path: Path, images: Images
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(written([names(), *cells(images)]))

    (flaw,) = refusal(path, options=IngestOptions(label={"column": "kind"}))

    assert flaw.code == "no_label"
    assert "label, pixel0" in flaw.detail


def test_a_column_may_name_the_split_of_each_row(tmp_path: Path, images: Images) -> None:
    words = ["Training", "val", "TEST"]
    table = [[*row, words[at % 3]] for at, row in enumerate(cells(images))]
    path = tmp_path / "a.csv"
    path.write_text(written([[*names(), "Usage"], *table]))

    rows = read_rows(read, path)

    assert rows.splits == ["train", "validation", "test"] * 8
    assert (rows.images[..., 0] == images.pixels).all()


def test_a_word_that_names_no_split_is_refused_with_its_line(
    tmp_path: Path, images: Images
) -> None:
    table = [[*row, "train"] for row in cells(images)]
    table[22][-1] = "tarin"
    path = tmp_path / "a.csv"
    path.write_text(written([[*names(), "split"], *table]))

    (flaw,) = refusal(path)

    assert (flaw.code, flaw.place) == ("no_split", f"line 24, column {SIDE * SIDE + 2} (split)")


def test_tables_of_training_and_testing_are_joined(tmp_path: Path, images: Images) -> None:
    (tmp_path / "train.csv").write_text(written([names(), *cells(images)]))
    (tmp_path / "test.csv").write_text(written(cells(images)[:5]))

    source = source_of(tmp_path / "train.csv", tmp_path / "test.csv")
    rows = read_rows(read, tmp_path / "train.csv", tmp_path / "test.csv")
    list(source.blocks())

    assert rows.splits == ["train"] * 24 + ["test"] * 5
    assert source.place(rows.numbers[0]) == "train.csv, line 2"
    assert source.place(rows.numbers[23]) == "train.csv, line 25"
    assert source.place(rows.numbers[24]) == "test.csv, line 1"


@pytest.mark.parametrize("header", ["emotion,pixels,Usage", None])
@pytest.mark.parametrize("quote", ["", '"'])
def test_all_pixels_of_a_row_may_stand_in_one_cell(
    tmp_path: Path, images: Images, quote: str, header: str | None
) -> None:
    words = ["Training", "PublicTest", "PrivateTest"]
    end = ",{split}" if header else ""
    lines = [
        f"{row[0]},{quote}{' '.join(row[1:])}{quote}{end.format(split=words[at % 3])}"
        for at, row in enumerate(cells(images))
    ]
    path = tmp_path / "faces.csv"
    path.write_text("\n".join([header, *lines] if header else lines))

    rows = read_rows(read, path)

    assert (rows.images[..., 0] == images.pixels).all()
    assert rows.labels == [str(label) for label in images.labels]
    assert rows.splits == (["train", "validation", "test"] if header else [None] * 3) * 8


@pytest.mark.parametrize("header", ["", "label\n"])
def test_labels_may_be_in_files_of_their_own(tmp_path: Path, images: Images, header: str) -> None:
    table = cells(images)
    labels = "".join(f"{row[0]}\n" for row in table)
    (tmp_path / "csvTrainImages 24x81.csv").write_text(written([row[1:] for row in table]))
    (tmp_path / "csvTrainLabel 24x1.csv").write_text(header + labels)
    (tmp_path / "csvTestImages.csv").write_text(written([row[1:] for row in table[:4]]))
    (tmp_path / "csvTestLabel.csv").write_text(labels[:8])

    rows = read_rows(read, *sorted(tmp_path.iterdir()))

    assert rows.splits == ["test"] * 4 + ["train"] * 24
    assert (rows.images[4:, ..., 0] == images.pixels).all()
    assert rows.labels == [row[0] for row in [*table[:4], *table]]


@pytest.mark.parametrize("count", [23, 25])
def test_more_or_fewer_labels_than_rows_are_refused(
    tmp_path: Path, images: Images, count: int
) -> None:
    (tmp_path / "images.csv").write_text(written([row[1:] for row in cells(images)]))
    (tmp_path / "labels.csv").write_text("1\n2\n" * 12 + "1\n" if count > 24 else "1\n" * count)

    (flaw,) = refusal(tmp_path / "images.csv", tmp_path / "labels.csv")

    assert flaw.code == "rows_differ"
    assert f"{count} labels" in flaw.detail


def test_labels_that_belong_to_no_table_are_refused(tmp_path: Path, images: Images) -> None:
    (tmp_path / "train.csv").write_text(written(cells(images)))
    (tmp_path / "test.csv").write_text(written(cells(images)))
    (tmp_path / "labels.csv").write_text("1\n" * 24)

    (flaw,) = refusal(*sorted(tmp_path.iterdir()))

    assert (flaw.code, flaw.place) == ("no_counterpart", "labels.csv")


def test_a_test_table_without_labels_is_named(tmp_path: Path, images: Images) -> None:
    (tmp_path / "train.csv").write_text(written(cells(images)))
    (tmp_path / "test.csv").write_text(written([row[1:] for row in cells(images)]))

    (flaw,) = refusal(tmp_path / "train.csv", tmp_path / "test.csv")

    assert (flaw.code, flaw.place) == ("no_label", "test.csv")


def test_what_was_found_is_reported(tmp_path: Path, images: Images) -> None:
    path = tmp_path / "a.tsv"
    path.write_text(written(with_index(cells(images)), "\t"))

    source = source_of(path)

    assert source.found == {
        "format": "csv",
        "encoding": "utf-8",
        "separator": "tab",
        "header": True,
        "label": "label",
        "range": [0, 255],
    }
    assert [doubt.code for doubt in source.doubts] == ["index_column"]


def test_images_that_are_not_square_need_the_option_size(tmp_path: Path, images: Images) -> None:
    path = tmp_path / "a.csv"
    path.write_text(written([row[:73] for row in [names(), *cells(images)]]))

    (flaw,) = refusal(path)
    rows = read_rows(read, path, options=IngestOptions(size=(8, 9)))

    assert flaw.code == "not_pixels"
    assert "`size`" in flaw.hint
    assert (rows.images[..., 0] == images.pixels[:, :8]).all()


def test_a_table_is_read_in_pieces_with_the_lines_that_the_rows_have(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (9000, 100), np.uint8)
    lines = [",".join(map(str, [at % 7, *row])) for at, row in enumerate(pixels.tolist())]
    lines.insert(4321, "")  # a blank line
    path = tmp_path / "a.csv"
    path.write_text("\n".join(lines))

    source = source_of(path)
    blocks = list(source.blocks())
    numbers = [number for block in blocks for number in block.rows]

    assert len(blocks) > 2
    assert (np.concatenate([block.images for block in blocks]).reshape(9000, -1) == pixels).all()
    assert source.place(numbers[4320]) == "line 4321"
    assert source.place(numbers[4321]) == "line 4323"
    assert source.place(numbers[8999]) == "line 9001"
