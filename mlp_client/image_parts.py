"""Lists of images, split so that each request stays within the server's limits."""

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mlp_client.compact_json import compact

IMAGES_PER_REQUEST = 500
BYTES_PER_REQUEST = 8 * 1024**2
"""Most bytes of JSON; the server accepts 10 MiB."""
PIXELS_PER_REQUEST = 15_000_000
"""Most pixels; the server decodes 16 million for a request."""
LEAST_PIXELS = 16_000
"""Converting even a small picture takes as long as decoding this many pixels."""
PIXELS_PER_BYTE = 8
"""Pixels that a byte of a photograph stands for, at most, where its size is not known."""
LARGE_FILE_BYTES = 5 * 1024**2
"""Larger files are sent by themselves and not in base64: 20 MB would become 27 MB of JSON."""
MEDIA_TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png"}


@dataclass(frozen=True)
class PreparedImage:
    """An image as it is sent."""

    json: bytes = b""
    """An item of `inputs`, or nothing if the file is sent by itself."""
    file: bytes = b""
    pixels: int = 0
    """About how many pixels the server must decode."""
    scale: float = 1
    """How much larger the original is."""

    @classmethod
    def of_numbers(cls, field: str, numbers: list[Any], count: int) -> "PreparedImage":
        """Return an image of numbers.

        Args:
            field: `pixels` (0 to 255) or `values` (0 to 1).
            numbers: the numbers, or rows of them.
            count: how many numbers.

        Raises:
            ValueError: a number is not finite.

        """
        return cls(compact({field: numbers}), pixels=count)

    @classmethod
    def of_file(cls, data: bytes, pixels: int | None = None, scale: float = 1) -> "PreparedImage":
        """Return an image of the bytes of a file, of which the number of pixels may be known."""
        known = len(data) * PIXELS_PER_BYTE if pixels is None else pixels
        if len(data) > LARGE_FILE_BYTES:
            return cls(file=data, pixels=known, scale=scale)
        return cls(b'{"base64":"%b"}' % base64.b64encode(data), pixels=known, scale=scale)


@dataclass(frozen=True)
class ImagePart:
    """The images of one request."""

    images: list[PreparedImage]
    first: int
    """Position of the first one in the whole list."""

    def arguments(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of the request."""
        [*_, last] = self.images
        if last.file:
            headers = {"Content-Type": _media_type(last.file)}
            return {"content": last.file, "headers": headers, "params": options}
        inputs = b",".join(image.json for image in self.images)
        rest = compact(options).removeprefix(b"{")
        headers = {"Content-Type": "application/json"}
        return {"content": b'{"inputs":[%b],%b' % (inputs, rest), "headers": headers}


def split(images: Iterable[PreparedImage]) -> Iterator[ImagePart]:
    """Yield images in parts, in order; each part is as large as the limits allow."""
    part: list[PreparedImage] = []
    first = size = pixels = 0
    for image in images:
        size += len(image.json) + len(image.file)
        pixels += max(image.pixels, LEAST_PIXELS)
        is_full = len(part) == IMAGES_PER_REQUEST or pixels > PIXELS_PER_REQUEST
        if part and (is_full or size > BYTES_PER_REQUEST or image.file or part[-1].file):
            yield ImagePart(part, first)
            first, part = first + len(part), []
            size, pixels = len(image.json) + len(image.file), max(image.pixels, LEAST_PIXELS)
        part.append(image)
    if part:
        yield ImagePart(part, first)


def _media_type(data: bytes) -> str:
    """Return the media type of a file; the server looks into files of no special type."""
    found = (kind for start, kind in MEDIA_TYPES.items() if data.startswith(start))
    return next(found, "application/octet-stream")
