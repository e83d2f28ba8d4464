"""Gives strokes about the width that they have in MNIST, where the median is 1.8 pixels.

Strokes lie on a grid that is FINE times as fine as MNIST's: the longer side of the digit is
FINE times 20 cells. All widths are in pixels of MNIST.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.inference import deblurring, ink_detection, morphology

Floats = NDArray[np.float32]
Levels = NDArray[np.uint8]

FINE = 4
SIDE = 20 * FINE
THINNEST, BROADEST = 1.6, 2.7
"""Strokes of other widths are thickened or thinned."""
THINNED = 2.4
"""The width to which broad strokes are thinned."""
CLOSE = 1.15
"""Strokes broader than THINNED by less than this factor are left as they are."""
FULL = 0.8
"""Ink counts as full a little below its strength, so that uneven light does not dim a part."""
RAMP = 0.35
"""Ink from this far below the level at which strokes are narrow enough, to as far above it, stays
grey, as MNIST's edges are."""
HALVINGS = 7
SOFTEST = 0.2
"""Edges softer than this are blurred; those of MNIST's digits have at most 0.18."""
STEEPEST = 0.5
"""Neighbouring cells of blurred ink differ by less than this; blocks of grey have sharp borders."""
BLUR = 12.0
"""The standard deviation of a blur, in cells, for edges of softness 1."""
FAINT = 0.05
"""Less ink than this does not count when strokes that were thinned are cropped."""


@dataclass(frozen=True)
class Strokes:
    """The ink of a digit in its box."""

    ink: Floats
    """(h, w), from 0 to 255; the longer side is SIDE."""
    thickened: bool
    """The strokes were thinner than THINNEST."""


def adjusted(ink: Floats) -> Strokes:
    """Return strokes of a usual width from ink (h, w), where 1 is as strong as the digit's."""
    drawn = np.minimum(ink / np.float32(FULL), 1)
    softness = _softness(drawn)
    if softness > SOFTEST and _steepest(drawn) < STEEPEST:
        ink = _sharpened(ink, BLUR * softness)
        drawn = np.minimum(ink / np.float32(FULL), 1)
    width = _width(drawn > 0.5)
    if width <= BROADEST:
        return _thickened(drawn, width)
    # In a blurred picture broad strokes have narrow cores; strokes with sharp edges are eroded.
    thinned = _fitted(_eroded(_fitted(_cores(ink))))
    return _thickened(thinned, _width(thinned > 0.5))


def _width(inked: NDArray[np.bool_]) -> float:
    """Return the mean width of the strokes: their area over half their outline."""
    return 2 * int(np.count_nonzero(inked)) / _outline(inked) / FINE


def _softness(drawn: Floats) -> float:
    """Return how wide the edges of the strokes are: the area that is grey over the outline."""
    return float(np.vdot(drawn, 1 - drawn)) / _outline(drawn > 0.5) / FINE


def _steepest(drawn: Floats) -> float:
    """Return the greatest difference between neighbouring cells."""
    return max(float(np.abs(np.diff(drawn, axis=axis)).max(initial=0)) for axis in (0, 1))


def _outline(inked: NDArray[np.bool_]) -> int:
    """Return the length of the outline in cells, at least 1."""
    sides = (
        int(np.count_nonzero(inked[0]) + np.count_nonzero(inked[-1]))
        + int(np.count_nonzero(inked[1:] != inked[:-1]))
        for inked in (inked, inked.T)
    )
    return max(1, sum(sides))


def _sharpened(ink: Floats, blur: float) -> Floats:
    """Undo a blur of the ink, whose strokes then reach less far."""
    sharp = deblurring.deblurred(np.pad(ink, FINE), blur)
    return _fitted(sharp / np.float32(ink_detection.strength(sharp)))


def _cores(ink: Floats) -> Floats:
    """Return the ink above the level at which strokes are as wide as THINNED."""
    low, high = 0.4, 0.85
    for _ in range(HALVINGS):
        level = (low + high) / 2
        low, high = (level, high) if _width(ink > level) > THINNED else (low, level)
    cores: Floats = np.clip((ink - (low + high) / 2) / (2 * RAMP) + 0.5, 0, 1)
    return cores


def _eroded(drawn: Floats) -> Floats:
    """Remove the edges of strokes that are too broad, so that they are THINNED once enlarged."""
    excess = _width(drawn > 0.5) - THINNED
    distance = round(excess * FINE / 2 / (1 - THINNED * FINE / SIDE))
    if excess <= (CLOSE - 1) * THINNED or distance < 1:
        return drawn
    eroded = _filtered(drawn, distance, morphology.eroded)
    return eroded if eroded.max() > 0.5 else drawn


def _fitted(drawn: Floats) -> Floats:
    """Crop to what is not faint and enlarge that to SIDE."""
    rows, columns = (np.flatnonzero((drawn > FAINT).any(axis=axis)) for axis in (1, 0))
    part = drawn[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    factor = SIDE / max(part.shape)
    height, width = (max(1, round(length * factor)) for length in part.shape)
    image = Image.fromarray(np.ascontiguousarray(part))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def _thickened(drawn: Floats, width: float) -> Strokes:
    """Widen strokes if their width is less than THINNEST."""
    distance = round((THINNEST - width) * FINE) // 2
    if distance < 1:
        return Strokes(255 * drawn, False)
    return Strokes(255 * _filtered(drawn, distance, morphology.dilated), True)


def _filtered(drawn: Floats, distance: int, rule: Callable[[Levels, int], Levels]) -> Floats:
    """Grow or shrink the ink by a distance, with blank cells around it."""
    levels = np.pad(np.rint(255 * drawn).astype(np.uint8), distance)
    return rule(levels, distance).astype(np.float32) / np.float32(255)
