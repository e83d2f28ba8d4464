"""Draws a confusion matrix: how often each class is read as each other one."""

import math
from dataclasses import dataclass
from html import escape
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from service.pictures import palette, png
from service.pictures.palette import Rgb, Theme
from service.pictures.svg import FONT

Format = Literal["png", "svg"]
Counts = NDArray[np.int64]

CELL, MARGIN, TITLE = 56, 64, 56
STRONGEST: Rgb = (178, 24, 43)
"""The colour of the most frequent mistake: the red of RdBu."""
RIGHT: dict[Theme, Rgb] = {"light": (236, 239, 242), "dark": (40, 46, 54)}
"""The diagonal is grey: it has no share in the scale of mistakes."""


@dataclass(frozen=True)
class Text:
    """A line of a picture: where its middle is, and how it is written."""

    x: float
    y: float
    words: str
    size: int
    colour: Rgb


@dataclass(frozen=True)
class Square:
    left: int
    top: int
    colour: Rgb


def draw(
    counts: Counts, names: list[str], title: str, *, format: Format = "png", theme: Theme = "light"
) -> bytes:
    """Draw a matrix (classes, classes) of counts: rows are the true classes.

    Args:
        counts: rows are what an image shows, columns what the network says.
        names: of the classes.
        title: a line above the matrix.
        format: of the picture.
        theme: colours for a light or a dark page.

    """
    side = MARGIN + CELL * len(names)
    size = side + MARGIN // 4, side + TITLE + MARGIN // 4
    squares = _squares(counts, theme)
    texts = [*_numbers(counts, squares), *_labels(names, title, size[0], theme)]
    if format == "svg":
        return _svg(size, squares, texts, theme)
    picture = Image.new("RGB", size, palette.PAPER[theme])
    pen = ImageDraw.Draw(picture)
    for it in squares:
        pen.rectangle((it.left, it.top, it.left + CELL - 2, it.top + CELL - 2), it.colour)
    for text in texts:
        font = ImageFont.load_default(text.size)
        pen.text((text.x, text.y), text.words, text.colour, font, "mm")
    return png.encode(picture)


def _squares(counts: Counts, theme: Theme) -> list[Square]:
    mistakes = counts - np.diag(np.diag(counts))
    most = max(1, int(mistakes.max()))
    return [
        Square(
            MARGIN + CELL * column,
            TITLE + MARGIN + CELL * row,
            RIGHT[theme] if row == column else _shade(int(counts[row, column]), most, theme),
        )
        for row in range(len(counts))
        for column in range(len(counts))
    ]


def _shade(count: int, most: int, theme: Theme) -> Rgb:
    """Return paper for no mistake, and red for the most frequent one, by the root of the count."""
    share = math.sqrt(count / most)
    mixed = [
        round(paper + share * (red - paper))
        for paper, red in zip(palette.PAPER[theme], STRONGEST, strict=True)
    ]
    return mixed[0], mixed[1], mixed[2]


def _numbers(counts: Counts, squares: list[Square]) -> list[Text]:
    middle = CELL / 2 - 1
    return [
        Text(it.left + middle, it.top + middle, f"{count:,}" if count else "·", 16, _on(it.colour))
        for it, count in zip(squares, counts.ravel().tolist(), strict=True)
    ]


def _on(colour: Rgb) -> Rgb:
    """Return black or white, whichever stands out more on a colour."""
    channels = [
        (c / 255 / 12.92) if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour
    ]
    luminance = 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]
    return (20, 24, 28) if luminance > 0.18 else (255, 255, 255)


def _labels(names: list[str], title: str, width: int, theme: Theme) -> list[Text]:
    text, muted = palette.TEXT[theme], palette.MUTED[theme]
    middle, top = CELL / 2 - 1, TITLE + MARGIN
    columns = [
        Text(MARGIN + CELL * k + middle, top - 18, name, 16, text) for k, name in enumerate(names)
    ]
    rows = [
        Text(MARGIN - 18, top + CELL * k + middle, name, 16, text) for k, name in enumerate(names)
    ]
    across = Text((width + MARGIN) / 2, top - 44, "read as", 14, muted)
    down = Text(MARGIN / 2, top - 18, "digit", 14, muted)
    return [Text(width / 2, 28, title, 18, text), across, down, *columns, *rows]


def _svg(size: tuple[int, int], squares: list[Square], texts: list[Text], theme: Theme) -> bytes:
    paper = palette.as_hex(palette.PAPER[theme])
    cells = "".join(
        f'<rect x="{it.left}" y="{it.top}" width="{CELL - 1}" height="{CELL - 1}" '
        f'fill="{palette.as_hex(it.colour)}"/>\n'
        for it in squares
    )
    words = "".join(
        f'<text x="{it.x:g}" y="{it.y:g}" font-size="{it.size}" '
        f'fill="{palette.as_hex(it.colour)}">{escape(it.words)}</text>\n'
        for it in texts
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" '
        f'viewBox="0 0 {size[0]} {size[1]}" font-family="{FONT}" text-anchor="middle" '
        f'dominant-baseline="central">\n<rect width="100%" height="100%" fill="{paper}"/>\n'
        f"{cells}{words}</svg>\n"
    ).encode()
