"""Tests that the form of a set is found: polarity, channels, digits or not, columns."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.domain.dataset_manifest import Column, InputForm
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.preparation import Preparation
from service.ingest.refusal import Unusable
from service.ingest.source import Source
from service.ingest.staging import stage
from service.ingest.stored_form import StoredForm, form_of
from tests.support.drawn_digits import mnist
from tests.support.sources import source_of, table_of


def formed(
    source: Source,
    path: Path,
    options: IngestOptions | None = None,
    train: list[bool] | None = None,
) -> tuple[StoredForm, NDArray[np.uint8]]:
    """Return the form of a set, and its rows in this form."""
    options = options or IngestOptions()
    preparation = Preparation(options)
    staged = stage(source, preparation.rows, path / "rows", Limits(), lambda *_: None)
    everything = np.ones(len(staged), np.bool_)
    wanted = everything if train is None else np.array(train)
    form = form_of(staged, preparation, options, source.columns, wanted)
    return form, np.concatenate(list(form.pieces(everything)))


def of_images(images: NDArray[np.uint8]) -> Source:
    return source_of(images, ["a"] * len(images))


DIGITS = mnist("t10k")[:200]


def test_images_of_mnists_form_are_digits_and_stay_as_they_are(tmp_path: Path) -> None:
    form, rows = formed(of_images(DIGITS), tmp_path)

    assert (form.input, form.digit_share, form.invert) == (InputForm.DIGIT, 1, False)
    assert form.shape == (28, 28)
    assert (rows == DIGITS.reshape(200, 784)).all()


def test_digits_on_white_paper_are_inverted_and_are_digits_then(tmp_path: Path) -> None:
    form, rows = formed(of_images(255 - DIGITS), tmp_path)

    assert (form.input, form.invert) == (InputForm.DIGIT, True)
    assert (rows == DIGITS.reshape(200, 784)).all()


def test_a_hundredth_of_other_images_is_borne_among_digits(tmp_path: Path) -> None:
    for others, expected in ((2, InputForm.DIGIT), (3, InputForm.IMAGE)):
        images = DIGITS.copy()
        images[:others] = np.roll(images[:others], 9, axis=2)

        assert formed(of_images(images), tmp_path)[0].input is expected


def test_an_option_says_that_images_are_none_of_digits(tmp_path: Path) -> None:
    form, _ = formed(of_images(DIGITS), tmp_path, IngestOptions(input="image"))

    assert (form.input, form.digit_share) == (InputForm.IMAGE, 1)


def test_an_option_says_that_images_are_not_to_be_inverted(tmp_path: Path) -> None:
    images = 255 - DIGITS

    assert (formed(of_images(images), tmp_path, IngestOptions(invert=False))[1][0] == 255).sum()
    assert not formed(of_images(images), tmp_path, IngestOptions(invert=False))[0].invert
    assert formed(of_images(DIGITS), tmp_path, IngestOptions(invert=True))[0].invert


def test_images_of_another_size_are_no_digits_and_can_not_be_said_to_be(tmp_path: Path) -> None:
    images = DIGITS[:, 4:24, 4:24]

    assert formed(of_images(images), tmp_path)[0].digit_share is None
    with pytest.raises(Unusable, match=r"Its images have the shape \(20, 20\)"):
        formed(of_images(images), tmp_path, IngestOptions(input="digit"))


def test_greys_that_are_stored_as_colours_become_one_channel(tmp_path: Path) -> None:
    grey = np.repeat(DIGITS[..., None], 3, axis=3)

    for color in ("grey", "keep"):
        form, rows = formed(of_images(grey), tmp_path, IngestOptions(color=color))
        assert (form.shape, form.input) == ((28, 28), InputForm.DIGIT)
        assert (rows == DIGITS.reshape(200, 784)).all()


def test_colours_become_grey_unless_they_are_kept(tmp_path: Path) -> None:
    colours = np.zeros((2, 4, 5, 3), np.uint8)
    colours[:, 1:3, 1:3] = (200, 100, 50)

    kept, rows = formed(of_images(colours), tmp_path, IngestOptions(color="keep"))
    assert kept.shape == (4, 5, 3)
    assert (rows == colours.reshape(2, 60)).all()
    grey, rows = formed(of_images(colours), tmp_path)
    assert grey.shape == (4, 5)
    assert rows.shape == (2, 20)
    assert rows[0].max() == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)


def test_columns_are_scaled_to_the_range_of_the_training_rows(tmp_path: Path) -> None:
    values = np.array([[4.3, 7], [7.9, 7], [5.2, 7], [9, 6]], np.float32)
    source = table_of(values, ["length", "colour"], list("abab"), [None] * 4)

    form, rows = formed(source, tmp_path, train=[True, True, True, False])

    assert form.columns == (Column("length", 4.3, 7.9), Column("colour", 7, 7))
    assert (form.input, form.shape) == (InputForm.VECTOR, (2,))
    assert rows.tolist() == [[0, 0], [255, 0], [round(255 * 0.9 / 3.6), 0], [255, 0]]
    assert form.clipped == 1


def test_numbers_are_not_taken_for_images_nor_images_for_numbers(tmp_path: Path) -> None:
    table = table_of(np.ones((2, 2), np.float32), ["x", "y"], ["a", "b"], [None] * 2)

    with pytest.raises(Unusable, match="numbers that are no pixels"):
        formed(table, tmp_path, IngestOptions(input="image"))
    with pytest.raises(Unusable, match="and the files hold images"):
        formed(of_images(DIGITS), tmp_path, IngestOptions(input="vector"))
