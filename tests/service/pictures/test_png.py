"""A PNG contains exactly the pixels that were encoded."""

import io

import numpy as np
import pytest
from PIL import Image

from service.pictures import png


@pytest.mark.parametrize("band", [1, 100, 1_000_000])
@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (7, 50, 3), (50, 7, 3)])
def test_the_encoded_picture_decodes_to_the_same_pixels(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], band: int
) -> None:
    monkeypatch.setattr(png, "BAND_BYTES", band)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    picture = Image.open(io.BytesIO(png.encode(Image.fromarray(pixels))))
    assert picture.format == "PNG"
    np.testing.assert_array_equal(np.asarray(picture), pixels)


def test_no_metadata_except_the_resolution_is_stored() -> None:
    picture = Image.new("RGB", (3, 2))
    assert Image.open(io.BytesIO(png.encode(picture))).info == {}
    info = Image.open(io.BytesIO(png.encode(picture, dpi=200))).info
    assert info == {"dpi": pytest.approx((200, 200), rel=1e-3)}


def test_flat_areas_take_few_bytes() -> None:
    assert len(png.encode(Image.new("RGB", (1000, 1000), "white"))) < 20_000
