"""Pictures of few pixels, or of few blocks, get smooth edges; others stay as they are."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.inference import coarse_pixels
from service.inference.coarse_pixels import Smoothed
from tests.support.drawn_digits import mnist, normalized

Pixels = NDArray[np.uint8]
NEAREST = Image.Resampling.NEAREST


def small(index: int = 0, side: int = 16) -> Pixels:
    """Return a digit of MNIST, averaged to a few pixels, with a margin of a pixel or more."""
    picture = Image.fromarray(mnist("t10k")[index])
    return np.asarray(picture.resize((side, side), Image.Resampling.BOX))


def enlarged(picture: Pixels, width: int, height: int) -> Pixels:
    return np.asarray(Image.fromarray(picture).resize((width, height), NEAREST))


def smoothed(picture: Pixels) -> Smoothed:
    smooth = coarse_pixels.smoothed(picture)
    assert smooth
    return smooth


@pytest.mark.parametrize("side", [48, 96, 100, 257, 1000])
def test_a_small_picture_is_found_in_its_enlargement(side: int) -> None:
    found = smoothed(enlarged(small(), side, side))
    assert (np.asarray(found.image) == np.asarray(smoothed(small()).image)).all()


def test_blocks_may_be_broader_than_high() -> None:
    found = smoothed(enlarged(small(), 96, 48))
    assert found.image.width == 2 * found.image.height


def test_the_image_shows_the_blocks_with_a_margin_of_one() -> None:
    found = smoothed(small())
    assert max(found.image.size) >= 96
    across, down = found.block
    middles = np.asarray(found.image)[down // 2 :: down, across // 2 :: across].astype(int)
    assert middles.shape == (18, 18)
    assert np.abs(middles[1:-1, 1:-1] - small()).max() < 40
    assert middles[0].max() == 0


@pytest.mark.parametrize("size", [(16, 16), (160, 160), (100, 150)])
def test_boxes_are_those_of_the_original(size: tuple[int, int]) -> None:
    found = smoothed(enlarged(small(), *size))
    across, down = found.block
    inner = (across, down, 16 * across, 16 * down)
    assert found.original((0, 0, *found.image.size)) == (0, 0, *size)
    assert found.original(inner) == (0, 0, *size)
    half = (across, down, 8 * across, 4 * down)
    assert found.original(half) == (0, 0, size[0] // 2, -(-size[1] // 4))


@pytest.mark.parametrize("side", [8, 16])
def test_a_small_picture_and_its_enlargement_look_alike(side: int) -> None:
    picture = np.asarray(
        Image.fromarray(mnist("t10k")[1][4:24, 4:24]).resize((side, side), Image.Resampling.BOX)
    )
    alone, large = normalized(picture), normalized(enlarged(picture, 12 * side, 12 * side))
    assert (alone.pixels == large.pixels).all()
    assert large.report.box == pytest.approx([12 * length for length in alone.report.box], abs=24)


def ramp(width: int, height: int) -> Pixels:
    return np.add.outer(np.arange(height), np.arange(width)).astype(np.uint8)


def bar(side: int) -> Pixels:
    picture = np.zeros((side, side), np.uint8)
    picture[side // 8 : -side // 8, side * 2 // 5 : side * 3 // 5] = 255
    return picture


def test_other_pictures_are_left_alone() -> None:
    large = np.asarray(Image.fromarray(small()).resize((96, 96), Image.Resampling.BICUBIC))
    shifted = np.roll(enlarged(small(), 96, 96), 1, axis=1)
    one_block_split = enlarged(small(), 96, 96).copy()
    one_block_split[50, 50] ^= 1
    for picture in (large, shifted, one_block_split, ramp(96, 96), bar(400), mnist("t10k")[0]):
        assert coarse_pixels.smoothed(picture) is None


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 2), (3, 24), (2, 60), (100, 1)])
def test_the_smallest_pictures_are_no_special_case(size: tuple[int, int]) -> None:
    picture = np.zeros(size[::-1], np.uint8)
    picture[-1, -1] = 255
    found = coarse_pixels.smoothed(picture)
    assert found is None or found.original((0, 0, *found.image.size)) == (0, 0, *size)
