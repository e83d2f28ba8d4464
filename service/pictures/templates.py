"""Weight tiles and contact sheets: small pictures side by side, drawn by Pillow."""

import base64
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from html import escape
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from service.pictures import png

Format = Literal["png", "svg"]
Theme = Literal["light", "dark"]
Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
T = TypeVar("T", np.uint8, np.float32)


# ColorBrewer's 11-class RdBu, the anchors of matplotlib's "RdBu": low is red, high is blue.
_RDBU = "67001f b2182b d6604d f4a582 fddbc7 f7f7f7 d1e5f0 92c5de 4393c3 2166ac 053061"  # fmt: skip
_ANCHORS = np.array([tuple(bytes.fromhex(colour)) for colour in _RDBU.split()])
_LUT: Bytes = np.stack(
    [np.interp(np.linspace(0, 10, 256), np.arange(11), channel) for channel in _ANCHORS.T], axis=1
).round().astype(np.uint8)  # fmt: skip

_PAPER = {"light": (255, 255, 255), "dark": (22, 27, 34)}
_TEXT = {"light": (31, 35, 40), "dark": (230, 237, 243)}
_BAND = 500_000
"""Weights that are coloured at once."""
_CAPTION = 18
"""Height of a caption in pixels; its letters have two thirds of it."""
_FONT = "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class _Grid:
    """Where the tiles lie: row by row, each with room for a title, a margin of `gap` all around."""

    n: int
    columns: int
    tile: tuple[int, int]
    """Width and height in pixels."""
    gap: int
    title: int
    """Height of a title, 0 for none."""
    caption: str = ""
    """A line over all tiles."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole picture."""
        left, top = self.corner(math.ceil(self.n / self.columns) * self.columns)
        return left + self.columns * (self.tile[0] + self.gap), top

    def corner(self, k: int) -> tuple[int, int]:
        """Left and top of the place for tile k and its title."""
        row, column = divmod(k, self.columns)
        step = self.tile[1] + self.title + self.gap
        above = self.gap + (_CAPTION if self.caption else 0)
        return self.gap + column * (self.tile[0] + self.gap), above + row * step


