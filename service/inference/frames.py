"""Clears straight frames from around a digit, such as the box of a form."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.inference.flat_paper import FlatPaper

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Bounds = tuple[slice, slice]
"""Rows and columns."""
Distances = tuple[int, int, int, int]
"""Distances from the upper, lower, left and right edge."""

FAINTEST = 0.1
"""The least share of the contrast of a cell that a line passes through."""
INKED = 0.3
"""The least share of the contrast of a pixel that belongs to a line."""
FULL = 0.95
"""The least share of a line that is inked."""
BROADEST = 0.08
"""The greatest width of a line, as a share of the frame's longer side."""
LOWEST = 0.3
"""The least height of what is inside, as a share of the frame's; a 0 may have a dot inside."""


def cleared(image: Image.Image, cells: Floats, paper: FlatPaper) -> Image.Image | None:
    """Return a grey picture with paper instead of a frame, or None if it has no frame.

    A frame is a rectangle of thin, closed lines. All other ink is inside and does not touch it, so
    that the frame is no part of a digit. `cells` are means of the picture's parts, which tell most
    pictures without a frame quickly.
    """
    if not _encloses(_inked(cells, paper, FAINTEST)):
        return None
    inked = _inked(np.asarray(image, np.float32), paper, INKED)
    rows, columns = _bounds(inked)
    inside = _inside(inked[rows, columns])
    if inside is None:
        return None
    top, bottom, left, right = inside
    box = columns.start + left, rows.start + top, columns.stop - right, rows.stop - bottom
    clear = Image.new("L", image.size, round(paper.level))
    clear.paste(image.crop(box), box)
    return clear


def _inked(levels: Floats, paper: FlatPaper, least: float) -> Mask:
    ink = paper.sign * (levels - np.float32(paper.level))
    mask: Mask = ink > least * ink.max()
    return mask


def _encloses(inked: Mask) -> bool:
    """Return whether there is ink, and the lines around all of it are inked."""
    if not inked.any():
        return False
    part = inked[_bounds(inked)]
    return all(line.mean() >= FULL for line in (part[0], part[-1], part[:, 0], part[:, -1]))


def _bounds(inked: Mask) -> Bounds:
    rows, columns = (np.flatnonzero(inked.any(axis=axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _inside(framed: Mask) -> Distances | None:
    """Return the distances of the middle between a frame and the ink inside; None if no frame."""
    height, width = framed.shape
    full_rows, full_columns = (framed.mean(axis=axis) >= FULL for axis in (1, 0))
    lines = [_leading(each) for full in (full_rows, full_columns) for each in (full, full[::-1])]
    top, bottom, left, right = lines
    inner = framed[top : height - bottom, left : width - right]
    if not 0 < min(lines) <= max(lines) <= BROADEST * max(height, width) or not inner.any():
        return None
    rows, columns = _bounds(inner)
    below, after = inner.shape[0] - rows.stop, inner.shape[1] - columns.stop
    gaps = rows.start, below, columns.start, after
    if min(gaps) < 1 or rows.stop - rows.start < LOWEST * height:
        return None
    top, bottom, left, right = (a + (b + 1) // 2 for a, b in zip(lines, gaps, strict=True))
    return top, bottom, left, right


def _leading(full: Mask) -> int:
    """Return how many values are true before the first that is not."""
    return int(full.argmin()) if not full.all() else len(full)
