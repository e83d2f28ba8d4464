"""Draws the weights between two layers as a matrix: a row for each unit, a column for each input.

The rows and columns are numbered as far as there is room.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np

from service.pictures import lettering, palette, png, svg, weight_colours
from service.pictures.lettering import Text, width_of
from service.pictures.palette import Theme
from service.pictures.tile_grid import CAPTION, TileGrid, caption_texts, fit, paste_tiles
from service.pictures.weight_colours import Floats, coloured, strongest

PIXELS = 896
"""Side of the picture, if the weights have room in it."""
ROW_PIXELS = 14
"""Least height of a unit's row, if the rows have room: enough for its number."""
FONT_SIZE = 10
NUMBERS, NAME = 14, 16
"""Heights of the numbers below the columns, and of their name."""
LEAST_WIDTH = 96
"""A narrower picture has no numbers."""
STEPS = [factor * 10**power for power in range(5) for factor in (1, 2, 5)]


def draw(
    W: Floats,
    *,
    title: str,
    inputs: str,
    first: int = 0,
    longer_side: int | None = None,
    format: Literal["png", "svg"] = "png",
    theme: Theme = "light",
) -> bytes:
    """Draw a matrix in the colours of RdBu: red below 0, white at 0, blue above.

    Args:
        W: (units, inputs), not empty; a weight that is not finite is grey.
        title: a line above the matrix, shortened to its width.
        inputs: what the columns are.
        first: the number of the first row.
        longer_side: of the matrix in pixels; by default about PIXELS, and one for each weight.
        format: of the picture.
        theme: of the paper and the texts.

    """
    if not W.size:
        raise ValueError("there are no weights to draw")
    shown = np.repeat(W, row_height(W.shape[1], len(W)), axis=0)
    grid = _grid(shown, longer_side, first + len(W), title)
    end = strongest(shown)
    paper = palette.PAPER[theme]
    picture = paste_tiles(shown[None], lambda part, _: coloured(part, end), grid, 0, paper)
    texts = [*caption_texts(grid)]
    if grid.footer:
        texts += [*_row_texts(grid, first, len(W)), *_column_texts(grid, W.shape[1], inputs)]
    if grid.footer > NUMBERS + NAME:
        top = grid.size[1] - weight_colours.LINE
        weight_colours.paste_bar(picture, grid.left, top)
        texts += weight_colours.bar_texts(grid.left, top, end)
    if format == "svg":
        return svg.encode(picture, texts, theme)
    lettering.write(picture, texts, palette.TEXT[theme])
    return png.encode(picture)


def row_height(n_in: int, units: int) -> int:
    """Return how often to repeat a unit's row, so that even a few units can be seen."""
    cell = max(1, PIXELS // max(n_in, units))
    return max(1, min(ROW_PIXELS // cell, PIXELS // (units * cell)))


def _grid(shown: Floats, longer_side: int | None, highest: int, title: str) -> TileGrid:
    """Return the place of the matrix, with room for its numbers if it is wide enough."""
    longer = max(shown.shape)
    side = longer_side or longer * max(1, PIXELS // longer)
    grid = TileGrid(1, 1, fit(shown, side), 12, 0)
    if grid.size[0] >= LEAST_WIDTH:
        left = max(width_of(str(highest), FONT_SIZE), 20)
        bar = weight_colours.LINE if grid.size[0] >= weight_colours.WIDTH else 0
        grid = replace(grid, left=left, footer=NUMBERS + NAME + bar)
    room = int((grid.size[0] - grid.gap) / (lettering.LETTER_WIDTH * CAPTION * 2 / 3))
    caption = title if len(title) <= room else f"{title[: max(0, room - 1)]}…"
    return replace(grid, caption=caption if room > 3 else "")


def _row_texts(grid: TileGrid, first: int, count: int) -> list[Text]:
    left, top = grid.corner(0)
    numbers = _numbers(first, count, grid.tile[1], FONT_SIZE + 3)
    return [Text(number, left - 4, top + place, FONT_SIZE, "end") for number, place in numbers]


def _column_texts(grid: TileGrid, count: int, name: str) -> list[Text]:
    left, top = grid.corner(0)
    below = top + grid.tile[1]
    numbers = _numbers(0, count, grid.tile[0], width_of(str(count), FONT_SIZE) + 10)
    y, name_y = below + NUMBERS // 2 + 2, below + NUMBERS + NAME // 2
    texts = [Text(number, left + place, y, FONT_SIZE, "middle") for number, place in numbers]
    return [*texts, Text(name, left + grid.tile[0] // 2, name_y, FONT_SIZE + 1, "middle")]


def _numbers(first: int, count: int, pixels: int, room: int) -> Iterator[tuple[str, int]]:
    """Yield round numbers of rows or columns that have this much room, and their middles."""
    cell = pixels / count
    step = next((step for step in STEPS if step * cell >= room), STEPS[-1])
    for number in range(first, first + count):
        if number % step == 0:
            yield str(number), int((number - first + 0.5) * cell)
