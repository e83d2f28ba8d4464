"""A drawing of rectangles, images and lines of text, written as PNG or as SVG."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal

from PIL import Image, ImageDraw

from service.pictures import palette, png, typeface
from service.pictures.lettering import BASELINE, Anchor
from service.pictures.palette import Rgb
from service.pictures.svg import FONT

Format = Literal["png", "svg"]
JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"
"""Parts of words in some languages, and of some emoji."""
SHIFTS: dict[Anchor, float] = {"start": 0.0, "middle": 0.5, "end": 1.0}


@dataclass(frozen=True)
class Box:
    """A filled rectangle; all lengths are pixels."""

    left: float
    top: float
    width: float
    height: float
    colour: Rgb


@dataclass(frozen=True)
class Words:
    """A line of text whose start, middle or end is at a place."""

    line: str
    x: float
    y: float
    """The middle of its height; of its width, if it is turned."""
    size: int
    colour: Rgb
    anchor: Anchor = "middle"
    turned: bool = False
    """It runs upwards."""


@dataclass(frozen=True)
class Pasted:
    """A picture at a place."""

    image: Image.Image
    left: int
    top: int


@dataclass
class Drawing:
    """What is drawn, from the bottom to the top: boxes, pictures, words."""

    width: int
    height: int
    paper: Rgb
    boxes: list[Box] = field(default_factory=list)
    pasted: list[Pasted] = field(default_factory=list)
    words: list[Words] = field(default_factory=list)

    def encode(self, format: Format) -> bytes:
        """Return the drawing as a file."""
        return self._png() if format == "png" else self._svg()

    def _png(self) -> bytes:
        picture = Image.new("RGB", (self.width, self.height), self.paper)
        pen = ImageDraw.Draw(picture)
        for it in self.boxes:
            right, bottom = it.left + it.width - 1, it.top + it.height - 1
            if right >= it.left and bottom >= it.top:
                pen.rectangle((it.left, it.top, right, bottom), it.colour)
        for pasted in self.pasted:
            picture.paste(pasted.image, (pasted.left, pasted.top))
        for words in self.words:
            _write(picture, words)
        return png.encode(picture)

    def _svg(self) -> bytes:
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" '
            f'viewBox="0 0 {self.width} {self.height}" font-family="{FONT}">'
        )
        paper = _rect(Box(0, 0, self.width, self.height, self.paper))
        parts = [*map(_rect, self.boxes), *map(_embedded, self.pasted), *map(_text, self.words)]
        return "\n".join([head, paper, *parts, "</svg>\n"]).encode()


def _write(picture: Image.Image, words: Words) -> None:
    """Write a line into a picture; it is drawn as ink first, which can be turned."""
    font = typeface.font(words.size)
    left, top, right, bottom = font.getbbox(words.line, anchor="lm")
    ink = Image.new("L", (max(1, round(right - left)), max(1, round(bottom - top))))
    ImageDraw.Draw(ink).text((-left, -top), words.line, 255, font, "lm")
    shift = SHIFTS[words.anchor] * (right + left)
    if words.turned:
        ink = ink.transpose(Image.Transpose.ROTATE_90)
        place = round(words.x + top), round(words.y + shift - right)
    else:
        place = round(words.x + left - shift), round(words.y + top)
    picture.paste(words.colour, place, mask=ink)


def _rect(box: Box) -> str:
    return (
        f'<rect x="{box.left:g}" y="{box.top:g}" width="{box.width:g}" height="{box.height:g}" '
        f'fill="{palette.as_hex(box.colour)}"/>'
    )


def _embedded(pasted: Pasted) -> str:
    data = base64.b64encode(png.encode(pasted.image)).decode()
    width, height = pasted.image.size
    return (
        f'<image x="{pasted.left}" y="{pasted.top}" width="{width}" height="{height}" '
        f'style="image-rendering: pixelated" href="data:image/png;base64,{data}"/>'
    )


def _text(words: Words) -> str:
    x, y, down = words.x, words.y, BASELINE * words.size
    turn = f' transform="rotate(-90 {x:g} {y:g})"' if words.turned else ""
    return (
        f'<text x="{x:g}" y="{y + down:g}" font-size="{words.size}" text-anchor="{words.anchor}" '
        f'fill="{palette.as_hex(words.colour)}"{turn}>{escape(words.line)}</text>'
    )


def printable(names: Sequence[str]) -> list[str]:
    """Return names as single lines without characters that no picture can show."""
    lines = ("".join(c if c.isprintable() or c in JOINERS else " " for c in name) for name in names)
    return [" ".join(line.split()) for line in lines]


def named(names: Sequence[str], format: Format) -> list[str]:
    """Return the names of classes as a file of this format shows them."""
    lines = printable(names)
    return typeface.shown(lines) if format == "png" else lines
