"""Tests that images and vectors are read from JSON lines, and that faults are told with lines."""

import gzip
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.refusal import Unusable
from service.ingest.tables.json_lines import read
from tests.support.ingest_files import Images, flaws_of, read_rows, uploaded

refusal = partial(flaws_of, read)
VECTOR = IngestOptions(input="vector")


def written(path: Path, records: list[Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def records(images: Images) -> list[dict[str, Any]]:
    pairs = zip(images.pixels.tolist(), images.labels.tolist(), strict=True)
    return [{"image": pixels, "label": label} for pixels, label in pairs]


@pytest.mark.parametrize(("pixels", "label"), [("image", "label"), ("pixels", "class")])
def test_each_line_holds_the_pixels_and_the_label_of_an_image(
    tmp_path: Path, images: Images, pixels: str, label: str
) -> None:
    found = [{pixels: it["image"], label: it["label"], "id": 7} for it in records(images)]
    path = written(tmp_path / "a.jsonl", found)

    rows = read_rows(read, path)
    source = read(uploaded(path), IngestOptions(), Limits())
    list(source.blocks())

    assert (rows.images[..., 0] == images.pixels).all()
    assert rows.labels == [str(it) for it in images.labels]
    assert source.place(rows.numbers[11]) == "line 12"
    assert source.found == {"format": "json_lines", "label": label, "range": [0, 255]}


def test_pixels_may_be_fractions_in_a_row_and_the_file_packed(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (5, 9), np.uint8)
    lines = [
        {"image": np.round(row / 255, 3).tolist(), "label": f"class {at % 2}"}
        for at, row in enumerate(pixels)
    ]
    path = written(tmp_path / "a.jsonl", lines)
    path.write_bytes(gzip.compress(path.read_bytes()))

    rows = read_rows(read, path)

    assert (rows.images.reshape(5, 9) == pixels).all()
    assert rows.labels == ["class 0", "class 1"] * 2 + ["class 0"]


def test_pixels_may_have_colours(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (5, 4, 6, 3), np.uint8)
    path = written(tmp_path / "a.jsonl", [{"image": it.tolist(), "label": 1} for it in pixels])

    assert (read_rows(read, path).images == pixels).all()


def test_splits_are_those_of_a_field_or_of_the_names_of_the_files(
    tmp_path: Path, images: Images
) -> None:
    train = written(tmp_path / "train.jsonl", records(images))
    test = written(tmp_path / "test.jsonl", records(images)[:4])
    mixed = written(
        tmp_path / "a.jsonl",
        [it | {"split": "test" if at % 2 else "train"} for at, it in enumerate(records(images))],
    )

    both = read(uploaded(train, test), IngestOptions(), Limits())
    numbers = [number for block in both.blocks() for number in block.rows]

    assert read_rows(read, train, test).splits == ["train"] * 12 + ["test"] * 4
    assert read_rows(read, mixed).splits == ["train", "test"] * 6
    assert both.place(numbers[12]) == "test.jsonl, line 1"


def test_of_two_fields_that_may_say_the_split_the_better_known_one_does(
    tmp_path: Path, images: Images
) -> None:
    both = [
        it | {"usage": "train", "split": "test" if at % 2 else "train"}
        for at, it in enumerate(records(images))
    ]
    assert read_rows(read, written(tmp_path / "a.jsonl", both)).splits == ["train", "test"] * 6


def test_each_other_field_is_a_number_of_a_vector(tmp_path: Path) -> None:
    path = written(
        tmp_path / "iris.jsonl",
        [
            {"length": 5.1, "width": -3, "species": "setosa"},
            {"species": "rose", "width": 2.5, "length": 1e6},
        ],
    )

    rows = read_rows(read, path, options=VECTOR)

    assert rows.values is not None
    assert rows.values.tolist() == [[5.1, -3.0], [1e6, 2.5]]
    assert rows.labels == ["setosa", "rose"]
    assert list(read(uploaded(path), VECTOR, Limits()).columns) == ["length", "width"]


@pytest.mark.parametrize(
    ("line", "code", "place"),
    [
        ("{", "damaged", "line 13"),
        ("[" * 9000, "damaged", "line 13"),
        ("7", "not_json_lines", "line 13"),
        ('{"image": [[1, 2], [3]], "label": 1}', "not_pixels", "line 13, field 'image'"),
        ('{"image": [[1, 2], [3, 4]], "label": 1}', "sizes_differ", "line 13"),
        ('{"image": [1, null], "label": 1}', "not_a_number", "line 13, field 'image'"),
        ('{"image": [1, NaN], "label": 1}', "not_a_number", "line 13, field 'image'"),
        ('{"image": [1, 1e999], "label": 1}', "not_a_number", "line 13, field 'image'"),
        ('{"image": [], "label": 1}', "not_a_number", "line 13, field 'image'"),
        ('{"image": "a.png", "label": 1}', "not_pixels", "line 13, field 'image'"),
        ('{"label": 1}', "not_pixels", "line 13, field 'image'"),
        ('{"image": %s, "label": null}', "no_label", "line 13, field 'label'"),
        ('{"image": %s, "label": [1]}', "no_label", "line 13, field 'label'"),
        ('{"image": %s}', "no_label", "line 13, field 'label'"),
    ],
)
def test_lines_that_are_no_images_are_refused_with_their_place(
    tmp_path: Path, images: Images, line: str, code: str, place: str
) -> None:
    path = written(tmp_path / "a.jsonl", records(images))
    pixels = json.dumps(images.pixels[0].tolist())
    path.write_text(path.read_text() + line.replace("%s", pixels) + "\n")

    (flaw,) = refusal(path)

    assert (flaw.code, flaw.place) == (code, place)


@pytest.mark.parametrize("line", [2, 1190])
@pytest.mark.parametrize("value", [256, -1, 70000])
def test_a_pixel_on_no_scale_of_the_others_is_refused_with_its_line(
    tmp_path: Path, value: int, line: int
) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (1200, 9, 9))
    pixels[line - 1, 1, 2] = value
    path = written(tmp_path / "a.jsonl", [{"image": it.tolist(), "label": 1} for it in pixels])

    (flaw,) = refusal(path)

    assert (flaw.code, flaw.place) == ("out_of_range", f"line {line}, pixel 12")
    assert str(value) in flaw.detail


def test_a_list_of_objects_is_refused_with_the_line_that_makes_lines_of_it(
    tmp_path: Path, images: Images
) -> None:
    path = tmp_path / "data.json"
    path.write_text(json.dumps(records(images)))

    (flaw,) = refusal(path)
    code = flaw.hint.partition(": ")[2].replace('"data.json', f'"{path}')
    exec(code.replace('"data.jsonl', f'"{path}l'))

    assert flaw.code == "not_json_lines"
    assert (read_rows(read, tmp_path / "data.jsonl").images[..., 0] == images.pixels).all()


@pytest.mark.parametrize(
    ("record", "options", "code"),
    [
        ({"data": [1, 2, 3, 4]}, IngestOptions(), "no_label"),
        ({"image": [1, 2, 3, 4], "label": 1}, IngestOptions(label={"column": "x"}), "no_label"),
        ({"a": 1.5, "label": 1}, IngestOptions(), "not_pixels"),
        ({"label": 1}, VECTOR, "not_vectors"),
        ({"a": None, "label": 1}, VECTOR, "not_a_number"),
        ({"a": True, "label": 1}, VECTOR, "not_a_number"),
        ({"a": float("nan"), "label": 1}, VECTOR, "not_a_number"),
        ({"image": [1.5, -2, 3, 4], "label": 1}, IngestOptions(), "not_pixels"),
        ({"image": [[0] * 257] * 2, "label": 1}, IngestOptions(), "too_large"),
    ],
)
def test_objects_without_pixels_and_labels_are_refused(
    tmp_path: Path, record: dict[str, Any], options: IngestOptions, code: str
) -> None:
    path = written(tmp_path / "a.jsonl", [record] * 3)

    assert refusal(path, options=options)[0].code == code


def test_more_rows_than_the_limit_are_refused(tmp_path: Path, images: Images) -> None:
    path = written(tmp_path / "a.jsonl", records(images))

    assert refusal(path, limits=Limits(rows=11))[0].code == "too_large"


def test_no_more_than_20_flaws_are_listed(tmp_path: Path, images: Images) -> None:
    path = written(tmp_path / "a.jsonl", records(images))
    path.write_text(path.read_text() + "{\n" * 50)

    assert len(refusal(path)) == 20


def test_a_field_that_is_no_number_is_left_out_as_the_error_says(tmp_path: Path) -> None:
    lines = [{"id": f"r{row}", "width": row, "species": "ab"[row % 2]} for row in range(6)]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(Unusable) as caught:
        read_rows(read, path, options=IngestOptions(input="vector", label={"column": "species"}))
    assert caught.value.flaws[0].hint == ('Leave it out with the option `ignore_columns`: ["id"].')
    options = IngestOptions(input="vector", label={"column": "species"}, ignore_columns=["id"])
    values = read_rows(read, path, options=options).values
    assert values is not None
    assert values.tolist() == [[float(row)] for row in range(6)]


@pytest.mark.parametrize("names", [("images", "labels"), ("x_train", "y_train")])
def test_a_document_of_lists_is_refused_with_the_line_that_makes_arrays_of_it(
    tmp_path: Path, images: Images, names: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {names[0]: images.pixels.tolist(), names[1]: images.labels.tolist()}
    (tmp_path / "data.json").write_text(json.dumps(document))

    (flaw,) = refusal(tmp_path / "data.json")

    assert flaw.code == "not_json_lines"
    assert names[1] in flaw.detail
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    exec(
        flaw.hint.partition(": ")[2].replace('json.load(open("data.json"))', repr(document)), scope
    )
    with np.load("data.npz") as made:
        assert (made[names[0]] == images.pixels).all()
        assert (made[names[1]] == images.labels).all()


def test_a_list_beside_pixels_is_no_list_of_labels(tmp_path: Path) -> None:
    line = json.dumps({"image": [[0, 255], [255, 0]], "shape": [2, 2], "label": "a"})
    (tmp_path / "data.jsonl").write_text(f"{line}\n{line}\n")

    assert read_rows(read, tmp_path / "data.jsonl").labels == ["a", "a"]
