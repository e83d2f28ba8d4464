"""Names in pictures of curves: any name stays readable in an SVG, and a PNG is honest about it.

A PNG has the one font that matplotlib brings. What that font lacks is drawn as a white square. An
SVG is drawn by a program that has more fonts, so there the whole name is put back afterwards.
"""

import re
from html import escape

MISSING = "\N{WHITE SQUARE}"
TEXT = re.compile("<text[^>]*>([^<]*)</text>")


def one_line(text: str, longest: int) -> str:
    """Return a text as one printable line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def plain(line: str) -> str:
    """Return a line that the font can show; a missing glyph would also warn each time."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    known = get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap()
    return "".join(c if ord(c) in known else MISSING for c in line)


def put_back(svg: str, names: dict[str, str]) -> str:
    """Return an SVG in which the texts of these groups, by their ids, say what they should."""
    for group, line in names.items():
        start = svg.index(f'<g id="{group}">')
        found = TEXT.search(svg, start)
        if found:
            svg = svg[: found.start(1)] + escape(line, quote=False) + svg[found.end(1) :]
    return svg
