"""Recognises paper of a single grey level, as canvases, drawing programs and scanners give it.

Such a picture needs no estimate of the light on the paper, so its strokes may be as broad as they
like.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.inference import morphology

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

UNEVEN = 0.02
"""The largest deviation of most of the paper from its level, as a share of the contrast."""
SHADED = 0.05
"""A larger deviation, at a part of the picture's border, is a shadow."""
BEYOND = 0.15
"""Nothing lies further beyond the level of flat paper, as seen from the ink."""
MOST, PART = 0.7, 0.12
"""The share of the paper that must be even, and of the border that may be shaded."""
STEEP = 0.03
"""Neighbouring cells that differ by more than this share of the contrast belong to an edge."""
NEAR = 1 / 8
"""The least reach of an edge, as a share of the picture's longer side."""
REACH = 4.0
"""A blurred edge reaches this many cells, divided by the share of the contrast that the steepest
place has between neighbouring cells."""
ENOUGH = 0.05
"""The least share of the cells that says something about the whole paper."""
UNIFORM = 0.98
"""The share of the cells of a border that makes it uniform, since there may be specks on it."""


@dataclass(frozen=True)
class FlatPaper:
    """Paper of one grey level."""

    level: float
    sign: int
    """+1 if the ink is lighter than the paper, -1 if it is darker."""


def find(cells: Floats) -> FlatPaper | None:
    """Return the paper of a picture, given as the means of its cells (h, w), if it is flat."""
    low, high = float(cells.min()), float(cells.max())
    light = cells > (low + high) / 2
    paper, sign = (light, -1) if is_paper(light) else (~light, 1)
    steps, contrast = _range(cells), high - low
    plateaus = cells[paper & (steps <= STEEP * contrast)]
    if not plateaus.size:
        return FlatPaper(high if sign < 0 else low, sign)
    level = float(np.median(plateaus))
    steepest = float(steps.max()) / (contrast or 1)
    reach = max(NEAR * max(cells.shape), REACH / (steepest or 1))
    far = morphology.eroded(paper, round(reach))
    known = cells[far] if far.mean() >= ENOUGH else plateaus
    uneven = np.quantile(np.abs(known - level), MOST) > UNEVEN * contrast
    shaded = _border(far & (np.abs(cells - level) > SHADED * contrast)).mean() > PART
    beyond = sign * (level - (high if sign < 0 else low)) > BEYOND * contrast
    return None if uneven or shaded or beyond else FlatPaper(level, sign)


def is_paper(mask: Mask) -> bool:
    """Return whether the cells that are true are the paper, rather than those that are false.

    A drawing with a margin has a border of paper, perhaps inside a frame. Where a drawing was
    trimmed, the digit covers a part of the border, but hardly ever more than one of the corners.
    """
    while min(mask.shape) > 2:
        outer, inner = _border(mask).mean(), _border(mask[1:-1, 1:-1]).mean()
        if 1 - UNIFORM < outer < UNIFORM:
            break
        if (outer >= UNIFORM) == (inner >= UNIFORM) or 1 - UNIFORM < inner < UNIFORM:
            return bool(outer >= UNIFORM)
        mask = mask[1:-1, 1:-1]  # a frame
    corners = mask[[0, 0, -1, -1], [0, -1, 0, -1]]
    return bool(corners.mean() + _border(mask).mean() > 1)


def _border(mask: Mask) -> Mask:
    return np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])


def _range(cells: Floats) -> Floats:
    """Return by how much the 3x3 cells around each cell differ."""
    return morphology.dilated(cells, 1) - morphology.eroded(cells, 1)
