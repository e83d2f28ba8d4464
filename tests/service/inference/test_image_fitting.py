"""Brings pictures to the size of a data set, at ingest and for predictions alike."""

import numpy as np
import pytest
from numpy.typing import NDArray

from service.domain.dataset_manifest import Resize
from service.domain.errors import BadImage
from service.inference.image_fitting import fitted, paper_colour

Pixels = NDArray[np.uint8]


def noise(*shape: int) -> Pixels:
    return np.random.default_rng(7).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("resize", list(Resize))
def test_a_picture_of_the_right_size_stays_as_it_is(resize: Resize) -> None:
    image = noise(28, 28)
    assert fitted(image, (28, 28), resize) is image


@pytest.mark.parametrize("shape", [(56, 84), (56, 84, 3)])
def test_each_pixel_of_a_smaller_picture_is_the_mean_of_its_area(shape: tuple[int, ...]) -> None:
    image = noise(*shape)
    means = image.reshape(28, 2, 28, 3, *shape[2:]).mean(axis=(1, 3))
    small = fitted(image, (28, 28), Resize.STRETCH)
    assert small.shape == (28, 28, *shape[2:])
    assert np.abs(small - means).max() <= 1  # Pillow rounds after each axis


def test_a_larger_picture_is_interpolated() -> None:
    image = np.array([[0, 200]], np.uint8)
    large = fitted(image, (1, 8), Resize.STRETCH)
    assert large[0].tolist() == sorted(large[0].tolist())
    assert len(set(large[0].tolist())) > 2


def test_one_axis_may_shrink_while_the_other_grows() -> None:
    image = np.repeat(np.array([[0], [100], [200], [100]], np.uint8), 3, axis=1)
    both = fitted(image, (2, 6), Resize.STRETCH)
    assert (both == [[50], [150]]).all()


def test_a_fitted_picture_keeps_its_aspect_ratio_and_lies_in_the_middle() -> None:
    image = np.full((20, 10), 255, np.uint8)
    image[2:18, 2:8] = 0
    placed = fitted(image, (40, 40))
    dark = np.argwhere(placed < 128)
    (top, left), (bottom, right) = dark.min(axis=0), dark.max(axis=0) + 1
    assert (bottom - top) / (right - left) == pytest.approx(16 / 6, rel=0.15)
    assert (top + bottom) / 2 == pytest.approx(20, abs=0.5)
    assert (left + right) / 2 == pytest.approx(20, abs=0.5)


@pytest.mark.parametrize(("paper", "ink"), [(255, 0), (0, 255), (180, 20), (40, 220)])
@pytest.mark.parametrize("shape", [(30, 12), (12, 30)])
def test_the_rest_is_filled_with_the_paper(paper: int, ink: int, shape: tuple[int, int]) -> None:
    image = np.full(shape, paper, np.uint8)
    image[4:-4, 4:-4] = ink
    placed = fitted(image, (28, 28))
    assert set(placed[[0, 0, -1, -1], [0, -1, 0, -1]].tolist()) == {paper}
    outer = placed[:, [0, -1]] if shape[0] > shape[1] else placed[[0, -1]]
    assert (outer == paper).all()


def test_the_paper_of_a_coloured_picture_has_its_colour() -> None:
    image = np.full((10, 30, 3), (250, 240, 200), np.uint8)
    image[3:7, 5:25] = (20, 30, 90)
    assert paper_colour(image).tolist() == [250, 240, 200]
    assert fitted(image, (28, 28))[0, 0].tolist() == [250, 240, 200]


def test_ink_at_the_border_of_a_trimmed_picture_is_not_its_paper() -> None:
    image = np.full((20, 12), 255, np.uint8)
    image[:, 4:8] = 0  # a stroke from edge to edge
    assert paper_colour(image) == 255


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (300, 1), (2, 3), (3, 700, 3)])
@pytest.mark.parametrize("resize", [Resize.FIT, Resize.STRETCH])
def test_extreme_pictures_get_the_size_too(shape: tuple[int, ...], resize: Resize) -> None:
    image = np.full(shape, 77, np.uint8)
    result = fitted(image, (28, 20), resize)
    assert result.shape == (28, 20, *shape[2:])
    assert (result == 77).all()


def test_refusal_tells_both_sizes() -> None:
    with pytest.raises(BadImage, match="20x10 pixels, and 28x28 are needed") as caught:
        fitted(noise(10, 20), (28, 28), Resize.REFUSE)
    assert caught.value.code == "undecodable_image"
