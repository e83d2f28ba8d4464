"""Decodes image files from other apps to grey pixels, without trusting anything in them."""

import io

from PIL import Image, ImageOps

from service.domain.errors import BadImage
from service.inference.grey_levels import Grey, grey_of

MNIST_SIDE = 28
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
MAX_IMAGE_BYTES = 1024**2
MAX_PIXELS = 4_000_000
MAX_CHUNKS = 2_000
"""The most chunks a PNG may have; encoders write one for 8 kB or more of pixels."""
MAX_SCANS = 64
"""The most scans a JPEG may have. Progressive files have about ten, and each takes as long to
decode as the whole picture."""
PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"
PNG_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"IDAT", b"eXIf", b"IEND"}
"""The chunks that make up the picture. Some other chunks unpack to many megabytes."""


def decode(data: bytes) -> Grey:
    """Return the picture in `data` (PNG, JPEG, WebP, BMP or GIF), upright, as grey (h, w).

    The format, the size and the number of frames are read from the header and checked before any
    pixel is decoded. Transparent parts become paper; 16-bit pictures keep their upper 8 bits.

    Raises:
        BadImage: undecodable_image, too_many_pixels or animated_image.

    """
    if len(data) > MAX_IMAGE_BYTES:
        raise too_many_bytes()
    try:
        with Image.open(io.BytesIO(_checked(data)), formats=FORMATS) as image:
            _check_header(image)
            _check_scans(image, data)
            ImageOps.exif_transpose(image, in_place=True)
            return grey_of(image)
    except BadImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels() from None
    except Exception:
        # A decoder may raise anything on garbage, and its message may quote the file: drop both.
        raise BadImage(
            "undecodable_image",
            "The bytes are not a complete PNG, JPEG, WebP, BMP or GIF picture; "
            "send the whole file, unchanged.",
        ) from None


def is_small_png(data: bytes) -> bool:
    """Return whether `data` is a PNG with a single header, which says 28x28 pixels.

    A PNG with Exif data does not count: Pillow may take a hundred times as long to parse it.
    """
    small = PNG_START + b"\0\0\0\rIHDR" + MNIST_SIDE.to_bytes(4) + MNIST_SIDE.to_bytes(4)
    return data.startswith(small) and data.count(b"IHDR") == 1 and b"eXIf" not in data


def too_many_bytes() -> BadImage:
    return BadImage(
        "too_many_pixels",
        f"An image may have at most {MAX_IMAGE_BYTES:,} bytes: send a smaller one.",
    )


def _checked(data: bytes) -> bytes:
    """Return a PNG without its texts and colour profiles, and any other file unchanged.

    Raises:
        BadImage: the file's structure would keep Pillow busy for long.

    """
    if data.startswith(JPEG_START):
        _check_segments(data)
    if not data.startswith(PNG_START):
        return data
    kept, at = [PNG_START], len(PNG_START)
    for _ in range(MAX_CHUNKS):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] in PNG_CHUNKS:
            kept.append(data[at:end])
        if end >= len(data):
            return b"".join(kept)
        at = end
    raise BadImage("undecodable_image", f"The PNG has more than {MAX_CHUNKS:,} chunks.")


def _check_segments(data: bytes) -> None:
    """Refuse a JPEG with anything but segments before its pixels: Pillow looks at each byte."""
    at = len(JPEG_START) - 1
    for _ in range(MAX_CHUNKS):
        while data[at : at + 2] == b"\xff\xff" and data[at : at + 9] != b"\xff" * 9:
            at += 1
        if data[at : at + 2] == b"\xff\xda":
            return
        if data[at : at + 1] != b"\xff" or data[at + 1 : at + 2] in (b"", b"\0", b"\xff"):
            break
        at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))
    raise BadImage(
        "undecodable_image", "The JPEG has no pixels, or something other than segments before them."
    )


def _check_scans(image: Image.Image, data: bytes) -> None:
    if image.format in ("JPEG", "MPO") and data.count(b"\xff\xda") > MAX_SCANS:
        raise BadImage(
            "undecodable_image",
            f"The JPEG has more than {MAX_SCANS} scans; save it as a baseline JPEG or as PNG.",
        )


def _check_header(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise _too_many_pixels()
    # A phone's MPO is a JPEG with a thumbnail appended: several frames, but one picture.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise BadImage("animated_image", "The picture has several frames; send a single one.")


def _too_many_pixels() -> BadImage:
    return BadImage(
        "too_many_pixels",
        f"The picture has more than {MAX_PIXELS:,} pixels; scale it down, 500x500 is plenty.",
    )
