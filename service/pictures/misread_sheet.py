"""Draws images that a network misreads, each above what it shows and how it is read."""

import math
from collections.abc import Sequence

from service.pictures import typeface
from service.pictures.contact_sheet import LABEL, PAPER
from service.pictures.drawing import Drawing, Pasted, Words
from service.pictures.tile_grid import Bytes, fit, resized

GAP, LINE, FONT = 8, 16, 12
Reading = tuple[str, str, float]
"""What an image shows, what the network says, and its probability."""


def draw(images: Bytes, readings: Sequence[Reading], *, columns: int = 10, tile: int = 84) -> bytes:
    """Return images (n, height, width, …) as a PNG, each above a title such as `4 → 9, 98 %`.

    If a title is too wide for its image, all have a second line.
    """
    if not len(images):
        return _without_images()
    columns = min(columns, len(images))
    titles = [(f"{actual} →", f"{said}, {100 * sure:.0f} %") for actual, said, sure in readings]
    one_line = all(typeface.width(" ".join(title), FONT) <= tile + GAP - 2 for title in titles)
    lines = 1 if one_line else 2
    width, height = tile + GAP, tile + lines * LINE + GAP
    rows = math.ceil(len(images) / columns)
    drawing = Drawing(columns * width + GAP, rows * height + GAP, PAPER)
    for k, (image, title) in enumerate(zip(images, titles, strict=True)):
        left, top = GAP + k % columns * width, GAP + k // columns * height
        wide, high = fit(image, tile)
        inside = left + (tile - wide) // 2, top + (tile - high) // 2
        drawing.pasted.append(Pasted(resized(image, (wide, high)), *inside))
        shown = [" ".join(title)] if one_line else title
        for number, line in enumerate(shown):
            y = top + tile + LINE * (number + 0.5)
            fitted = typeface.fitted(line, FONT, tile + GAP - 2)
            drawing.words.append(Words(fitted, left + tile / 2, y, FONT, LABEL))
    return drawing.encode("png")


def _without_images() -> bytes:
    drawing = Drawing(260, 40, PAPER)
    drawing.words.append(Words("There are no such images.", 130, 20, 13, LABEL))
    return drawing.encode("png")
