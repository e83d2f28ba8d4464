"""Pictures are decoded with their colours, and their size is told by the header alone."""

import io

import numpy as np
import pytest
from PIL import Image

from service.domain.errors import BadImage
from service.inference import image_decoding
from service.inference.image_decoding import decode, decode_colours, decode_sized, upright_size

ORIENTATION = 0x0112


def noise(*shape: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(5).integers(0, 256, shape, np.uint8))


def encoded(picture: Image.Image, format: str = "PNG", orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = io.BytesIO()
    picture.save(file, format, exif=exif)
    return file.getvalue()


def test_colours_are_decoded_as_they_are() -> None:
    picture = noise(20, 30, 3)
    assert (decode_colours(encoded(picture)) == np.asarray(picture)).all()


@pytest.mark.parametrize("mode", ["L", "1", "P", "I;16"])
def test_a_grey_picture_has_three_equal_channels(mode: str) -> None:
    data = encoded(noise(20, 30).convert("L").convert(mode))
    pixels = decode_colours(data)
    assert pixels.shape == (20, 30, 3)
    assert (pixels[..., 0] == decode(data)).all()
    assert (pixels == pixels[..., :1]).all()


@pytest.mark.parametrize(("ink", "paper"), [((200, 0, 0), 255), ((255, 255, 120), 0)])
def test_a_coloured_drawing_without_paper_gets_one_that_it_stands_out_from(
    ink: tuple[int, int, int], paper: int
) -> None:
    drawing = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    drawing.paste((*ink, 255), (18, 4, 22, 36))
    pixels = decode_colours(encoded(drawing))
    assert pixels[0, 0].tolist() == [paper] * 3
    assert pixels[20, 20].tolist() == list(ink)


def test_transparent_corners_of_a_coloured_page_get_its_colour() -> None:
    page = Image.new("RGBA", (40, 40), (240, 220, 180, 255))
    page.paste((0, 0, 0, 0), (0, 0, 4, 4))
    pixels = decode_colours(encoded(page))
    assert (pixels == (240, 220, 180)).all()


def test_an_invisible_picture_is_white() -> None:
    pixels = decode_colours(encoded(Image.new("RGBA", (5, 5), (9, 9, 9, 0))))
    assert (pixels == 255).all()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_header_tells_the_size_of_the_decoded_picture(format: str, orientation: int) -> None:
    data = encoded(noise(20, 30, 3), format, orientation)
    sideways = orientation in image_decoding.SIDEWAYS
    assert upright_size(data) == ((20, 30) if sideways else (30, 20))
    assert upright_size(data) == decode_sized(data).size


def test_no_header_tells_the_size_of_what_is_no_picture() -> None:
    with pytest.raises(BadImage):
        upright_size(b"\x89PNG\r\n\x1a\n" + bytes(100))
