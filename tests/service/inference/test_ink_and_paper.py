"""Ink is found whatever the width of its strokes, its margin, its size and its colours."""

import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.domain.errors import BadImage
from service.inference import flat_paper, image_decoding, image_normalization
from service.inference.image_normalization import Normalized
from tests.support import ink_masks
from tests.support.drawn_digits import encoded, likeness, mnist, mnist_labels, normalized
from tests.support.ink_masks import Mask, Pixels

COUNT = 12


class Reader:
    """Reads digits by their nearest neighbours among 6000 of MNIST's training images."""

    def __init__(self) -> None:
        self._known, self._labels = self._vectors(mnist("train")[:6000]), mnist_labels("train")
        self._shown = mnist_labels("t10k")

    def wrong(self, pictures: list[Pixels]) -> int:
        return self.each_wrong([pictures])[0]

    def each_wrong(self, groups: list[list[Pixels]]) -> list[int]:
        """Count the digits misread in each group, all of which show the same digits."""
        nearest = (self._vectors(np.concatenate(groups)) @ self._known.T).argmax(axis=1)
        read = self._labels[nearest].reshape(len(groups), -1)
        return [int(count) for count in (read != self._shown[: read.shape[1]]).sum(axis=1)]

    @staticmethod
    def _vectors(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        flat = pictures.reshape(len(pictures), -1).astype(np.float32)
        vectors: NDArray[np.float32] = flat / np.linalg.norm(flat, axis=1, keepdims=True)
        return vectors


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


@pytest.fixture(scope="module")
def digits() -> NDArray[np.uint8]:
    return mnist("t10k")[:COUNT]


def read(picture: Pixels, format: str = "PNG") -> Normalized:
    file = encoded(picture, format, compress_level=1)  # of a PNG; six times as fast as the default
    return image_normalization.normalize(image_decoding.decode(file))


def looks(mask: Mask) -> list[Pixels]:
    return [
        ink_masks.painted(mask, (0, 0, 0), (255, 255, 255)),
        ink_masks.painted(mask, (255, 255, 255), (0, 0, 0)),
        ink_masks.transparent(mask, (30, 60, 160)),
        ink_masks.transparent(mask, (255, 255, 255), opacity=0.5),
    ]


@pytest.mark.parametrize("width", [0.06, 0.12, 0.22])
def test_as_many_digits_are_read_as_if_their_ink_were_known(
    reader: Reader, digits: NDArray[np.uint8], width: float
) -> None:
    masks = [ink_masks.broadened(digit, width) for digit in digits]
    for side, margin in [(120, None), (28, 0.0), (200, 0.1), (280, 0.4), (360, 0.25)]:
        known = [m if margin is None else ink_masks.placed(m, side, margin) for m in masks]
        plainly = [ink_masks.plainly_normalized(mask) for mask in known]
        found = zip(*([read(look).pixels for look in looks(mask)] for mask in known), strict=True)
        peer, *ours = reader.each_wrong([plainly, *map(list, found)])
        # One digit may fall either way, where thinning made all others better.
        assert max(ours) <= peer + 1, (side, margin)


COLOURS = {
    "red on green": ((255, 0, 0), (0, 128, 0)),
    "magenta on grey": ((255, 0, 255), (105, 105, 105)),
    "navy on black": ((0, 0, 128), (0, 0, 0)),
    "yellow on white": ((255, 255, 0), (255, 255, 255)),
    "orange on sky blue": ((255, 165, 0), (135, 206, 235)),
    "green on brown": ((0, 160, 0), (139, 90, 43)),
}


@pytest.mark.parametrize("pair", COLOURS)
def test_colours_of_equal_lightness_are_told_apart(
    reader: Reader, digits: NDArray[np.uint8], pair: str
) -> None:
    masks = [ink_masks.placed(ink_masks.broadened(digit, 0.12), 200, 0.15) for digit in digits]
    pictures = [ink_masks.painted(mask, *COLOURS[pair]) for mask in masks]
    for picture, mask in zip(pictures[:3], masks, strict=False):
        black = read(ink_masks.painted(mask, (0, 0, 0), (255, 255, 255)))
        assert likeness(read(picture).pixels, black.pixels) > 0.95
        assert "low_contrast" not in read(picture).warnings
    plainly = reader.wrong([ink_masks.plainly_normalized(mask) for mask in masks])
    # A JPEG has only every second row and column of the colours.
    assert reader.wrong([read(picture, "JPEG").pixels for picture in pictures]) <= plainly + 1


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255)])
@pytest.mark.parametrize("width", [10, 30, 60])
def test_a_transparent_one_trimmed_to_its_box_is_a_bar(colour: tuple[int, ...], width: int) -> None:
    bar = Image.new("L", (width, 240))
    ImageDraw.Draw(bar).rounded_rectangle((0, 0, width - 1, 239), width / 2, 255)
    result = read(ink_masks.transparent(np.asarray(bar, np.float32) / np.float32(255), colour))
    rows, columns = np.nonzero(result.pixels > 127)
    assert np.ptp(rows) >= 17
    assert np.ptp(columns) <= 5
    assert result.report.inverted == (colour == (0, 0, 0))
    assert result.warnings in ((), ("thin_strokes",))


