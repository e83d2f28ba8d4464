"""Opens portable pixmaps (PBM, PGM, PPM), in which many collections of faces and signs come.

Predictions do not take them: no app or camera writes them.
"""

import io
import re

from PIL import Image

from service.domain.errors import BadImage
from service.inference.image_decoding import MAX_OTHER_PIXELS

SPACE = rb"(?:\s|#[^\n]*\n)+"
HEADER = re.compile(rb"P([1-6])" + SPACE + rb"(\d{1,9})" + SPACE + rb"(\d{1,9})[\s#]")
START_BYTES = 4096
"""The sizes stand in these, also behind a comment of a program."""
LEAST_BITS = {1: 8, 2: 8, 3: 24, 4: 1, 5: 8, 6: 24}
"""The fewest bits of the file that a pixel takes, by the number behind the P."""


def size_of(data: bytes) -> tuple[int, int] | None:
    """Return the width and height of a portable pixmap; None if the file is none.

    Raises:
        BadImage: it has too many pixels, or is shorter than its pixels are.

    """
    header = HEADER.match(data[:START_BYTES])
    if not header:
        return None
    kind, width, height = (int(value) for value in header.groups())
    if width * height > MAX_OTHER_PIXELS:
        raise BadImage(
            "too_many_pixels",
            f"The picture has {width}x{height} pixels; at most {MAX_OTHER_PIXELS:,} are read.",
        )
    if 8 * len(data) < width * height * LEAST_BITS[kind]:
        raise _incomplete()
    return width, height


def opened(data: bytes) -> Image.Image:
    """Return the picture in a portable pixmap of which `size_of` has returned the size.

    Raises:
        BadImage: it is damaged.

    """
    try:
        with Image.open(io.BytesIO(data), formats=("PPM",)) as image:
            image.load()
            return image
    except (OSError, ValueError, SyntaxError, EOFError, OverflowError) as exc:
        raise _incomplete() from exc


def _incomplete() -> BadImage:
    return BadImage("undecodable_image", "It is no complete portable pixmap (PBM, PGM or PPM).")
