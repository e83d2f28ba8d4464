"""Arranges small pictures in a grid, each with a title."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.pictures.lettering import Text, fitted
from service.pictures.palette import Rgb

Bytes = NDArray[np.uint8]
T = TypeVar("T", np.uint8, np.float32)

BAND = 500_000
"""Number of values that are coloured together."""
CAPTION = 18
"""Height of a caption in pixels; its letters take two thirds of it."""


@dataclass(frozen=True)
class TileGrid:
    """Tiles in rows, each with room for a title, and with a margin of `gap` around all of them."""

    n: int
    columns: int
    tile: tuple[int, int]
    """Width and height in pixels."""
    gap: int
    title: int
    """Height of a title, 0 for none."""
    caption: str = ""
    """A line above all tiles."""
    left: int = 0
    """Room on the left of all tiles."""
    footer: int = 0
    """Room below all tiles."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole picture."""
        left, top = self.corner(math.ceil(self.n / self.columns) * self.columns)
        return left + self.columns * (self.tile[0] + self.gap), top + self.footer

    def corner(self, k: int) -> tuple[int, int]:
        """Return left and top of the place for tile k and its title."""
        row, column = divmod(k, self.columns)
        step = self.tile[1] + self.title + self.gap
        above = self.gap + (CAPTION if self.caption else 0)
        return self.left + self.gap + column * (self.tile[0] + self.gap), above + row * step

    @property
    def font_size(self) -> int:
        return max(9, round(self.title * 0.66))

    def shortened(self, title: str) -> str:
        """Return a title as one line that is about as wide as a tile."""
        line = " ".join("".join(c if c.isprintable() else " " for c in title).split())
        return fitted(line, self.font_size, self.tile[0] + self.gap)


def fit(tile: NDArray[np.generic], side: int) -> tuple[int, int]:
    """Return width and height of a tile whose longer side becomes `side` pixels."""
    height, width = tile.shape[:2]
    longer = max(height, width)
    return max(1, round(width * side / longer)), max(1, round(height * side / longer))


def title_height(side: int) -> int:
    return max(12, side // 5)


def bands(tile: NDArray[T]) -> Iterator[tuple[int, NDArray[T]]]:
    """Yield a tile in bands of rows, each with the index of its first row.

    A layer's matrix may have millions of weights; what is computed from a band takes little memory.
    """
    rows = max(1, BAND // tile.shape[1])
    for top in range(0, len(tile), rows):
        yield top, tile[top : top + rows]


def resized(tile: Bytes, size: tuple[int, int]) -> Image.Image:
    """Enlarge a tile without blurring its pixels, or shrink it by averaging them."""
    grown = size[0] >= tile.shape[1] and size[1] >= tile.shape[0]
    how = Image.Resampling.NEAREST if grown else Image.Resampling.BOX
    return Image.fromarray(np.ascontiguousarray(tile)).resize(size, how)


def paste_tiles(
    tiles: NDArray[T],
    coloured: Callable[[NDArray[T], int], Bytes],
    grid: TileGrid,
    above: int,
    paper: Rgb,
) -> Image.Image:
    """Return a picture of the tiles on paper, each `above` pixels below the top of its place.

    Args:
        tiles: (n, rows, columns).
        coloured: returns the pixels for some rows of a tile and the tile's number.
        grid: the place of each tile.
        above: pixels between the top of a place and its tile.
        paper: the background.

    """
    picture = Image.new("RGB", grid.size, paper)
    for k, tile in enumerate(tiles):
        left, top = grid.corner(k)
        # Only a tile that keeps its size can be drawn in bands.
        parts = bands(tile) if grid.tile == tile.shape[::-1] else [(0, tile)]
        for row, band in parts:
            size = (grid.tile[0], len(band)) if band is not tile else grid.tile
            picture.paste(resized(coloured(band, k), size), (left, top + above + row))
    return picture


def title_texts(
    grid: TileGrid, titles: Sequence[str], below: int, instead: Sequence[str] = ()
) -> list[Text]:
    """Return the titles, each `below` pixels below the top of its tile's place.

    Args:
        grid: the places.
        titles: of the tiles.
        below: pixels between the top of a place and its title.
        instead: what a PNG shows in place of titles that it can't show.

    """
    texts = []
    for k, title in enumerate(titles[: grid.n]):
        left, top = grid.corner(k)
        x, y = left + grid.tile[0] // 2, top + below + grid.title // 2 - 1
        other = instead[k] if k < len(instead) else ""
        texts.append(Text(grid.shortened(title), x, y, grid.font_size, "middle", other))
    return texts


def caption_texts(grid: TileGrid) -> list[Text]:
    """Return the line above all tiles, if there is one."""
    place = grid.gap, (grid.gap + CAPTION) // 2
    return [Text(grid.caption, *place, CAPTION * 2 // 3)] if grid.caption else []