def draw_tiles(
    tiles: Floats,
    *,
    titles: Sequence[str] | None = None,
    caption: str = "",
    columns: int | None = None,
    tile_size: int | None = None,
    scale: Literal["shared", "each"] = "shared",
    format: Format = "png",
    theme: Theme = "light",
) -> bytes:
    """Draw weights as tiles in the colours of RdBu: red below 0, white at 0, blue above.

    Args:
        tiles: (n, rows, columns of pixels), n >= 1; a weight that is not finite is grey.
        titles: one over each tile; none if left out.
        caption: a line over all of them, if it is not wider than they are.
        columns: of the grid; by default 5 for ten tiles, else about twice as many as rows.
        tile_size: a tile's longer side in pixels; by default 112, smaller for many tiles.
        scale: the strongest colour stands for the largest absolute weight of all tiles
            ("shared") or of each tile ("each").
    """
    if not tiles.size:
        raise ValueError("there are no weights to draw")
    n, longer = len(tiles), max(tiles.shape[1:])
    columns = min(columns or _columns(n), n)
    side = tile_size or _side(longer, n, columns)
    title = _title_height(min(side, 112)) if titles else 0
    grid = _Grid(n, columns, _fit(tiles[0], side), max(2, min(side, 112) // 9), title)
    if caption and 0.4 * _CAPTION * len(caption) < grid.size[0]:
        grid = replace(grid, caption=caption)
    ends = [_strongest(tile) for tile in tiles]
    if scale == "shared":
        ends = [max(ends)] * n
    picture = _laid_out(
        tiles, lambda part, k: _coloured(part, ends[k]), grid, grid.title, _PAPER[theme]
    )
    if format == "svg":
        return _svg(picture, grid, titles or (), theme)
    _write(picture, grid, titles or (), 0, _TEXT[theme])
    return png.written(picture)


def contact_sheet(
    images: Bytes, *, labels: Sequence[str] | None = None, columns: int = 10, tile_size: int = 56
) -> bytes:
    """Draw images (n, 28, 28), n >= 1, as a PNG: white digits on black, each over its label."""
    title = _title_height(tile_size) if labels else 0
    columns, tile = min(columns, len(images)), _fit(images[0], tile_size)
    grid = _Grid(len(images), columns, tile, max(2, tile_size // 14), title)
    picture = _laid_out(images, lambda part, _: part, grid, 0, (24, 24, 27))
    _write(picture, grid, labels or (), tile[1], (212, 212, 216))
    return png.written(picture)


def single(image: Bytes, *, tile_size: int = 28) -> bytes:
    """Return a grey image (h, w) as PNG, its longer side `tile_size` pixels."""
    return png.written(_resized(image, _fit(image, tile_size)))


def _columns(n: int) -> int:
    """About twice as many columns as rows; a power of two where n is one."""
    return 5 if n == 10 else min(n, 2 ** max(0, round(math.log2(math.sqrt(2 * n)))))


def _side(longer: int, n: int, columns: int) -> int:
    """A whole number of pixels for each weight, at least one; about 1120 for all columns."""
    wanted = 896 if n == 1 else min(112, 1120 // columns)
    return longer * max(1, wanted // longer)


def _fit(tile: NDArray[np.generic], side: int) -> tuple[int, int]:
    """Width and height of a tile whose longer side is `side` pixels."""
    height, width = tile.shape[:2]
    longer = max(height, width)
    return max(1, round(width * side / longer)), max(1, round(height * side / longer))


def _title_height(side: int) -> int:
    return max(12, side // 5)


def _strongest(tile: Floats) -> float:
    """Return the largest absolute weight that is finite, or 1 where there is none but 0."""
    parts = _bands(tile)
    return (
        max(float(np.abs(part).max(where=np.isfinite(part), initial=0)) for _, part in parts) or 1.0
    )


def _coloured(tile: Floats, end: float) -> Bytes:
    """Return (rows, columns, 3): 0 is white whatever the range, as the scale is symmetric."""
    finite = np.isfinite(tile)
    weights = np.where(finite, tile, 0).astype(np.float64)
    index = np.rint(127.5 + 127.5 * weights / end).astype(np.uint8)
    return np.where(finite[..., None], _LUT[index], np.uint8(128))


def _bands(tile: NDArray[T]) -> Iterator[tuple[int, NDArray[T]]]:
    """Yield a tile by bands of rows, each with its first: what is made of it takes little memory.

    A layer's matrix may have millions of weights.
    """
    rows = max(1, _BAND // tile.shape[1])
    for top in range(0, len(tile), rows):
        yield top, tile[top : top + rows]


def _resized(tile: Bytes, size: tuple[int, int]) -> Image.Image:
    """Enlarge a tile without blurring its pixels, or shrink it by averaging them."""
    grown = size[0] >= tile.shape[1] and size[1] >= tile.shape[0]
    how = Image.Resampling.NEAREST if grown else Image.Resampling.BOX
    return Image.fromarray(np.ascontiguousarray(tile)).resize(size, how)


def _laid_out(
    tiles: NDArray[T],
    coloured: Callable[[NDArray[T], int], Bytes],
    grid: _Grid,
    above: int,
    paper: tuple[int, int, int],
) -> Image.Image:
    """Put the tiles on paper, each `above` pixels under the top of its place.

    Args:
        coloured: returns pixels for rows of a tile and the tile's number.
    """
    picture = Image.new("RGB", grid.size, paper)
    for k, tile in enumerate(tiles):
        left, top = grid.corner(k)
        # Only what keeps its size can be drawn by bands.
        bands = _bands(tile) if grid.tile == tile.shape[::-1] else [(0, tile)]
        for row, band in bands:
            size = (grid.tile[0], len(band)) if band is not tile else grid.tile
            picture.paste(_resized(coloured(band, k), size), (left, top + above + row))
    return picture


def _write(
    picture: Image.Image,
    grid: _Grid,
    titles: Sequence[str],
    below: int,
    colour: tuple[int, int, int],
) -> None:
    """Write each title into its row of pixels, `below` pixels under the top of its tile's place."""
    for k, title in enumerate(titles[: grid.n]):
        left, top = grid.corner(k)
        ink, (x, y) = _lettering(_shortened(title, grid), _font_size(grid))
        x, y = x + left + grid.tile[0] // 2, y + top + below + grid.title // 2 - 1
        picture.paste(colour, (x, y), mask=ink)
    if grid.caption:
        large = ImageFont.load_default(_CAPTION * 2 / 3)
        place = (grid.gap, (grid.gap + _CAPTION) / 2)
        ImageDraw.Draw(picture).text(place, grid.caption, colour, large, "lm")


@lru_cache(maxsize=64)
def _lettering(line: str, size: int) -> tuple[Image.Image, tuple[int, int]]:
    """A line as grey ink, and where it begins if its middle is (0, 0).

    The same few are written again and again, and to write one takes as long as to colour a tile.
    """
    font = ImageFont.load_default(size)
    left, top, right, bottom = map(round, font.getbbox(line, anchor="mm"))
    ink = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(ink).text((-left, -top), line, 255, font, "mm")
    return ink, (left, top)


def _font_size(grid: _Grid) -> int:
    return max(9, round(grid.title * 0.66))


def _shortened(title: str, grid: _Grid) -> str:
    """One line that about fits over a tile (a letter is some 0.55 of the font's size wide)."""
    line = " ".join("".join(c if c.isprintable() else " " for c in title).split())
    room = max(3, int((grid.tile[0] + grid.gap) / (0.55 * _font_size(grid))))
    return line if len(line) <= room else line[: room - 1] + "…"


def _svg(picture: Image.Image, grid: _Grid, titles: Sequence[str], theme: Theme) -> bytes:
    """One embedded picture of all tiles, their titles as text."""
    width, height = grid.size
    colour = "#{:02x}{:02x}{:02x}".format(*_TEXT[theme])
    data = base64.b64encode(png.written(picture)).decode()
    texts = []
    for k, title in enumerate(titles[: grid.n]):
        left, top = grid.corner(k)
        x, y = left + grid.tile[0] / 2, top + grid.title * 0.7
        texts.append(f'<text x="{x:g}" y="{y:g}">{escape(_shortened(title, grid))}</text>')
    if grid.caption:
        place = f'x="{grid.gap}" y="{grid.gap / 2 + 0.7 * _CAPTION:g}" text-anchor="start"'
        size = f'font-size="{_CAPTION * 2 / 3:g}"'
        texts.append(f"<text {place} {size}>{escape(grid.caption)}</text>")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="{_FONT}" font-size="{_font_size(grid)}" '
        f'fill="{colour}" text-anchor="middle">\n'
        f'<image width="{width}" height="{height}" style="image-rendering: pixelated" '
        f'href="data:image/png;base64,{data}"/>\n' + "\n".join(texts) + "\n</svg>\n"
    ).encode()
