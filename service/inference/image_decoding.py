"""Decodes image files from other apps to grey pixels, without trusting anything in them."""

import ctypes
import functools
import io
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
from PIL import Image, ImageOps, _imaging
from PIL.ImageFile import ImageFile

from service.domain.errors import BadImage
from service.inference import image_formats, image_structure, sixteen_bits
from service.inference.grey_levels import Colours, Grey, colours_of, grey_of
from service.inference.image_formats import AVIF, HEIF, JPEG, PNG_START, TIFF, WEBP, Format

T = TypeVar("T")
Finished: TypeAlias = Callable[[Image.Image, tuple[int, int]], T]
"""Makes something of an upright picture and of its full size."""

MNIST_SIDE = 28
MAX_IMAGE_BYTES = 20 * 1024**2
FULL_PIXELS = 4_000_000
"""Larger pictures are decoded at a reduced size."""
REDUCED_PIXELS = 1_000_000
"""The most pixels of a picture that is reduced: plenty for a digit that fills a tenth of it."""
MAX_PIXELS = {JPEG: 52_000_000, HEIF: 25_000_000, AVIF: 13_000_000, WEBP: 8_000_000}
"""The most pixels of a picture, by format. JPEGs are reduced while they are decoded. The decoders
of the others hold the whole picture, and some of them several copies."""
MAX_OTHER_PIXELS = 16_000_000
"""The same for the other formats, and for progressive JPEGs, whose decoder holds all of it too."""
MAX_ROWS = 1_000_000
"""Pillow keeps a pointer for each row, so 16 million rows of one pixel would take 300 MB."""
JPEG_COST = 4
"""Decoding this many pixels of a large JPEG takes as long as one of other formats."""
ORIENTATION = 0x0112
SIDEWAYS = (5, 6, 7, 8)
"""Orientations that exchange width and height."""


@dataclass(frozen=True)
class Decoded:
    """A picture out of a file, upright."""

    grey: Grey
    """(h, w), of a large picture at a reduced size."""
    size: tuple[int, int]
    """Width and height before it was reduced."""


# Pillow warns of each odd field of a file. A hostile file has thousands of them, which would all be
# written to the log.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

# libtiff writes about each damaged row on standard error: a gigabyte for one hostile file.
if set_handler := getattr(ctypes.CDLL(_imaging.__file__), "TIFFSetErrorHandler", None):
    set_handler(None)


def decode(data: bytes, spend: Callable[[int], None] = lambda pixels: None) -> Grey:
    """Return the picture in `data`, upright, as grey (h, w); `decode_sized` says more."""
    return decode_sized(data, spend).grey


def decode_sized(data: bytes, spend: Callable[[int], None] = lambda pixels: None) -> Decoded:
    """Return the picture in `data`, upright, as grey (h, w), and its full size.

    The format, the size and the number of frames are read from the header and checked before any
    pixel is decoded. Pictures of more than FULL_PIXELS are reduced. Transparent parts become paper;
    16-bit pictures keep their upper 8 bits.

    Args:
        data: the bytes of an image file.
        spend: called before the pixels are decoded, with the number that they count as.

    Raises:
        BadImage: it is no picture that can be read, too large, or an animation.

    """
    return decode_as(data, spend, lambda image, size: Decoded(grey_of(image), size))


def decode_colours(data: bytes, spend: Callable[[int], None] = lambda pixels: None) -> Colours:
    """Return the picture in `data`, upright, as colours (h, w, 3); see `decode_sized`."""
    return decode_as(data, spend, lambda image, _: colours_of(image))


def decode_as(data: bytes, spend: Callable[[int], None], finished: Finished[T]) -> T:
    """Return what `finished` makes of the upright picture in `data` and of its full size.

    Raises:
        BadImage: as for `decode_sized`.

    """
    return _read(data, lambda form: _decoded(form, data, spend, finished))


def upright_size(data: bytes) -> tuple[int, int]:
    """Return the width and height of the picture in `data`, by its header.

    Raises:
        BadImage: as for `decode_sized`; damaged pixels are not noticed.

    """
    return _read(data, lambda form: _size_by_header(form, data))


def _read(data: bytes, read: Callable[[Format], T]) -> T:
    """Return what `read` finds in a file of the format that it is told."""
    if len(data) > MAX_IMAGE_BYTES:
        raise too_many_bytes()
    form = image_formats.identify(data)
    try:
        return read(form)
    except BadImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadImage(
            "too_many_pixels", f"The picture is far too large. {_limits(form)}"
        ) from None
    except Exception:
        # The decoder's message may quote the file.
        raise BadImage(
            "undecodable_image",
            f"The bytes begin like {form.name}, but are not a complete one. Send the whole file, "
            "unchanged; with curl, use --data-binary, because -d drops line breaks.",
        ) from None


