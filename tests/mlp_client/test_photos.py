"""Large pictures are made smaller before they are sent."""

import base64
import io
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from mlp_client import photos
from mlp_client.image_parts import PreparedImage
from service.inference import image_decoding, image_normalization
from tests.support.drawn_digits import encoded, seven
from tests.support.fake_service import FakeService

ROOT = Path(__file__).parents[2]
UPRIGHT, TURNED = 1, 6
LARGE = (2000, 1600)


def sent_file(prepared: PreparedImage) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(json.loads(prepared.json)["base64"])))


def photo(size: tuple[int, int] = LARGE, format: str = "JPEG", turn: int = UPRIGHT) -> bytes:
    """A photograph of a seven on paper that is not evenly lit."""
    scale = size[0] // 500
    drawn = np.asarray(seven((500, 400)).resize((500 * scale, 400 * scale)), np.float64)
    light = np.linspace(0.6, 1, drawn.shape[1])
    picture = Image.fromarray((drawn * light).astype(np.uint8)).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = turn
    return encoded(picture, format, exif=exif)


def test_a_small_picture_is_sent_unchanged() -> None:
    data = photo((1000, 800))
    sent = json.loads(photos.prepared_file(data).json)["base64"]
    assert base64.b64decode(sent) == data


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_a_large_picture_is_sent_with_at_most_1000_pixels_on_a_side(format: str) -> None:
    prepared = photos.prepared_file(photo(format=format))
    sent = sent_file(prepared)
    assert sent.size == (1000, 800)
    assert (prepared.pixels, prepared.scale) == (800_000, 2)
    assert sent.format == ("PNG" if format == "PNG" else "JPEG")


def test_a_photo_that_a_camera_turned_is_sent_upright() -> None:
    sent = sent_file(photos.prepared_file(photo(turn=TURNED)))
    original = ImageOps.exif_transpose(Image.open(io.BytesIO(photo(turn=TURNED))))
    assert sent.size == (800, 1000)
    assert sent.getexif().get(0x0112, UPRIGHT) == UPRIGHT
    smaller = np.asarray(original.resize((800, 1000)), np.float64)
    assert np.abs(np.asarray(sent, np.float64) - smaller).mean() < 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "F", "I;16"])
def test_a_large_pillow_image_of_any_mode_is_sent_smaller(mode: str) -> None:
    sent = sent_file(photos.prepared_picture(Image.new(mode, LARGE)))
    assert max(sent.size) == 1000


def test_transparency_is_kept() -> None:
    drawing = Image.new("RGBA", LARGE)
    drawing.paste((0, 0, 0, 255), (800, 300, 900, 1200))
    sent = sent_file(photos.prepared_file(encoded(drawing)))
    alpha = np.asarray(sent)[:, :, 3]
    assert (alpha.min(), alpha.max()) == (0, 255)


@pytest.mark.parametrize(
    "data",
    [b"no picture" * 200_000, photo()[:20_000], photo(format="PNG")[:20_000]],
    ids=["garbage", "cut JPEG", "cut PNG"],
)
def test_a_file_that_can_not_be_read_is_sent_unchanged(data: bytes) -> None:
    assert photos.prepared_file(data) == PreparedImage.of_file(data)


def test_a_photo_of_a_phone_with_a_preview_is_sent_smaller() -> None:
    picture = Image.open(io.BytesIO(photo()))
    preview = picture.resize((200, 160))
    data = encoded(picture, "MPO", save_all=True, append_images=[preview])
    assert sent_file(photos.prepared_file(data)).size == (1000, 800)


def test_an_animation_is_sent_unchanged() -> None:
    frames = [Image.new("L", LARGE, grey) for grey in (0, 255)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert json.loads(photos.prepared_file(data).json)["base64"] == base64.b64encode(data).decode()


def test_the_box_of_the_ink_is_that_in_the_original() -> None:
    service = FakeService()
    prediction = service.client().models.predict(photo())
    assert prediction.input
    assert prediction.input.box == [2, 4, 6, 8]  # the fake answers 1, 2, 3, 4


@pytest.mark.skipif(
    find_spec("pillow_heif") is None,
    reason="pillow-heif is not installed: HEIC pictures were NOT tested",
)
def test_a_heic_photo_is_sent_as_jpeg_even_if_it_is_small() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    data = encoded(Image.open(io.BytesIO(photo((500, 400)))), "HEIF")
    sent = sent_file(photos.prepared_file(data))
    assert (sent.format, sent.size) == ("JPEG", (500, 400))


def test_without_pillow_files_are_sent_as_they_are() -> None:
    program = (
        "import sys, json, base64\n"
        "sys.modules['PIL'] = None\n"
        "from mlp_client.photos import prepared_file\n"
        "data = sys.stdin.buffer.read()\n"
        "assert base64.b64decode(json.loads(prepared_file(data).json)['base64']) == data\n"
    )
    subprocess.run([sys.executable, "-c", program], input=photo(), cwd=ROOT, check=True)


def normalized(data: bytes) -> Any:
    return image_normalization.normalize(image_decoding.decode(data)).pixels


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
@pytest.mark.parametrize("pen", [18, 40])
def test_the_network_is_given_nearly_the_same_pixels(format: str, pen: int) -> None:
    large = encoded(seven((1500, 1200), (600, 250, 1000, 950), 3 * pen).convert("RGB"), format)
    sent = io.BytesIO()
    sent_file(photos.prepared_file(large)).save(sent, "PNG")
    before, after = (normalized(data).astype(float) for data in (large, sent.getvalue()))
    assert np.abs(before - after).mean() < 2
