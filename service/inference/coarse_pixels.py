"""Smooths pictures of few pixels: small ones, and small ones that were enlarged without smoothing.

Their edges are stairs, which look like noise and make strokes seem narrower than they are.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.inference import flat_paper
from service.inference.grey_levels import Grey

Box = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""
Indices = NDArray[np.intp]

SMALL = 24
"""Pictures with longer sides have edges that are fine enough."""
MOST = 32
"""Pictures with more blocks along a side have edges that are fine enough."""
DENSE = 0.5
"""The least share of the blocks' borders, between the first and the last edge, that are edges. Few
straight lines that happen to lie on a grid are no blocks."""
SMOOTH = 96
"""The least length of the longer side of a smoothed picture, in pixels."""


@dataclass(frozen=True)
class Smoothed:
    """A picture with smooth edges, and the original's place in it."""

    image: Image.Image
    """The original's blocks, enlarged, and one block of paper on each side."""
    block: tuple[int, int]
    """Width and height of a block in this image."""
    size: tuple[int, int]
    """Width and height of the original."""

    def original(self, box: Box) -> Box:
        """Return the box of all pixels of the original that lie in a box of this image."""
        left, width = self._span(0, box[0], box[2])
        top, height = self._span(1, box[1], box[3])
        return left, top, width, height

    def _span(self, axis: int, start: int, length: int) -> tuple[int, int]:
        block, pixels = self.block[axis], self.size[axis]
        inner = self.image.size[axis] - 2 * block
        first, last = (min(max(0, at - block), inner) * pixels for at in (start, start + length))
        return first // inner, -(-last // inner) - first // inner


def smoothed(grey: Grey) -> Smoothed | None:
    """Return a picture (h, w) with smooth edges; None if it is not coarse, or its paper uneven."""
    blocks = grey if max(grey.shape) <= SMALL else _blocks(grey)
    paper = None if blocks is None else flat_paper.find(blocks.astype(np.float32))
    if blocks is None or paper is None:
        return None
    (height, width), (rows, columns) = grey.shape, blocks.shape
    scale = -(-SMOOTH // max(rows, columns)) / max(width / columns, height / rows)
    block = max(1, round(scale * width / columns)), max(1, round(scale * height / rows))
    padded = Image.fromarray(np.pad(blocks, 1, constant_values=round(paper.level)))
    size = padded.width * block[0], padded.height * block[1]
    return Smoothed(padded.resize(size, Image.Resampling.BICUBIC), block, (width, height))


def _blocks(grey: Grey) -> Grey | None:
    """Return the picture that was enlarged by the nearest neighbour to this one, if any."""
    height, width = grey.shape
    across = _edges(grey)
    columns = _count(across, width)
    if not columns:
        return None
    down = _edges(grey.T)
    rows = _count(down, height)
    if not rows:
        return None
    spanned = columns * np.ptp(across) / width + rows * np.ptp(down) / height
    if across.size + down.size - 2 < DENSE * spanned:
        return None
    image = Image.fromarray(grey)
    small = image.resize((columns, rows), Image.Resampling.NEAREST)
    again = small.resize(image.size, Image.Resampling.NEAREST)
    return np.asarray(small) if np.array_equal(np.asarray(again), grey) else None


def _edges(grey: Grey) -> Indices:
    """Return after which columns a picture changes."""
    lines = grey[:: max(1, len(grey) // (2 * MOST))]  # some in each of at most MOST blocks
    return np.flatnonzero((lines[:, 1:] != lines[:, :-1]).any(axis=0))


def _count(edges: Indices, length: int) -> int | None:
    """Return the least number of blocks along `length` pixels that has all these edges."""
    if not 0 < edges.size < MOST:
        return None
    # A pixel shows the block in which its middle lies, or the one before if it lies between two.
    # The next pixel must show another block.
    counts = np.arange(2, min(MOST, length // 2) + 1)
    middle = (2 * edges + 1) * counts[:, None]
    possible = (middle - 1) // (2 * length) != (middle + 2 * counts[:, None]) // (2 * length)
    fitting = counts[possible.all(axis=1)]
    return int(fitting[0]) if fitting.size else None
