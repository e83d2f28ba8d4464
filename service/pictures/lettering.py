"""Lines of text in pictures: written into the pixels of a PNG, or as elements of an SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from service.pictures.palette import Rgb

LETTER_WIDTH = 0.55
"""Mean width of a letter, as a part of the font's size."""
BASELINE = 0.35
"""How far the baseline lies below the middle of a line, as a part of the font's size."""

Anchor = Literal["start", "middle", "end"]
PILLOW_ANCHORS: dict[Anchor, str] = {"start": "lm", "middle": "mm", "end": "rm"}


@dataclass(frozen=True)
class Text:
    """A line of text and its place: where it starts, has its middle or ends."""

    line: str
    x: int
    y: int
    """The middle of its height, in pixels from the top."""
    size: int
    anchor: Anchor = "start"


def width_of(line: str, size: int) -> int:
    """Return about how wide a line is, in pixels."""
    return round(LETTER_WIDTH * size * len(line))


def write(picture: Image.Image, texts: Sequence[Text], colour: Rgb) -> None:
    for text in texts:
        ink, (x, y) = _inked(text.line, text.size, text.anchor)
        picture.paste(colour, (text.x + x, text.y + y), mask=ink)


def elements(texts: Sequence[Text]) -> list[str]:
    """Return the texts as elements of an SVG."""
    return [
        f'<text x="{text.x}" y="{text.y + BASELINE * text.size:g}" font-size="{text.size}" '
        f'text-anchor="{text.anchor}">{escape(text.line)}</text>'
        for text in texts
    ]


@lru_cache(maxsize=2048)
def _inked(line: str, size: int, anchor: Anchor) -> tuple[Image.Image, tuple[int, int]]:
    """Return a line as grey ink, and its left and top if its place is (0, 0).

    The same few lines are written again and again, and drawing one takes as long as colouring a
    tile.
    """
    font, place = ImageFont.load_default(size), PILLOW_ANCHORS[anchor]
    left, top, right, bottom = map(round, font.getbbox(line, anchor=place))
    ink = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(ink).text((-left, -top), line, 255, font, place)
    return ink, (left, top)
