"""A frame around a digit is cleared; a digit that looks like one is not."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from service.inference import flat_paper, frames
from tests.support.drawn_digits import normalized

SIZE = 280


def three(width: int = 20) -> Image.Image:
    picture = Image.new("L", (SIZE, SIZE), 255)
    points = [(90, 60), (140, 50), (185, 85), (130, 135), (190, 180), (145, 225), (85, 210)]
    ImageDraw.Draw(picture).line(points, 0, width, joint="curve")
    return picture


def boxed(picture: Image.Image, gap: int, width: int, level: int = 0) -> Image.Image:
    framed = picture.copy()
    box = (gap, gap, SIZE - 1 - gap, SIZE - 1 - gap)
    ImageDraw.Draw(framed).rectangle(box, None, level, width)
    return framed


def cleared(picture: Image.Image) -> Image.Image | None:
    cells = np.asarray(picture.reduce(5), np.float32)
    paper = flat_paper.find(cells)
    assert paper
    return frames.cleared(picture, cells, paper)


@pytest.mark.parametrize("width", [1, 3, 6])
@pytest.mark.parametrize("gap", [5, 10, 30])
@pytest.mark.parametrize("level", [0, 150])
def test_a_frame_leaves_no_trace(gap: int, width: int, level: int) -> None:
    framed = normalized(boxed(three(), gap, width, level))
    alone = normalized(three())
    assert framed.report.box == alone.report.box
    assert (framed.pixels == alone.pixels).all()
    assert framed.warnings == alone.warnings == ()


def test_a_frame_of_light_ink_is_cleared_too() -> None:
    dark = Image.eval(boxed(three(), 10, 3), lambda level: 255 - level)
    clear = cleared(dark)
    assert clear
    assert (np.asarray(clear) == 255 - np.asarray(three())).all()


def drawn(*lines: tuple[int, ...], width: int = 12) -> Image.Image:
    picture = Image.new("L", (SIZE, SIZE), 255)
    for line in lines:
        ImageDraw.Draw(picture).line(line, 0, width, joint="curve")
    return picture


SQUARE_ZERO = (90, 40, 190, 40, 190, 240, 90, 240, 90, 34)
DIGITS = {
    "0 with corners": drawn(SQUARE_ZERO),
    "0 with a stroke across": drawn(SQUARE_ZERO, (92, 238, 188, 42)),
    "0 with a dot": drawn(SQUARE_ZERO, (140, 130, 140, 150)),
    "8 with corners": drawn(SQUARE_ZERO, (90, 140, 190, 140)),
    "0 of broad strokes around a bar": drawn(SQUARE_ZERO, (140, 80, 140, 200), width=30),
    "a frame that the digit touches": boxed(three(), 48, 4),
    "a frame with a gap": drawn((40, 30, 240, 30, 240, 250, 40, 250, 40, 60), width=4),
    "two digits": drawn((40, 40, 40, 240), (240, 40, 240, 240), (40, 40, 240, 40)),
}


@pytest.mark.parametrize("name", DIGITS)
def test_what_may_be_a_part_of_a_digit_stays(name: str) -> None:
    assert cleared(DIGITS[name]) is None


def test_a_zero_with_corners_is_read_whole() -> None:
    left, top, width, height = normalized(DIGITS["0 with corners"]).report.box
    assert (left, top) == pytest.approx((84, 34), abs=4)
    assert (width, height) == pytest.approx((113, 213), abs=6)
