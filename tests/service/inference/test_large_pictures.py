"""Large pictures are reduced while they are decoded, and too large ones are refused."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.domain.errors import BadImage
from service.inference import image_decoding
from tests.support.drawn_digits import encoded, seven


def photo(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """A large seven in the upper right part of the page."""
    box = (width * 0.55, height * 0.15, width * 0.85, height * 0.65)
    return seven((width, height), box, pen=width // 30).convert(mode)


@pytest.mark.parametrize(
    ("format", "size", "options"),
    [
        ("JPEG", (4032, 3024), {}),
        ("JPEG", (8160, 6120), {}),
        ("JPEG", (4000, 4000), {"progressive": True}),
        ("PNG", (4000, 3000), {}),
        ("WEBP", (3000, 2500), {"method": 0}),
        ("AVIF", (3000, 2500), {"speed": 10}),
        ("TIFF", (4000, 3000), {"compression": "tiff_lzw"}),
        ("BMP", (2600, 2500), {}),
        ("GIF", (3000, 2500), {}),
    ],
    ids=lambda value: str(value),
)
def test_a_large_picture_is_reduced_to_the_same_picture(
    format: str, size: tuple[int, int], options: dict[str, Any]
) -> None:
    picture = photo(*size)
    grey = image_decoding.decode(encoded(picture, format, **options))
    assert 250_000 < grey.size <= image_decoding.FULL_PIXELS
    small = np.asarray(picture.convert("L").resize(grey.shape[::-1], Image.Resampling.BOX))
    assert np.abs(grey.astype(int) - small).mean() < 2


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA"])
def test_large_pictures_of_every_mode_are_reduced(mode: str) -> None:
    grey = image_decoding.decode(encoded(photo(2100, 2000, mode), "PNG"))
    assert grey.size < 1_100_000
    assert grey[0, 0] > 250
    assert grey.min() < 5


def test_a_large_picture_of_sixteen_bits_is_scaled() -> None:
    wide = np.full((2100, 2000), 40_000, np.uint16)
    grey = image_decoding.decode(encoded(wide))
    assert (grey == 40_000 // 256).all()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_a_large_photograph_is_turned_upright(format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = photo(2400, 1800)
    turned = picture.transpose(Image.Transpose.ROTATE_90)
    upright = image_decoding.decode(encoded(turned, format, exif=exif))
    height, width = upright.shape
    assert width > height
    small = np.asarray(picture.convert("L").resize((width, height), Image.Resampling.BOX))
    assert np.abs(upright.astype(int) - small).mean() < 2


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_full_size_of_a_large_photograph_is_that_of_the_upright_picture(
    format: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = image_decoding.decode_sized(encoded(photo(2400, 1800), format, exif=exif))
    assert found.size == ((2400, 1800) if orientation < 5 else (1800, 2400))
    height, width = found.grey.shape
    assert width / height == pytest.approx(found.size[0] / found.size[1], rel=0.01)


@pytest.mark.parametrize(
    ("format", "size", "options"),
    [
        ("JPEG", (8000, 6501), {}),
        ("JPEG", (4001, 4000), {"progressive": True}),
        ("PNG", (4001, 4000), {}),
        ("WEBP", (4001, 2000), {"method": 0}),
    ],
    ids=lambda value: str(value),
)
def test_a_picture_over_the_limit_of_its_format_is_refused_by_name(
    format: str, size: tuple[int, int], options: dict[str, Any]
) -> None:
    data = encoded(Image.new("L", size, 255), format, **options)
    with pytest.raises(BadImage, match="(?i)a " + format) as refused:
        image_decoding.decode(data)
    assert refused.value.code == "too_many_pixels"


def test_pixels_are_counted_before_they_are_decoded() -> None:
    spent: list[int] = []
    whole = encoded(photo(4000, 3000), "JPEG")
    image_decoding.decode(whole, spent.append)
    with pytest.raises(BadImage):
        image_decoding.decode(whole[: len(whole) // 2], spent.append)
    image_decoding.decode(encoded(seven()), spent.append)
    assert spent == [3_000_000, 3_000_000, 200_000]
