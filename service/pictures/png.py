"""Writes PNG files for pictures with flat areas.

Pillow could do it, but it tries five filters on each row, which helps photographs. Flat areas
compress well without a filter, and much faster. Processor time of whole pictures, drawing
included, with this writer and with Pillow at `compress_level=1` (median of 9 interleaved runs):

    ten templates           2.3 ms     3.8 ms
    256 templates            26 ms      47 ms
    matrix of 1000 x 2000   120 ms     238 ms
    learning curves          87 ms      99 ms
    contact sheet of 50     2.8 ms     3.5 ms
"""

import zlib

import numpy as np
from PIL import Image

BAND_BYTES = 1_000_000
"""Pixels are compressed in bands of about this many bytes."""
COLOUR_TYPES = {"L": 0, "RGB": 2}


def encode(picture: Image.Image, *, dpi: float | None = None) -> bytes:
    """Return a grey or RGB picture as PNG."""
    colour = COLOUR_TYPES[picture.mode]
    header = np.array(picture.size, ">u4").tobytes() + bytes([8, colour, 0, 0, 0])
    chunks = [_chunk(b"IHDR", header)]
    if dpi:
        per_metre = np.array([dpi, dpi]) / 0.0254
        chunks.append(_chunk(b"pHYs", np.rint(per_metre).astype(">u4").tobytes() + b"\1"))
    return b"".join([b"\x89PNG\r\n\x1a\n", *chunks, _chunk(b"IDAT", _compressed(picture)), END])


def _compressed(picture: Image.Image) -> bytes:
    compressor = zlib.compressobj(level=1)
    height = max(1, BAND_BYTES // (len(picture.getbands()) * picture.width))
    parts = []
    for top in range(0, picture.height, height):
        bottom = min(top + height, picture.height)
        whole = bottom - top == picture.height
        band = picture if whole else picture.crop((0, top, picture.width, bottom))
        rows = np.asarray(band).reshape(bottom - top, -1)
        unfiltered = np.insert(rows, 0, 0, axis=1)  # each row begins with its filter: 0 for none
        parts.append(compressor.compress(unfiltered.data))
    return b"".join([*parts, compressor.flush()])


def _chunk(name: bytes, data: bytes) -> bytes:
    checked = name + data
    return len(data).to_bytes(4) + checked + zlib.crc32(checked).to_bytes(4)


END = _chunk(b"IEND", b"")
