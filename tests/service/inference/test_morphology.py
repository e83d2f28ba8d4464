"""Maxima and minima of windows are those that Pillow's slower filters give."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from service.inference import morphology

SHAPES = [(1, 1), (1, 30), (17, 1), (5, 40), (33, 26)]


def levels(shape: tuple[int, int], kind: type[np.uint8 | np.float32]) -> NDArray[np.generic]:
    drawn = np.random.default_rng(shape).uniform(0, 256, shape)
    return drawn.astype(kind)


@pytest.mark.parametrize("distance", [0, 1, 2, 3, 4, 8, 13])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", SHAPES)
def test_each_level_becomes_the_extreme_of_its_window(
    shape: tuple[int, int], kind: type[np.uint8 | np.float32], distance: int
) -> None:
    given = levels(shape, kind)
    before, image, side = given.copy(), Image.fromarray(given), 2 * distance + 1
    largest = np.asarray(image.filter(ImageFilter.MaxFilter(side)))
    smallest = np.asarray(image.filter(ImageFilter.MinFilter(side)))
    assert (morphology.dilated(given, distance) == largest).all()
    assert (morphology.eroded(given, distance) == smallest).all()
    assert (given == before).all()
