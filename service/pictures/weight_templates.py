"""Draws weights as pictures: each unit's weights are a template, in the colours of RdBu."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from PIL import Image

from service.pictures import lettering, palette, png, svg, weight_colours
from service.pictures.lettering import LETTER_WIDTH, Text
from service.pictures.palette import Theme
from service.pictures.tile_grid import (
    CAPTION,
    TileGrid,
    caption_texts,
    fit,
    paste_tiles,
    title_height,
    title_texts,
)
from service.pictures.weight_colours import Floats, coloured, strongest

Format = Literal["png", "svg"]
MAX_PIXELS = 16_000_000
"""Most pixels of all templates together, if nobody asks for a size."""


def draw(
    templates: Floats,
    *,
    titles: Sequence[str] | None = None,
    instead: Sequence[str] = (),
    captions: Sequence[str] = (),
    columns: int | None = None,
    tile_size: int | None = None,
    scale: Literal["shared", "each"] = "shared",
    colour_bar: bool = False,
    format: Format = "png",
    theme: Theme = "light",
) -> bytes:
    """Draw weights in the colours of RdBu: red below 0, white at 0, blue above.

    Args:
        templates: (n, rows, columns of pixels), n >= 1; a weight that is not finite is grey.
        titles: one above each template.
        instead: what a PNG shows in place of titles that it can't show.
        captions: lines for above all of them; the first that is not wider than they are is written.
        columns: of the grid; by default 5 for ten templates, else about twice as many as rows.
        tile_size: a template's longer side in pixels; by default 112, smaller for many.
        scale: whether the strongest colour stands for the largest absolute weight of all templates
            ("shared") or of each template ("each").
        colour_bar: whether a bar below all templates says what the colours stand for, if there is
            room.

    """
    if not templates.size:
        raise ValueError("there are no weights to draw")
    grid = _grid(templates, columns, tile_size, bool(titles), captions)
    if colour_bar and grid.size[0] >= weight_colours.WIDTH:
        grid = replace(grid, footer=weight_colours.LINE)
    picture, texts = _painted(templates, grid, scale, theme)
    texts = [*title_texts(grid, titles or (), 0, instead), *caption_texts(grid), *texts]
    if format == "svg":
        return svg.encode(picture, texts, theme)
    lettering.write(picture, texts, palette.TEXT[theme])
    return png.encode(picture)


def _painted(
    templates: Floats, grid: TileGrid, scale: Literal["shared", "each"], theme: Theme
) -> tuple[Image.Image, list[Text]]:
    """Return the picture of all templates, and the texts of its colour bar if it has one."""
    ends = [strongest(template) for template in templates]
    shared = None if scale == "each" else max(ends)
    picture = paste_tiles(
        templates,
        lambda part, k: coloured(part, shared or ends[k]),
        grid,
        grid.title,
        palette.PAPER[theme],
    )
    if not grid.footer:
        return picture, []
    top = grid.size[1] - grid.footer - grid.gap // 2
    weight_colours.paste_bar(picture, 0, top)
    return picture, weight_colours.bar_texts(0, top, ends[0] if len(ends) == 1 else shared)


def arranged(templates: Floats, tile_size: int) -> TileGrid:
    """Return the places of templates (n, rows, columns of pixels) in the frames of a film."""
    return _grid(templates, None, tile_size, has_titles=False, captions=())


def _grid(
    templates: Floats,
    columns: int | None,
    tile_size: int | None,
    has_titles: bool,
    captions: Sequence[str],
) -> TileGrid:
    n, longer = len(templates), max(templates.shape[1:])
    columns = min(columns or _columns(n), n)
    side = tile_size or _side(longer, n, columns)
    title = title_height(min(side, 112)) if has_titles else 0
    grid = TileGrid(n, columns, fit(templates[0], side), max(2, min(side, 112) // 9), title)
    room = grid.size[0] - grid.gap
    fitting = (it for it in captions if LETTER_WIDTH * CAPTION * 2 / 3 * len(it) < room)
    return replace(grid, caption=next(fitting, ""))


def _columns(n: int) -> int:
    """Return about twice as many columns as rows; a power of two where n is one."""
    return 5 if n == 10 else min(n, 2 ** max(0, round(math.log2(math.sqrt(2 * n)))))


def _side(longer: int, n: int, columns: int) -> int:
    """Return a whole number of pixels for each weight; about 1120 for all columns.

    It is at least one pixel, unless the picture of all units would be too large.
    """
    wanted = 896 if n == 1 else min(112, 1120 // columns)
    return min(longer * max(1, wanted // longer), math.isqrt(MAX_PIXELS // n))
