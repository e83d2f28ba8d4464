"""Decodes the pictures of a set to pixels of one size, grey or in colour."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.domain.dataset_manifest import Resize
from service.domain.errors import BadImage
from service.inference import small_png
from service.inference.grey_levels import colours_of, grey_of
from service.inference.image_decoding import MNIST_SIDE, decode_as, upright_size
from service.inference.image_fitting import fitted
from service.inference.image_formats import PNG_START
from service.inference.image_normalization import normalize
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.pictures import portable_pixmaps
from service.ingest.refusal import Unusable, unusable

Pixels = NDArray[np.uint8]
Size = tuple[int, int]
"""Height and width."""
MNIST_SIZE: Size = (MNIST_SIDE, MNIST_SIDE)
MAX_DECODED = 40_000_000_000
"""The most pixels of all pictures before they are resized; decoding them takes some minutes."""
IHDR_AT = slice(12, 16)
"""Where a PNG has the name of its first chunk; its width and height follow."""


@dataclass
class Seen:
    """What the pictures of a set are like, counted while they are decoded."""

    sizes: Counter[str] = field(default_factory=Counter)
    """How many pictures have each size, written as width x height."""
    modes: Counter[str] = field(default_factory=Counter)
    """Pillow's words for the kinds of pixels, such as `L` and `RGB`."""
    grey_in_colour: int = 0
    resized: int = 0
    decoded: int = 0
    """Pixels."""


class Decoder:
    """Turns files into pixels (h, w, channels) of the size of the set."""

    def __init__(self, size: Size, options: IngestOptions) -> None:
        """Make a decoder.

        Args:
            size: of the result.
            options: colour, resizing and normalising are taken from them.

        """
        self._size, self._resize = size, options.resize
        self._normalizes = options.normalize
        self._keeps_colours = options.keeps_colours and not options.normalize
        self.seen = Seen()

    def decoded(self, data: bytes, place: str) -> Pixels:
        """Return the picture in a file, uint8 (height, width, 1 or 3).

        Args:
            data: the bytes of the file.
            place: its name, for errors.

        Raises:
            BadImage: it can't be read.
            Unusable: it has another size and may not be resized; or with this one, too many pixels
                have been decoded.

        """
        pixels, size, mode = self._read(data)
        self._refuse_too_much()
        self.seen.sizes[f"{size[1]}x{size[0]}"] += 1
        self.seen.modes[mode] += 1
        if self._normalizes:
            return _normalized(pixels)[..., np.newaxis]
        if pixels.shape[:2] != self._size:
            if self._resize is Resize.REFUSE:
                raise _other_size(size, self._size, place)
            pixels = fitted(pixels, self._size, self._resize)
            self.seen.resized += 1
        return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]

    def _read(self, data: bytes) -> tuple[Pixels, tuple[int, int], str]:
        """Return pixels, width and height, and mode of the picture in a file."""
        grey = None if self._keeps_colours else small_png.decoded(data)
        if grey is not None:
            self._spend(grey.size)
            return grey, MNIST_SIZE, "L"
        if size := portable_pixmaps.size_of(data):
            self._spend(size[0] * size[1])
            image = portable_pixmaps.opened(data)
            return self._pixels(image), size, image.mode
        return decode_as(
            data, self._spend, lambda image, size: (self._pixels(image), size, image.mode)
        )

    def _pixels(self, image: Image.Image) -> Pixels:
        if self._keeps_colours:
            return colours_of(image)
        if image.mode == "RGB" and not image.has_transparency_data:
            red, green, blue = (channel.tobytes() for channel in image.split())
            if red == green == blue:
                self.seen.grey_in_colour += 1
                return np.frombuffer(red, np.uint8).reshape(image.height, image.width)
        return grey_of(image)

    def _spend(self, pixels: int) -> None:
        self.seen.decoded += pixels

    def _refuse_too_much(self) -> None:
        if self.seen.decoded > MAX_DECODED:
            raise unusable(
                "too_large",
                f"Its pictures have more than {MAX_DECODED:,} pixels.",
                hint="Make them smaller before you send them; 500x500 is plenty.",
            )


def _normalized(grey: Pixels) -> Pixels:
    """Return a picture in MNIST's form; one that shows nothing is black."""
    try:
        return normalize(grey).pixels
    except BadImage:
        return np.zeros(MNIST_SIZE, np.uint8)


# --- The size of a set ----------------------------------------------------------------------------


def size_of_set(
    files: Callable[[], Iterator[tuple[str, bytes]]], options: IngestOptions, limits: Limits
) -> Size:
    """Return the height and width that the pictures of a set get.

    It is the option `size`, else the size that all pictures have, else 28x28, also if they are
    larger than a set may be. Files are read until two sizes differ.

    Args:
        files: yields the name and the bytes of each picture.
        options: of the upload.
        limits: of the side of a picture.

    Raises:
        Unusable: the option `size` is too large or does not go with another one, or pictures have
            different sizes and may not be resized.

    """
    if options.size is not None:
        return _chosen(options, limits)
    if options.normalize:
        return MNIST_SIZE
    first: tuple[str, Size] | None = None
    for name, data in files():
        limits.pulse()
        size = _size_in(data)
        if size is None:
            continue
        if first is None:
            first = name, size
        if size != first[1]:
            if options.resize is Resize.REFUSE:
                raise _differ(first, (name, size))
            return MNIST_SIZE
    return first[1] if first and max(first[1]) <= limits.side else MNIST_SIZE


def _chosen(options: IngestOptions, limits: Limits) -> Size:
    height, width = options.size or MNIST_SIZE
    if not (0 < height <= limits.side and 0 < width <= limits.side):
        raise unusable(
            "option",
            f"The option `size` is {height}x{width}; at most {limits.side}x{limits.side} are read.",
            "size",
        )
    if options.normalize and (height, width) != MNIST_SIZE:
        raise unusable(
            "option",
            "The option `normalize` makes pictures of 28x28 pixels, and `size` asks for others.",
            "size",
            "Leave one of the two out.",
        )
    return (width, height) if options.transpose else (height, width)


def _size_in(data: bytes) -> Size | None:
    """Return the height and width of a picture; None if it can't be read or has no pixels."""
    if data.startswith(PNG_START) and data[IHDR_AT] == b"IHDR" and b"eXIf" not in data:
        width, height = (int.from_bytes(side, "big") for side in (data[16:20], data[20:24]))
    else:
        try:
            width, height = portable_pixmaps.size_of(data) or upright_size(data)
        except BadImage:
            return None
    return (height, width) if height and width else None


def _differ(first: tuple[str, Size], other: tuple[str, Size]) -> Unusable:
    (name, (height, width)), (place, (other_height, other_width)) = first, other
    return unusable(
        "other_size",
        f"It has {other_height}x{other_width} pixels, and {name} has {height}x{width}.",
        place,
        "Set the option `size`, or `resize` to `fit` or `stretch`.",
    )


def _other_size(size: Size, wanted: Size, place: str) -> Unusable:
    return unusable(
        "other_size",
        f"It has {size[1]}x{size[0]} pixels, and the set {wanted[0]}x{wanted[1]}.",
        place,
        "Set the option `resize` to `fit` or `stretch`.",
    )