def test_an_opaque_picture_with_an_alpha_channel_shows_its_own_ink() -> None:
    mask = ink_masks.placed(ink_masks.broadened(mnist("t10k")[0], 0.12), 200, 0.15)
    picture = ink_masks.painted(mask, (200, 30, 30), (240, 240, 240))
    opaque = np.dstack([picture, np.full((200, 200), 255, np.uint8)])
    assert (read(opaque).pixels == read(picture).pixels).all()


def test_an_empty_page_with_rounded_corners_is_blank() -> None:
    page = Image.new("RGBA", (200, 200))
    ImageDraw.Draw(page).rounded_rectangle((0, 0, 199, 199), 20, (250, 250, 250, 255))
    with pytest.raises(BadImage) as refused:
        normalized(page)
    assert refused.value.code == "blank_image"


def test_sixteen_bits_that_hold_eight_are_read_as_eight() -> None:
    mask = ink_masks.placed(ink_masks.broadened(mnist("t10k")[0], 0.12), 200, 0.15)
    levels = np.rint(255 * mask)
    wide = read(levels.astype(np.uint16))
    assert (wide.pixels == read(levels.astype(np.uint8)).pixels).all()
    assert "low_contrast" not in wide.warnings


@pytest.mark.parametrize("opaque", [255, 65535])
@pytest.mark.parametrize("kind", ["RGB", "RGBA", "LA"])
def test_colours_of_sixteen_bits_that_hold_eight_are_read_as_eight(kind: str, opaque: int) -> None:
    mask = ink_masks.placed(ink_masks.broadened(mnist("t10k")[0], 0.12), 200, 0.15)
    levels = np.rint(255 * mask).astype(np.uint8)
    channels = {"L": levels, "R": levels, "G": levels, "B": levels, "A": np.full_like(levels, 255)}
    wide = np.stack([channels[name].astype(np.uint16) for name in kind], axis=2)
    if "A" in kind:
        wide[..., -1] = opaque
    found = image_normalization.normalize(image_decoding.decode(png_of_sixteen_bits(wide)))
    assert (found.pixels == read(levels).pixels).all()
    assert found.warnings == ()


@pytest.mark.parametrize("kind", ["RGBA", "LA"])
def test_black_ink_of_sixteen_bits_keeps_its_soft_edges(kind: str) -> None:
    mask = ink_masks.placed(ink_masks.broadened(mnist("t10k")[0], 0.12), 200, 0.15)
    wide = np.zeros((200, 200, len(kind)), np.uint16)
    wide[..., -1] = np.rint(255 * mask).astype(np.uint16) << 8  # the lower bytes hold nothing
    found = image_normalization.normalize(image_decoding.decode(png_of_sixteen_bits(wide)))
    assert (found.pixels == read(ink_masks.transparent(mask, (0, 0, 0))).pixels).all()


def png_of_sixteen_bits(levels: NDArray[np.uint16]) -> bytes:
    """Write a PNG of grey with opacity, RGB or RGBA; Pillow can't."""
    height, width, channels = levels.shape
    size = struct.pack(">II", width, height)
    header = size + bytes([16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0])
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def test_broad_strokes_become_narrower_than_plain_scaling_leaves_them() -> None:
    mask = ink_masks.broadened(mnist("t10k")[0], 0.2)
    result = read(ink_masks.painted(ink_masks.placed(mask, 200, 0.1), (0, 0, 0), (255, 255, 255)))
    assert result.pixels.sum() < 0.75 * ink_masks.plainly_normalized(mask).sum()
    assert result.warnings == ()


def coarse(how: Image.Resampling | None) -> list[Pixels]:
    """Return digits of 8x8 pixels, enlarged to 96x96 in a way, or as they are."""
    small = [Image.fromarray(image[4:24, 4:24]).resize((8, 8), 4) for image in mnist("t10k")[:200]]
    return [
        np.asarray(image.resize((96, 96), how) if how is not None else image) for image in small
    ]


HOW = [Image.Resampling.BICUBIC, Image.Resampling.BILINEAR, Image.Resampling.NEAREST, None]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("dark", [False, True])
def test_a_digit_of_eight_pixels_is_read(
    reader: Reader, how: Image.Resampling | None, dark: bool
) -> None:
    found = [read(255 - picture if dark else picture).pixels for picture in coarse(how)]
    assert reader.wrong(found) <= 16  # 9 of the images themselves


def test_blocks_that_jpeg_has_changed_are_not_taken_for_a_blur(reader: Reader) -> None:
    found = [read(picture, "JPEG") for picture in coarse(Image.Resampling.NEAREST)]
    assert reader.wrong([each.pixels for each in found]) <= 14
    assert sum("thin_strokes" in each.warnings for each in found) <= 1


def test_paper_is_flat_between_the_blurred_strokes_of_a_digit() -> None:
    pictures = coarse(Image.Resampling.BILINEAR)
    found = [flat_paper.find(np.asarray(p[::2, ::2], np.float32)) for p in pictures]
    assert sum(paper is None for paper in found) <= 2


def test_a_frame_around_a_digit_is_left_out() -> None:
    mask = ink_masks.placed(ink_masks.broadened(mnist("t10k")[0], 0.12), 280, 0.25)
    picture = ink_masks.painted(mask, (0, 0, 0), (255, 255, 255))
    alone = read(picture)
    framed = Image.fromarray(picture)
    ImageDraw.Draw(framed).rectangle((0, 0, 279, 279), None, (0, 0, 0), 3)
    assert normalized(framed).report.box == alone.report.box
    assert normalized(framed).warnings == ()
