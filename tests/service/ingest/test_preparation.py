"""Tests that images are brought into the form in which they are stored."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.domain.dataset_manifest import Resize
from service.inference.grey_levels import grey_of
from service.inference.image_normalization import mnist_box
from service.ingest.options import IngestOptions
from service.ingest.preparation import Preparation
from service.ingest.refusal import Unusable
from service.ingest.source import Block
from tests.support.drawn_digits import mnist

RNG = np.random.default_rng(3)


def block(images: NDArray[np.uint8]) -> Block:
    return Block(range(len(images)), images, ["a"] * len(images), [None] * len(images))


def prepared(images: NDArray[np.uint8], **options: object) -> NDArray[np.uint8]:
    rows: NDArray[np.uint8] = Preparation(IngestOptions.from_record(options)).rows(block(images))
    return rows


def test_images_that_need_nothing_stay_as_they_are() -> None:
    images = RNG.integers(0, 256, (3, 4, 5, 1), np.uint8)

    assert (prepared(images) == images).all()


def test_colours_become_the_greys_that_a_prediction_sees() -> None:
    images = RNG.integers(0, 256, (3, 9, 9, 3), np.uint8)

    greys = prepared(images)

    assert greys.shape == (3, 9, 9, 1)
    for image, grey in zip(images, greys, strict=True):
        assert (grey[..., 0] == grey_of(Image.fromarray(image))).all()


def test_transparent_parts_are_put_on_white_paper() -> None:
    images = np.zeros((1, 1, 3, 4), np.uint8)
    images[0, 0, :, 3] = (255, 0, 51)

    assert prepared(images)[0, 0, :, 0].tolist() == [0, 255, 204]


def test_opaque_images_lose_the_channel_of_transparency() -> None:
    images = np.full((1, 2, 2, 4), 255, np.uint8)
    images[..., :3] = (10, 200, 30)

    assert (prepared(images, color="keep") == images[..., :3]).all()


def test_transposed_images_have_rows_for_columns() -> None:
    images = RNG.integers(0, 256, (2, 3, 5, 1), np.uint8)

    assert (prepared(images, transpose=True)[1, ..., 0] == images[1, ..., 0].T).all()


def test_a_size_is_that_of_the_stored_images_also_if_they_are_transposed() -> None:
    images = RNG.integers(0, 256, (2, 6, 10, 1), np.uint8)

    assert prepared(images, transpose=True, size=[5, 3]).shape == (2, 5, 3, 1)


def test_half_the_size_is_the_mean_of_each_area() -> None:
    images = RNG.integers(0, 256, (1, 8, 8, 1), np.uint8)

    small = prepared(images, size=[4, 4])[0, ..., 0]

    means = images[0, ..., 0].reshape(4, 2, 4, 2).mean(axis=(1, 3))
    assert np.abs(small - means).max() <= 1


def test_another_size_is_refused_if_that_is_asked_for() -> None:
    images = np.zeros((1, 8, 8, 1), np.uint8)

    with pytest.raises(Unusable, match="8x8 pixels, and 4x4 are needed"):
        prepared(images, size=[4, 4], resize=Resize.REFUSE)


def test_digits_are_brought_into_mnists_form_and_blank_images_stay_black() -> None:
    digit = mnist("t10k")[:1]
    images = np.full((2, 60, 60, 3), 255, np.uint8)
    images[0, 5:33, 20:48] -= digit[0, ..., None]

    rows = prepared(images, normalize=True)

    assert rows.shape == (2, 28, 28, 1)
    assert mnist_box(rows[0, ..., 0])
    assert not rows[1].any()


def test_numbers_too_large_for_float32_are_the_largest_that_are_not() -> None:
    values = np.array([[1e300, -1e300, -0.0]])
    numbers = Block([0], np.zeros((1, 0, 0, 0), np.uint8), ["a"], [None], values)

    rows = Preparation(IngestOptions()).rows(numbers)

    most = np.finfo(np.float32).max
    assert rows.dtype == np.float32
    assert rows.tolist() == [[float(most), -float(most), 0.0]]
    assert not np.signbit(rows[0, 2])
