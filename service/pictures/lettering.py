"""Lines of text in pictures: written into the pixels of a PNG, or as elements of an SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from service.pictures import typeface
from service.pictures.palette import Rgb
from service.pictures.plain_glyphs import MISSING

LETTER_WIDTH = 0.55
"""Mean width of a letter, as a part of the font's size."""
BASELINE = 0.35
"""How far the baseline lies below the middle of a line, as a part of the font's size."""

PLAIN = "…·±"
"""The letters beside ASCII that Pillow's own typeface has; lines of others are in DejaVu Sans."""

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
    instead: str = ""
    """What a PNG shows if the typefaces lack a letter of the line."""


def is_plain(line: str) -> bool:
    """Return whether a line is written in Pillow's own typeface."""
    return all(letter.isascii() or letter in PLAIN for letter in line)


def width_of(line: str, size: int) -> int:
    """Return about how wide a line is, in pixels."""
    if is_plain(line):
        return round(LETTER_WIDTH * size * len(line))
    return round(typeface.width(line, size))


def fitted(line: str, size: int, room: int) -> str:
    """Return a line that is about `room` pixels wide at most, but not less than three letters."""
    if not is_plain(line):
        return typeface.fitted(line, size, room)
    most = max(3, int(room / (LETTER_WIDTH * size)))
    return line if len(line) <= most else line[: most - 1] + "…"


def write(picture: Image.Image, texts: Sequence[Text], colour: Rgb) -> None:
    for text in texts:
        ink, (x, y) = _inked(_shown(text), text.size, text.anchor)
        picture.paste(colour, (text.x + x, text.y + y), mask=ink)


def elements(texts: Sequence[Text]) -> list[str]:
    """Return the texts as elements of an SVG."""
    return [
        f'<text x="{text.x}" y="{text.y + BASELINE * text.size:g}" font-size="{text.size}" '
        f'text-anchor="{text.anchor}">{escape(text.line)}</text>'
        for text in texts
    ]


def _shown(text: Text) -> str:
    """Return what a PNG shows of a text."""
    if is_plain(text.line) or typeface.has_glyphs(text.line):
        return text.line
    known = (letter if typeface.has_glyphs(letter) else MISSING for letter in text.line)
    return text.instead or "".join(known)


@lru_cache(maxsize=2048)
def _inked(line: str, size: int, anchor: Anchor) -> tuple[Image.Image, tuple[int, int]]:
    """Return a line as grey ink, and its left and top if its place is (0, 0).

    The same few lines are written again and again, and drawing one takes as long as colouring a
    tile.
    """
    font = ImageFont.load_default(size) if is_plain(line) else typeface.font(size)
    place = PILLOW_ANCHORS[anchor]
    left, top, right, bottom = map(round, font.getbbox(line, anchor=place))
    ink = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(ink).text((-left, -top), line, 255, font, place)
    return ink, (left, top)