def _decoded(form: Format, data: bytes, spend: Callable[[int], None], finished: Finished[T]) -> T:
    """Decode a file of this format; on garbage, the decoder may raise anything."""
    reopened = _opener(form, data)
    with reopened() as image:
        _check_header(image, form, data)
        pixels = image.width * image.height
        large = pixels > FULL_PIXELS
        spend(pixels // JPEG_COST if large and form is JPEG else pixels)
        size = _upright_size(image) if large else None
        upright = _reduced(image, form) if large else sixteen_bits.used_bytes(image, reopened)
        ImageOps.exif_transpose(upright, in_place=True)
        return finished(upright, size or upright.size)


def _size_by_header(form: Format, data: bytes) -> tuple[int, int]:
    with _opener(form, data)() as image:
        _check_header(image, form, data)
        return _upright_size(image)


def _opener(form: Format, data: bytes) -> Callable[[], ImageFile]:
    """Return what opens the file in `data`, any number of times."""
    if form.decoder is None:
        raise _unsupported(form)
    file = io.BytesIO(image_structure.checked(form, data))
    return functools.partial(Image.open, file, formats=(form.decoder,))


def is_small_png(data: bytes) -> bool:
    """Return whether `data` is a PNG with a single header, which says 28x28 pixels.

    A PNG with Exif data does not count: Pillow may take a hundred times as long to parse it.
    """
    small = PNG_START + b"\0\0\0\rIHDR" + MNIST_SIDE.to_bytes(4) + MNIST_SIDE.to_bytes(4)
    return data.startswith(small) and data.count(b"IHDR") == 1 and b"eXIf" not in data


def too_many_bytes() -> BadImage:
    return BadImage(
        "too_many_bytes",
        f"An image may have at most {MAX_IMAGE_BYTES:,} bytes: send a smaller one.",
    )


def _unsupported(form: Format) -> BadImage:
    if form in image_formats.NOT_A_FORMAT:
        return BadImage("undecodable_image", f"This is {form.name}: {form.remedy}.")
    return BadImage(
        "unsupported_format", f"This is {form.name}, which can't be read: {form.remedy}."
    )


def _check_header(image: Image.Image, form: Format, data: bytes) -> None:
    pixels = image.width * image.height
    if pixels > _most_pixels(form, data):
        raise BadImage(
            "too_many_pixels",
            f"The picture has too many pixels: {image.width}x{image.height}. {_limits(form)}",
        )
    if image.height > MAX_ROWS:
        raise BadImage("too_many_pixels", f"The picture has more than {MAX_ROWS:,} rows.")
    if form is JPEG:
        image_structure.check_scans(data, pixels)
    elif getattr(image, "is_animated", False):
        raise BadImage("animated_image", f"It is {form.name} of several frames; send a single one.")


def _most_pixels(form: Format, data: bytes) -> int:
    if form is JPEG and image_structure.is_progressive(data):
        return MAX_OTHER_PIXELS
    return MAX_PIXELS.get(form, MAX_OTHER_PIXELS)


def _limits(form: Format) -> str:
    """Return how many pixels a picture may have, as a sentence, and what to do."""
    limits = {JPEG: f"or {MAX_OTHER_PIXELS:,} if it is progressive"}
    more = limits.get(form, f"and a JPEG {MAX_PIXELS[JPEG]:,}")
    most = MAX_PIXELS.get(form, MAX_OTHER_PIXELS)
    name = form.name[0].upper() + form.name[1:]
    return f"{name} may have {most:,}, {more}. Scale it down; 500x500 is plenty."


# --- Large pictures -------------------------------------------------------------------------------


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Return the width and height that a picture has once it is turned upright."""
    width, height = image.size
    turned = image.format != TIFF.decoder and image.getexif().get(ORIENTATION) in SIDEWAYS
    return (height, width) if turned else (width, height)  # a TIFF's size is the upright one


def _reduced(image: Image.Image, form: Format) -> Image.Image:
    """Return a large picture at a reduced size."""
    factor = math.ceil(math.sqrt(image.width * image.height / REDUCED_PIXELS))
    if form is JPEG:
        # The decoder supports 1/2, 1/4 and 1/8, and takes the smallest that is not below this size.
        side = 1 << min(3, (factor - 1).bit_length())
        image.draft(None, (image.width // side, image.height // side))
        return image
    image.load()
    small = _reducible(image).reduce(factor)
    if orientation := image.getexif().get(ORIENTATION):  # lost if it is not kept as Exif data
        small.getexif()[ORIENTATION] = orientation
    return small


def _reducible(image: Image.Image) -> Image.Image:
    """Return a picture in a mode whose pixels can be averaged."""
    if image.mode == "1":
        return image.convert("L")
    if image.mode.startswith("I"):  # 16 bits
        levels = np.asarray(image).clip(0, 65_535) >> 8
        return Image.fromarray(levels.astype(np.uint8))
    if image.mode in ("P", "PA") or "transparency" in image.info:
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image
