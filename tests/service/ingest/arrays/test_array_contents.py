"""Tests that arrays of any number type and shape become images, labels and vectors."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.ingest.arrays.array_source import read
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from tests.support.ingest_files import Images, flaws_of, npz, read_rows, uploaded

refusal = partial(flaws_of, read)


# --- npz: number types and shapes ---


@pytest.mark.parametrize(
    "written",
    [
        lambda pixels: pixels.astype(np.int64),
        lambda pixels: pixels.astype(np.float32),
        lambda pixels: (pixels / 255).astype(np.float32),
        lambda pixels: np.round(pixels / 255, 3),
        lambda pixels: (pixels.astype(np.uint16) * 257).astype(">u2"),
        lambda pixels: np.asfortranarray(pixels),
        lambda pixels: np.asfortranarray(pixels[..., None]),
        lambda pixels: pixels[..., None],
        lambda pixels: pixels[:, None],
    ],
)
def test_the_same_images_come_out_of_every_number_type_and_order(
    tmp_path: Path, images: Images, written: Any
) -> None:
    path = npz(tmp_path / "a.npz", x=written(images.pixels), y=images.labels)

    assert (read_rows(read, path).images[..., 0] == images.pixels).all()


def test_square_images_may_lie_in_rows_and_others_with_the_option_size(tmp_path: Path) -> None:
    pixels = np.arange(36, dtype=np.uint8).reshape(4, 9) * 7
    square = npz(tmp_path / "a.npz", x=pixels, y=np.arange(4))
    other = npz(tmp_path / "b.npz", x=pixels[:, :8], y=np.arange(4))

    assert read_rows(read, square).images.shape == (4, 3, 3, 1)
    assert read_rows(read, other, options=IngestOptions(size=(2, 4))).images.shape == (4, 2, 4, 1)
    assert refusal(other)[0].code == "not_images"


def test_colours_may_be_the_first_axis_or_the_last(tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (6, 4, 5, 3), np.uint8)
    last = npz(tmp_path / "a.npz", x=pixels, y=np.arange(6))
    first = npz(tmp_path / "b.npz", x=pixels.transpose(0, 3, 1, 2), y=np.arange(6))

    assert (read_rows(read, last).images == pixels).all()
    assert (read_rows(read, first).images == pixels).all()


def test_black_and_white_become_0_and_255(tmp_path: Path, images: Images) -> None:
    for name, written in {
        "bool": images.pixels > 99,
        "bits": (images.pixels > 99).astype("u1"),
    }.items():
        path = npz(tmp_path / f"{name}.npz", x=written, y=images.labels)

        assert (read_rows(read, path).images[..., 0] == 255 * (images.pixels > 99)).all()


def test_a_dark_test_set_has_the_scale_of_the_training_set(tmp_path: Path, images: Images) -> None:
    dark = np.ones((2, 4, 5), np.uint8)
    path = npz(
        tmp_path / "a.npz", x_train=images.pixels, y_train=images.labels, x_test=dark, y_test=[0, 1]
    )

    assert set(read_rows(read, path).images[12:].ravel().tolist()) == {1}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([0, 8, 16], "[0, 16]"),
        ([-1.0, 0.0, 1.0], "[-1, 1]"),
        ([0, 300, 900], "[0, 900]"),
        ([0, 4000, 70000], "[0, 70000]"),
    ],
)
def test_values_of_an_unknown_scale_are_refused_until_the_option_says_it(
    tmp_path: Path, values: list[float], told: str
) -> None:
    pixels = np.array([values] * 3).reshape(3, 1, 3)
    path = npz(tmp_path / "a.npz", x=pixels, y=[0, 1, 2])

    (flaw,) = refusal(path)
    low, high = min(values), max(values)
    rows = read_rows(read, path, options=IngestOptions(range=(low, high)))

    assert flaw.code == "range"
    assert told in flaw.hint
    assert rows.images[0].ravel().tolist() == [
        round(255 * (value - low) / (high - low)) for value in values
    ]


def test_values_outside_of_the_option_range_are_clipped_and_told(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x=np.array([[[-5.0, 0.0, 10.0, 20.0]]]), y=[1])

    source = read(uploaded(path), IngestOptions(range=(0, 10)), Limits())

    assert next(source.blocks()).images.ravel().tolist() == [0, 0, 255, 255]
    assert [doubt.code for doubt in source.doubts] == ["cropped_range"]


def test_pixels_that_are_no_numbers_are_refused_with_their_rows(tmp_path: Path) -> None:
    pixels = np.ones((30, 2, 2), np.float32)
    pixels[2:28, 1, 1] = np.nan
    pixels[3, 0, 0] = np.inf
    path = npz(tmp_path / "a.npz", x=pixels, y=np.zeros(30))

    flaws = refusal(path)

    assert len(flaws) == 20
    assert {flaw.code for flaw in flaws} == {"not_a_number"}
    assert flaws[1].place == "x float32 (30, 2, 2), row 3"


# --- npz: labels ---


@pytest.mark.parametrize(
    "written",
    [
        lambda labels: labels.astype(np.int64),
        lambda labels: labels.astype(">i4"),
        lambda labels: labels.astype(np.float32),
        lambda labels: labels[:, None],
        lambda labels: np.eye(3, dtype=np.float32)[labels],
        lambda labels: np.asfortranarray(np.eye(3, dtype=bool)[labels]),
        lambda labels: labels.astype(str),
        lambda labels: labels.astype("S3"),
    ],
)
def test_labels_may_be_numbers_texts_columns_or_one_hot(
    tmp_path: Path, images: Images, written: Any
) -> None:
    path = npz(tmp_path / "a.npz", x=images.pixels, y=written(images.labels))

    assert read_rows(read, path).labels == [str(label) for label in images.labels]


@pytest.mark.parametrize(
    ("labels", "row"),
    [
        (np.array([0, 1, 0.5]), 2),
        (np.array([0, np.nan, 1]), 1),
        (np.array([[1, 0], [1, 1], [0, 1]]), 1),
        (np.array([[1, 0], [0, 1], [0, 0]]), 2),
        (np.array(["a", " ", "b"]), 1),
    ],
)
def test_rows_without_one_label_are_refused_with_their_rows(
    tmp_path: Path, labels: np.ndarray[Any, Any], row: int
) -> None:
    path = npz(tmp_path / "a.npz", x=np.ones((3, 2, 2), bool), y=labels)

    (flaw,) = refusal(path)

    assert flaw.code == "no_label"
    assert flaw.place.endswith(f", row {row}")


# --- Vectors ---


def test_rows_of_numbers_are_vectors_if_the_option_says_so(tmp_path: Path) -> None:
    values = np.array([[5.1, -3.5], [1e6, 0.2], [7, 3]])
    path = npz(
        tmp_path / "a.npz",
        data=values,
        target=[0, 1, 0],
        feature_names=np.array(["length", "width"]),
        target_names=np.array(["iris", "rose"]),
    )

    source = read(uploaded(path), IngestOptions(input="vector"), Limits())
    rows = read_rows(read, path, options=IngestOptions(input="vector"))

    assert rows.values is not None
    assert (rows.values == values).all()
    assert rows.labels == ["iris", "rose", "iris"]
    assert list(source.columns) == ["length", "width"]


def test_gaps_in_vectors_are_told_with_row_and_column(tmp_path: Path) -> None:
    values = np.array([[1, 2], [3, np.nan], [np.inf, 1]])
    path = npz(tmp_path / "a.npz", x=values, y=[0, 1, 0])

    flaws = refusal(path, options=IngestOptions(input="vector"))

    assert [flaw.place for flaw in flaws] == [
        "x float64 (3, 2), row 1, column 2",
        "x float64 (3, 2), row 2, column 1",
    ]
