"""A PNG holds the very pixels it was made of."""

import io

import numpy as np
import pytest
from PIL import Image

from service.pictures import png


@pytest.mark.parametrize("band", [1, 100, 1_000_000])
@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (7, 50, 3), (50, 7, 3)])
def test_the_picture_comes_back_as_it_was(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], band: int
) -> None:
    monkeypatch.setattr(png, "BAND_BYTES", band)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    picture = Image.open(io.BytesIO(png.encode(Image.fromarray(pixels))))
    assert picture.format == "PNG"
    np.testing.assert_array_equal(np.asarray(picture), pixels)


def test_nothing_is_stored_but_the_resolution() -> None:
    picture = Image.new("RGB", (3, 2))
    assert Image.open(io.BytesIO(png.encode(picture))).info == {}
    info = Image.open(io.BytesIO(png.encode(picture, dpi=200))).info
    assert info == {"dpi": pytest.approx((200, 200), rel=1e-3)}


def test_flat_areas_take_little() -> None:
    assert len(png.encode(Image.new("RGB", (1000, 1000), "white"))) < 20_000
