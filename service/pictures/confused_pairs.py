"""Draws a confusion matrix with an image in each cell."""

import math
from collections.abc import Mapping

import numpy as np
from PIL import Image

from service.pictures import palette, typeface
from service.pictures.contact_sheet import LABEL, PAPER
from service.pictures.drawing import Drawing, Pasted, Words
from service.pictures.tile_grid import Bytes, fit, resized

EDGE, AXIS, GAP = 14, 22, 8
SIDE = 1100
"""About the side of all cells, in pixels."""
LONGEST_NAME = 140
CELL = (38, 38, 43)
DIAGONAL = (30, 30, 34)


def draw(images: Mapping[tuple[int, int], Bytes], names: list[str], tile: int | None) -> bytes:
    """Draw the image of each pair (actual, predicted) in its cell, as PNG.

    Args:
        images: (height, width) or (height, width, 3) each.
        names: of the classes, at most 30, as a PNG can show them.
        tile: pixels of a cell's side; by default as fits.

    """
    k = len(names)
    cell = (tile or _fitting(k)) + 1
    labels = [typeface.fitted(name, 12, LONGEST_NAME) for name in names]
    longest = math.ceil(max(typeface.width(name, 12) for name in labels))
    turned = longest > cell - 4
    left = EDGE + AXIS + longest + GAP
    top = EDGE + AXIS + (longest if turned else 12) + GAP
    drawing = Drawing(left + k * cell + EDGE, top + k * cell + EDGE, PAPER)
    drawing.pasted.append(Pasted(_cells(images, k, cell), left, top))
    drawing.words += [
        Words("predicted", left + k * cell / 2, EDGE + 6, 12, palette.MUTED["dark"]),
        Words("actual", EDGE + 6, top + k * cell / 2, 12, palette.MUTED["dark"], turned=True),
    ]
    for index, name in enumerate(labels):
        middle = cell * (index + 0.5)
        above = Words(name, left + middle, top - GAP - 4, 12, LABEL)
        if turned:
            above = Words(name, left + middle, top - GAP, 12, LABEL, "start", turned=True)
        drawing.words += [Words(name, left - GAP, top + middle, 12, LABEL, "end"), above]
    return drawing.encode("png")


def _fitting(classes: int) -> int:
    """Return the side of a cell with which the picture has a usual size."""
    return 96 if classes <= 4 else min(56, SIDE // classes)


def _cells(images: Mapping[tuple[int, int], Bytes], k: int, cell: int) -> Image.Image:
    """Return the matrix of all cells, each with a border of one pixel."""
    side = cell - 1
    picture = Image.new("RGB", (k * cell, k * cell), PAPER)
    for row, column in np.ndindex(k, k):
        colour = DIAGONAL if row == column else CELL
        place = (column * cell, row * cell)
        picture.paste(colour, (*place, place[0] + side, place[1] + side))
        if (row, column) in images:
            image = images[row, column]
            width, height = fit(image, side)
            within = place[0] + (side - width) // 2, place[1] + (side - height) // 2
            picture.paste(resized(image, (width, height)), within)
    return picture
