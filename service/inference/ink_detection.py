"""Separates ink from paper in a picture of a digit: light or dark, clean, unevenly lit or noisy."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from service.inference import flat_paper, frames, ink_shapes, morphology

Floats = NDArray[np.float32]
Box = tuple[int, int, int, int]
"""Left, top, width, height in pixels."""

GRID = 64
"""Ink is searched for on at most 64x64 cells: they are few, and their means have little noise."""
FAINTEST = 8.0
"""A cell that differs less from the paper, in grey levels of 255, holds no ink. The threshold is
low because a thin stroke covers only a small part of a cell."""


@dataclass(frozen=True)
class Scene:
    """The paper and the ink of a picture, found on a coarse grid, and which ink is the digit."""

    image: Image.Image
    step: int
    """Width and height of a cell in pixels."""
    paper: Image.Image
    """Grey level of the empty paper, one float per cell."""
    sign: int
    """+1 if the ink is lighter than the paper, -1 if it is darker."""
    noise: float
    """Standard deviation of a single pixel, in grey levels."""
    cells: Image.Image
    """255 where a cell or its neighbour belongs to the digit, else 0."""
    several: bool
    """Next to the digit is another shape, heavy enough to be a second digit."""

    def ink(self, box: Box, size: tuple[int, int]) -> Floats:
        """Return the ink in a box of the picture, resized by area to (width, height).

        Its values are differences from the paper's grey level, free of noise, and 0 outside the
        digit's cells.
        """
        left, top, width, height = box
        edges = (left, top, left + width, top + height)
        columns, rows = self.cells.size  # the last ones may cover less than `step` pixels
        right, bottom = min(edges[2] / self.step, columns), min(edges[3] / self.step, rows)
        here = (left / self.step, top / self.step, right, bottom)
        grey = np.asarray(self.image.resize(size, Image.Resampling.BOX, edges), np.float32)
        paper = np.asarray(self.paper.resize(size, Image.Resampling.BILINEAR, here))
        digit = np.asarray(self.cells.resize(size, Image.Resampling.NEAREST, here)) > 0
        averaged = math.sqrt(max(1.0, width * height / (size[0] * size[1])))
        return _levelled(np.maximum(self.sign * (grey - paper), 0) * digit, self.noise / averaged)


def find(image: Image.Image) -> Scene | None:
    """Separate ink from paper in a grey picture; return None if nothing stands out."""
    step = math.ceil(max(image.size) / GRID)
    cells = image.reduce(step)
    levels = np.asarray(cells, np.float32)
    flat = flat_paper.find(levels)
    if flat is None:
        sign = _sign(cells)
        paper = _paper(cells, sign)
    else:
        sign = flat.sign
        clear = frames.cleared(image, levels, flat)
        if clear:
            image, levels = clear, np.asarray(clear.reduce(step), np.float32)
        paper = np.full_like(levels, flat.level)
    ink = sign * (levels - paper)
    noise = _noise(ink)
    seen = ink[ink > max(5 * noise, FAINTEST)]
    if not seen.size:
        return None
    threshold = max(5 * noise, 0.3 * float(np.percentile(seen, 80)))
    shapes = ink_shapes.find(ink, threshold)
    digit = np.zeros(ink.shape, np.uint8)
    for shape in shapes:
        digit[shape.cells] = 255
    grown = Image.fromarray(np.ascontiguousarray(morphology.dilated(digit, 1)))
    several = ink_shapes.side_by_side(shapes)
    return Scene(image, step, Image.fromarray(paper), sign, noise * step, grown, several)


def _sign(cells: Image.Image) -> int:
    """Return +1 for light ink and -1 for dark; the median of a wide window is the paper's level."""
    rough = cells.reduce(4)
    median = _ranked(rough, 0.6, 0.5).resize(cells.size, Image.Resampling.BOX)
    off = np.asarray(cells, np.float32) - np.asarray(median, np.float32)
    strong = off[np.abs(off) > 0.3 * np.abs(off).max()]
    return 1 if strong.sum() > 0 else -1


def _paper(cells: Image.Image, sign: int) -> Floats:
    """Return the paper's grey levels under any light: the picture without its narrow strokes.

    This is a soft morphological closing (an opening if the ink is light): a high quantile of each
    window, then the matching low quantile. Strokes vanish even where they cover half of the window,
    noise affects both steps alike, and the straight edge of a shadow moves out and back again.
    """
    rough = cells.reduce(2)
    most = 0.65 if sign < 0 else 0.35
    closed = _ranked(_ranked(rough, 0.4, most), 0.4, 1 - most)
    double = closed.resize((2 * rough.width, 2 * rough.height), Image.Resampling.BILINEAR)
    return np.asarray(double.crop((0, 0, *cells.size)), np.float32)


def _ranked(cells: Image.Image, part: float, quantile: float) -> Image.Image:
    """Return a quantile of each cell's window; `part` is the window's share of the picture."""
    side = max(3, int(part * max(cells.size)) | 1)
    return cells.filter(ImageFilter.RankFilter(side, round(quantile * (side * side - 1))))


def _noise(above: Floats) -> float:
    """Return the standard deviation of a cell's noise, estimated from neighbouring cells.

    Neighbours differ by noise everywhere, and by ink only at the edges of strokes.
    """
    steps = np.concatenate([np.diff(above, axis=0).ravel(), np.diff(above, axis=1).ravel()])
    return 1.4826 / math.sqrt(2) * float(np.median(np.abs(steps))) if steps.size else 0.0


def _levelled(ink: Floats, noise: float) -> Floats:
    """Remove the noise from the ink: what is faint becomes 0, and the rest is lowered by it."""
    floor = max(4 * noise, 0.05 * strength(ink))
    levelled: Floats = np.where(ink > floor, ink - floor, 0).astype(np.float32)
    return levelled


def strength(ink: Floats) -> float:
    """Return the grey level of full ink: edges are fainter, and noise makes a few brighter."""
    most = float(ink.max())
    return float(np.percentile(ink[ink >= 0.5 * most], 75)) if most > 0 else 0.0


def box(scene: Scene) -> Box | None:
    """Return the box of the digit to a pixel, or to 1/160 of its size; None if it is empty."""
    cells = scene.cells.getbbox()
    if cells is None:
        return None
    left, top = cells[0] * scene.step, cells[1] * scene.step
    width = min(cells[2] * scene.step, scene.image.width) - left
    height = min(cells[3] * scene.step, scene.image.height) - top
    size = fit(width, height, min(max(width, height), 160))
    inked = Image.fromarray(scene.ink((left, top, width, height), size) > 0).getbbox()
    if inked is None:
        return None
    # Rounded outwards in integer arithmetic: a float could round beyond the picture's edge.
    x, y = inked[0] * width // size[0], inked[1] * height // size[1]
    right, bottom = -(-inked[2] * width // size[0]), -(-inked[3] * height // size[1])
    return left + x, top + y, right - x, bottom - y


def fit(width: int, height: int, side: int) -> tuple[int, int]:
    """Scale a size so that its longer side becomes `side`."""
    scale = side / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))
