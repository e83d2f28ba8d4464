"""Draws the weights between two layers as a matrix: a row for each unit, a column for each input.

The rows and columns are named or numbered as far as there is room.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from PIL import Image

from service.pictures import lettering, palette, png, svg, weight_colours
from service.pictures.lettering import Anchor, Text, fitted, width_of
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
LONGEST_NAME = 160
"""Room for the names of rows, in pixels."""
LEAST_WIDTH = 96
"""A narrower picture has no numbers."""
LEAST_COLUMN = 40
"""Width of a column that has room for its name, perhaps a shortened one."""
STEPS = [factor * 10**power for power in range(5) for factor in (1, 2, 5)]


def draw(
    W: Floats,
    *,
    title: str,
    inputs: str,
    first: int = 0,
    row_names: Sequence[str] = (),
    column_names: Sequence[str] = (),
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
        row_names: of the rows, in place of their numbers; if there is no room for them, numbers.
        column_names: the same for the columns.
        longer_side: of the matrix in pixels; by default about PIXELS, and one for each weight.
    """
    if not W.size:
        raise ValueError("there are no weights to draw")
    shown = np.repeat(W, row_height(W.shape[1], len(W)), axis=0)
    rows = _Names(row_names, first, len(W))
    columns = _Names(column_names, 0, W.shape[1])
    grid = _grid(shown, longer_side, rows, title)
    end = strongest(shown)
    picture = _painted(shown, grid, end, theme)
    texts = [*caption_texts(grid)]
    if grid.footer:
        texts += [*_row_texts(grid, rows), *_column_texts(grid, columns, inputs)]
    if grid.footer > NUMBERS + NAME:
        texts += weight_colours.bar_texts(grid.left, grid.size[1] - weight_colours.LINE, end)
    if format == "svg":
        return svg.encode(picture, texts, theme)
    lettering.write(picture, texts, palette.TEXT[theme])
    return png.encode(picture)


def _painted(shown: Floats, grid: TileGrid, end: float, theme: Theme) -> Image.Image:
    """Return the matrix, and the colour bar below it if the grid has room for one."""
    paper = palette.PAPER[theme]
    picture = paste_tiles(shown[None], lambda part, _: coloured(part, end), grid, 0, paper)
    if grid.footer > NUMBERS + NAME:
        weight_colours.paste_bar(picture, grid.left, grid.size[1] - weight_colours.LINE)
    return picture


@dataclass(frozen=True)
class _Names:
    """What the rows or the columns are called."""

    names: Sequence[str]
    """Nothing if they have numbers only."""
    first: int
    """The number of the first one."""
    count: int

    def has_room(self, pixels: int) -> bool:
        """Return whether all names can be written below each other, each as high as its row."""
        return bool(self.names) and pixels / self.count >= FONT_SIZE + 1

    def width(self, pixels: int) -> int:
        """Return the room for the names of rows of so many pixels together, or for numbers."""
        if not self.has_room(pixels):
            return max(width_of(str(self.first + self.count), FONT_SIZE), 20)
        return min(LONGEST_NAME, max(width_of(name, FONT_SIZE) for name in self.names)) + 8


def row_height(n_in: int, units: int) -> int:
    """Return how often to repeat a unit's row, so that even a few units can be seen."""
    cell = max(1, PIXELS // max(n_in, units))
    return max(1, min(ROW_PIXELS // cell, PIXELS // (units * cell)))


def _grid(shown: Floats, longer_side: int | None, rows: _Names, title: str) -> TileGrid:
    """Return the place of the matrix, with room for its numbers if it is wide enough."""
    longer = max(shown.shape)
    side = longer_side or longer * max(1, PIXELS // longer)
    grid = TileGrid(1, 1, fit(shown, side), 12, 0)
    if grid.size[0] >= LEAST_WIDTH:
        bar = weight_colours.LINE if grid.size[0] >= weight_colours.WIDTH else 0
        grid = replace(grid, left=rows.width(grid.tile[1]), footer=NUMBERS + NAME + bar)
    room = int((grid.size[0] - grid.gap) / (lettering.LETTER_WIDTH * CAPTION * 2 / 3))
    caption = title if len(title) <= room else f"{title[: max(0, room - 1)]}…"
    return replace(grid, caption=caption if room > 3 else "")


def _row_texts(grid: TileGrid, rows: _Names) -> list[Text]:
    left, top = grid.corner(0)
    if rows.has_room(grid.tile[1]):
        places = _middles(rows.count, grid.tile[1])
        return [
            _named(name, left - 4, top + place, LONGEST_NAME, "end", str(rows.first + k))
            for k, (name, place) in enumerate(zip(rows.names, places, strict=True))
        ]
    numbers = _numbers(rows.first, rows.count, grid.tile[1], FONT_SIZE + 3)
    return [Text(number, left - 4, top + place, FONT_SIZE, "end") for number, place in numbers]


def _column_texts(grid: TileGrid, columns: _Names, inputs: str) -> list[Text]:
    left, top = grid.corner(0)
    below, cell = top + grid.tile[1], grid.tile[0] // columns.count
    y, name_y = below + NUMBERS // 2 + 2, below + NUMBERS + NAME // 2
    under = Text(inputs, left + grid.tile[0] // 2, name_y, FONT_SIZE + 1, "middle")
    if columns.names and cell >= LEAST_COLUMN:
        places = _middles(columns.count, grid.tile[0])
        named = [
            _named(name, left + place, y, cell - 4, "middle", str(k))
            for k, (name, place) in enumerate(zip(columns.names, places, strict=True))
        ]
        return [*named, under]
    room = width_of(str(columns.count), FONT_SIZE) + 10
    numbers = _numbers(0, columns.count, grid.tile[0], room)
    texts = [Text(number, left + place, y, FONT_SIZE, "middle") for number, place in numbers]
    return [*texts, under]


def _named(name: str, x: int, y: int, room: int, anchor: Anchor, number: str) -> Text:
    return Text(fitted(name, FONT_SIZE, room), x, y, FONT_SIZE, anchor, number)


def _middles(count: int, pixels: int) -> list[int]:
    return [int((k + 0.5) * pixels / count) for k in range(count)]


def _numbers(first: int, count: int, pixels: int, room: int) -> Iterator[tuple[str, int]]:
    """Yield round numbers of rows or columns that have this much room, and their middles."""
    cell = pixels / count
    step = next((step for step in STEPS if step * cell >= room), STEPS[-1])
    for number in range(first, first + count):
        if number % step == 0:
            yield str(number), int((number - first + 0.5) * cell)
