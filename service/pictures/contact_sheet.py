"""Draws images of a data set in a grid, with their labels."""

from collections.abc import Sequence

from service.pictures import lettering, png
from service.pictures.palette import Rgb
from service.pictures.tile_grid import (
    Bytes,
    TileGrid,
    fit,
    paste_tiles,
    resized,
    title_height,
    title_texts,
)

PAPER: Rgb = (24, 24, 27)
LABEL: Rgb = (212, 212, 216)


def draw(
    images: Bytes, *, labels: Sequence[str] | None = None, columns: int = 10, tile_size: int = 56
) -> bytes:
    """Return images (n, rows, columns), n >= 1, as a PNG: white on black, each above its label."""
    title = title_height(tile_size) if labels else 0
    columns, tile = min(columns, len(images)), fit(images[0], tile_size)
    grid = TileGrid(len(images), columns, tile, max(2, tile_size // 14), title)
    picture = paste_tiles(images, lambda part, _: part, grid, 0, PAPER)
    lettering.write(picture, title_texts(grid, labels or (), tile[1]), LABEL)
    return png.encode(picture)


def single(image: Bytes, *, tile_size: int = 28) -> bytes:
    """Return a grey image (rows, columns) as PNG, its longer side `tile_size` pixels."""
    return png.encode(resized(image, fit(image, tile_size)))
