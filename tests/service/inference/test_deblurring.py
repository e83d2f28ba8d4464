"""A blur is undone as far as noise allows."""

import numpy as np
import pytest
from numpy.typing import NDArray

from service.inference import deblurring

Floats = NDArray[np.float32]


def gaussian(length: int, sigma: float) -> Floats:
    steps = np.arange(length)[:, None] - np.arange(length)
    weights = np.exp(-(steps**2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))
    return np.asarray(weights, np.float32)


def blurred(picture: Floats, sigma: float) -> Floats:
    height, width = picture.shape
    return np.asarray(gaussian(height, sigma) @ picture @ gaussian(width, sigma), np.float32)


@pytest.fixture
def two_bars() -> Floats:
    picture = np.zeros((70, 80), np.float32)
    picture[15:55, 30:36] = picture[15:55, 44:50] = 1
    return picture


@pytest.mark.parametrize("sigma", [2.0, 3.0, 4.0])
def test_a_deblurred_picture_is_closer_to_the_original(two_bars: Floats, sigma: float) -> None:
    seen = blurred(two_bars, sigma)
    sharp = deblurring.deblurred(seen, sigma)
    assert np.abs(sharp - two_bars).sum() < 0.8 * np.abs(seen - two_bars).sum()


def test_bars_that_ran_into_each_other_are_told_apart(two_bars: Floats) -> None:
    seen = blurred(two_bars, 5.0)
    sharp = deblurring.deblurred(seen, 5.0)
    contrast = [row[33] - row[39:41].mean() for row in (seen[35], sharp[35])]
    assert contrast[1] > 2.5 * contrast[0]


def test_the_amount_of_ink_and_its_place_stay(two_bars: Floats) -> None:
    sharp = deblurring.deblurred(blurred(two_bars, 3.0), 3.0)
    assert sharp.sum() == pytest.approx(two_bars.sum(), rel=0.1)
    for axis, middle in ((0, 39.5), (1, 34.5)):
        mass = sharp.sum(axis=axis)
        assert mass @ np.arange(mass.size) / mass.sum() == pytest.approx(middle, abs=0.05)


def test_noise_is_not_blown_up(two_bars: Floats) -> None:
    grain = np.random.default_rng(0).normal(0, 0.01, two_bars.shape).astype(np.float32)
    seen = blurred(two_bars, 3.0)
    difference = deblurring.deblurred(seen + grain, 3.0) - deblurring.deblurred(seen, 3.0)
    assert float(difference.std()) < 0.05


def test_nothing_becomes_negative(two_bars: Floats) -> None:
    assert deblurring.deblurred(two_bars, 4.0).min() == 0
