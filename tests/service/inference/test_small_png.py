"""The short way through a small grey PNG gives what Pillow gives, or nothing."""

import io
import random
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.inference import small_png
from service.inference.image_decoding import decode
from tests.support.shipped_files import shipped_file


def png(pixels: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **options)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)


def with_pixels(content: bytes) -> bytes:
    """Return a grey 28x28 PNG around bytes that should unpack to its rows."""
    header = (28).to_bytes(4) * 2 + bytes([8, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", content), chunk(b"IEND", b"")]
    )


def digits(datasets_dir: Path) -> np.ndarray:
    path = shipped_file(datasets_dir, "test.images")
    images: np.ndarray = np.load(path)[:100].reshape(-1, 28, 28)
    return images


@pytest.mark.parametrize("optimize", [False, True])
def test_digits_are_decoded_to_their_pixels(datasets_dir: Path, optimize: bool) -> None:
    for digit in digits(datasets_dir):
        found = small_png.decoded(png(digit, optimize=optimize))
        assert found is not None
        assert (found == digit).all()


@pytest.mark.parametrize("kind", range(5))
def test_every_filter_is_undone(kind: int) -> None:
    """A filter predicts each byte from its neighbours; Pillow's usual decoder is the oracle."""
    rows = b"".join(bytes([kind]) + random.Random(row).randbytes(28) for row in range(28))
    file = with_pixels(zlib.compress(rows))
    found = small_png.decoded(file)
    assert found is not None
    assert (found == decode(file)).all()


ROWS = bytes(29) * 28
OTHERS = {
    "colour": png(np.zeros((28, 28, 3), np.uint8)),
    "another size": png(np.zeros((28, 29), np.uint8)),
    "two levels": png(np.zeros((28, 28), bool)),
    "16 bits": png(np.zeros((28, 28), np.uint16)),
    "a text": with_pixels(zlib.compress(ROWS))[:33] + chunk(b"tEXt", b"a\0b") + b"",
    "too few rows": with_pixels(zlib.compress(ROWS[:-29])),
    "too many rows": with_pixels(zlib.compress(ROWS + b"\0")),
    "bytes behind the rows": with_pixels(zlib.compress(ROWS) + b"more"),
    "no checksum": with_pixels(zlib.compress(ROWS)[:-4]),
    "no zlib stream": with_pixels(b"not packed"),
    "an unknown filter": with_pixels(zlib.compress(b"\x07" + ROWS[1:])),
    "nothing": b"",
    "bytes behind the end": with_pixels(zlib.compress(ROWS)) + b"more",
    "two chunks": with_pixels(zlib.compress(ROWS)).replace(
        chunk(b"IEND", b""), chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_everything_else_is_left_to_the_general_decoder(name: str) -> None:
    assert small_png.decoded(OTHERS[name]) is None


def test_damaged_files_are_left_to_the_general_decoder(datasets_dir: Path) -> None:
    rng, file = random.Random(1), png(digits(datasets_dir)[0])
    for _ in range(500):
        at = rng.randrange(len(file))
        damaged = file[:at] + bytes([file[at] ^ rng.randrange(1, 256)]) + file[at + 1 :]
        assert small_png.decoded(damaged) is None
        assert small_png.decoded(file[:at]) is None


def test_a_bomb_unpacks_to_no_more_than_the_picture() -> None:
    bomb = with_pixels(zlib.compress(bytes(10**8)))
    assert small_png.decoded(bomb) is None
