"""Draws weights as pictures: each unit's weights are a template, in the colours of RdBu."""

import base64
import math
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.pictures import palette, png
from service.pictures.palette import Theme
from service.pictures.tile_grid import (
    CAPTION,
    Bytes,
    TileGrid,
    bands,
    fit,
    paste_tiles,
    title_height,
    write_titles,
)

Format = Literal["png", "svg"]
Floats = NDArray[np.float32]

FONT = "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif"


def draw(
    templates: Floats,
    *,
    titles: Sequence[str] | None = None,
    caption: str = "",
    columns: int | None = None,
    tile_size: int | None = None,
    scale: Literal["shared", "each"] = "shared",
    format: Format = "png",
    theme: Theme = "light",
) -> bytes:
    """Draw weights in the colours of RdBu: red below 0, white at 0, blue above.

    Args:
        templates: (n, rows, columns of pixels), n >= 1; a weight that is not finite is grey.
        titles: one above each template.
        caption: a line above all of them, left out if it is wider than they are.
        columns: of the grid; by default 5 for ten templates, else about twice as many as rows.
        tile_size: a template's longer side in pixels; by default 112, smaller for many.
        scale: whether the strongest colour stands for the largest absolute weight of all templates
            ("shared") or of each template ("each").

    """
    if not templates.size:
        raise ValueError("there are no weights to draw")
    grid = _grid(templates, columns, tile_size, bool(titles), caption)
    ends = [_strongest(template) for template in templates]
    if scale == "shared":
        ends = [max(ends)] * len(ends)
    paper = palette.PAPER[theme]
    picture = paste_tiles(
        templates, lambda part, k: _coloured(part, ends[k]), grid, grid.title, paper
    )
    if format == "svg":
        return _svg(picture, grid, titles or (), theme)
    write_titles(picture, grid, titles or (), 0, palette.TEXT[theme])
    return png.encode(picture)


def _grid(
    templates: Floats, columns: int | None, tile_size: int | None, has_titles: bool, caption: str
) -> TileGrid:
    n, longer = len(templates), max(templates.shape[1:])
    columns = min(columns or _columns(n), n)
    side = tile_size or _side(longer, n, columns)
    title = title_height(min(side, 112)) if has_titles else 0
    grid = TileGrid(n, columns, fit(templates[0], side), max(2, min(side, 112) // 9), title)
    fits = 0.4 * CAPTION * len(caption) < grid.size[0]
    return replace(grid, caption=caption) if caption and fits else grid


def _columns(n: int) -> int:
    """Return about twice as many columns as rows; a power of two where n is one."""
    return 5 if n == 10 else min(n, 2 ** max(0, round(math.log2(math.sqrt(2 * n)))))


def _side(longer: int, n: int, columns: int) -> int:
    """Return a whole number of pixels for each weight, at least one; about 1120 for all columns."""
    wanted = 896 if n == 1 else min(112, 1120 // columns)
    return longer * max(1, wanted // longer)


def _strongest(template: Floats) -> float:
    """Return the largest absolute weight that is finite, or 1 if all of them are 0."""
    most = max(
        float(np.abs(part).max(where=np.isfinite(part), initial=0)) for _, part in bands(template)
    )
    return most or 1.0


def _coloured(template: Floats, end: float) -> Bytes:
    """Return colours (rows, columns, 3); the scale is symmetric, so 0 is always white."""
    finite = np.isfinite(template)
    weights = np.where(finite, template, 0).astype(np.float64)
    index = np.rint(127.5 + 127.5 * weights / end).astype(np.uint8)
    return np.where(finite[..., None], palette.RDBU[index], np.uint8(palette.NOT_FINITE))


def _svg(picture: Image.Image, grid: TileGrid, titles: Sequence[str], theme: Theme) -> bytes:
    """Return an SVG with one embedded picture of all templates, and their titles as text."""
    width, height = grid.size
    colour = palette.as_hex(palette.TEXT[theme])
    data = base64.b64encode(png.encode(picture)).decode()
    texts = []
    for k, title in enumerate(titles[: grid.n]):
        left, top = grid.corner(k)
        x, y = left + grid.tile[0] / 2, top + grid.title * 0.7
        texts.append(f'<text x="{x:g}" y="{y:g}">{escape(grid.shortened(title))}</text>')
    if grid.caption:
        place = f'x="{grid.gap}" y="{grid.gap / 2 + 0.7 * CAPTION:g}" text-anchor="start"'
        size = f'font-size="{CAPTION * 2 / 3:g}"'
        texts.append(f"<text {place} {size}>{escape(grid.caption)}</text>")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="{FONT}" font-size="{grid.font_size}" '
        f'fill="{colour}" text-anchor="middle">\n'
        f'<image width="{width}" height="{height}" style="image-rendering: pixelated" '
        f'href="data:image/png;base64,{data}"/>\n' + "\n".join(texts) + "\n</svg>\n"
    ).encode()
