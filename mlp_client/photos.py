"""Make large pictures smaller before they are sent, if Pillow is installed.

The server reduces every picture to 20x20 pixels around the digit, so a photograph of 12 megapixels
tells it no more than one of a megapixel, and takes much longer to send.
"""

import io
from typing import TYPE_CHECKING, Any

from mlp_client.image_parts import PreparedImage

if TYPE_CHECKING:
    from PIL import Image

MAX_SIDE = 1000
"""Longest side of a picture that was made smaller, in pixels."""
LARGE_PIXELS = 1_000_000
LARGE_BYTES = 1_000_000
JPEG_QUALITY = 90
HEIF = "HEIF"
STILL = (HEIF, "MPO")
"""Formats of phones, in which frames after the first are previews or depths, not an animation."""
PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")


def prepared_file(data: bytes) -> PreparedImage:
    """Return the bytes of a file as they are sent: smaller if it is a large picture.

    A file that Pillow can't read, and one with several frames, is sent as it is: the server says
    what is wrong with it.
    """
    try:
        return _prepared(data)
    except ImportError:  # no Pillow
        return PreparedImage.of_file(data)
    except Exception:  # Pillow may raise anything on garbage
        return PreparedImage.of_file(data)


def prepared_picture(picture: "Image.Image") -> PreparedImage:
    """Return a Pillow image as it is sent."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(picture)
    return _encoded(upright if upright.mode in PNG_MODES else upright.convert("RGB"), "PNG")


def _prepared(data: bytes) -> PreparedImage:
    from PIL import Image, ImageOps

    _read_heif()
    with Image.open(io.BytesIO(data)) as image:
        size = image.width * image.height
        is_large = size > LARGE_PIXELS or len(data) > LARGE_BYTES
        is_animated = getattr(image, "n_frames", 1) > 1 and image.format not in STILL
        if is_animated or not (is_large or image.format == HEIF):
            return PreparedImage.of_file(data, size)
        lossy = image.format != "PNG"
        longest = max(image.size)
        image.draft(None, (2 * MAX_SIDE, 2 * MAX_SIDE))  # a JPEG is decoded at a reduced size
        upright = ImageOps.exif_transpose(image)
        return _encoded(_with_plain_mode(upright), "JPEG" if lossy else "PNG", longest)


def _read_heif() -> None:
    """Let Pillow read HEIC files, the photographs of iPhones, if pillow-heif is installed."""
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.register_heif_opener()


def _with_plain_mode(image: "Image.Image") -> "Image.Image":
    """Return an image with a mode that can be reduced: grey or colours, perhaps with alpha."""
    if image.mode in ("L", "LA", "RGB", "RGBA"):
        return image
    if image.mode.startswith("I"):
        raise ValueError("16-bit pixels can't be reduced")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _encoded(image: "Image.Image", format: str, longest: int | None = None) -> PreparedImage:
    """Return an image as a file of at most MAX_SIDE pixels on each side, if it is large.

    Args:
        image: the image, upright.
        format: `JPEG` if the pixels need not be exact, or `PNG`.
        longest: the longest side of the original, in pixels; None is that of `image`.

    """
    original = longest or max(image.size)
    if image.width * image.height > LARGE_PIXELS:
        image = image.copy()
        image.thumbnail((MAX_SIDE, MAX_SIDE), reducing_gap=2.0)
    buffer, options = io.BytesIO(), _options(image, format)
    image.save(buffer, **options)
    scale = original / max(image.size)
    return PreparedImage.of_file(buffer.getvalue(), image.width * image.height, scale)


def _options(image: "Image.Image", format: str) -> dict[str, Any]:
    has_alpha = image.mode not in ("L", "RGB")  # which JPEG does not have
    is_exact = format == "PNG" or has_alpha
    return {"format": "PNG"} if is_exact else {"format": "JPEG", "quality": JPEG_QUALITY}
