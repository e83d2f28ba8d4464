"""The typeface of names in pictures: DejaVu Sans, which matplotlib brings.

A PNG can't show a name of which the typeface lacks a letter. An SVG is drawn by a program that has
more typefaces, so it has all names.
"""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from PIL import ImageFont


@lru_cache(maxsize=64)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the typeface with letters of `size` pixels."""
    return ImageFont.truetype(_file(), size)


def has_glyphs(line: str) -> bool:
    """Return whether the typeface has all letters of a line."""
    if line.isascii() and line.isprintable():  # which needs no matplotlib
        return True
    known = _known()
    return all(ord(letter) in known for letter in line)


def shown(names: Sequence[str]) -> list[str]:
    """Return the names of classes as a PNG shows them: the number of one that it can't show."""
    return [name if name and has_glyphs(name) else str(k) for k, name in enumerate(names)]


def width(line: str, size: int) -> float:
    """Return the width of a line in pixels, estimated where the typeface lacks a letter."""
    if has_glyphs(line):
        return float(font(size).getlength(line))
    return size * sum(_width_in_ems(letter) for letter in line)


def fitted(line: str, size: int, room: float) -> str:
    """Return a line that is at most `room` pixels wide, with … in place of what is cut off."""
    if width(line, size) <= room:
        return line
    kept = len(line)
    while kept > 1 and width(line[:kept] + "…", size) > room:
        kept -= 1
    return line[:kept].rstrip() + "…"


def _width_in_ems(letter: str) -> float:
    if unicodedata.combining(letter) or letter in "\N{ZERO WIDTH JOINER}\N{VARIATION SELECTOR-16}":
        return 0.0
    return 1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.6


@lru_cache(maxsize=1)
def _file() -> str:
    from matplotlib.font_manager import FontProperties, findfont

    return findfont(FontProperties(family="DejaVu Sans"))


@lru_cache(maxsize=1)
def _known() -> frozenset[int]:
    from matplotlib.font_manager import get_font

    return frozenset(get_font(_file()).get_charmap())
