"""Digits whose ink is known, and the plainest way to bring them into MNIST's form."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Mask = NDArray[np.float32]
"""(h, w), the share of each pixel that is inked, 0 to 1."""
Pixels = NDArray[np.uint8]

LARGE = 280
SPREAD = 24
"""The margin, in pixels of an enlarged digit, into which its strokes can grow."""


def broadened(digit: Pixels, width: float) -> Mask:
    """Enlarge a digit of MNIST tenfold and give its strokes a mean width, as a share of its side.

    Their width is changed step by step with filters that grow or shrink the ink by a pixel.
    """
    large = Image.fromarray(digit).resize((LARGE, LARGE), Image.Resampling.BICUBIC)
    ink = Image.fromarray(
        np.pad(np.where(np.asarray(large) > 127, 255, 0).astype(np.uint8), SPREAD)
    )
    thin = _width(ink) < width
    rule = ImageFilter.MaxFilter(3) if thin else ImageFilter.MinFilter(3)
    for _ in range(SPREAD):
        changed = ink.filter(rule)
        if (_width(ink) < width) != thin or changed.getbbox() is None:
            break
        ink = changed
    return trimmed(np.asarray(ink, np.float32) / np.float32(255))


def _width(ink: Image.Image) -> float:
    """Return the strokes' area over half their outline, as a share of the longer side."""
    inked = np.asarray(ink) > 127
    outline = (inked[1:] != inked[:-1]).sum() + (inked[:, 1:] != inked[:, :-1]).sum()
    longer: int = max(trimmed(inked.astype(np.float32)).shape)
    return 2 * float(inked.sum()) / float(outline) / longer


def trimmed(mask: Mask) -> Mask:
    """Crop a mask to its ink."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def placed(mask: Mask, side: int, margin: float) -> Mask:
    """Scale a trimmed mask into the middle of a square, with a margin as a share of its side."""
    scale = (1 - 2 * margin) * side / max(mask.shape)
    height, width = (max(1, round(scale * length)) for length in mask.shape)
    small = Image.fromarray(mask).resize((width, height), Image.Resampling.BOX)
    square = np.zeros((side, side), np.float32)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = np.asarray(small)
    return square


def plainly_normalized(mask: Mask) -> Pixels:
    """Fit the ink's box into 20x20 and centre its mass in 28x28; nothing else."""
    ink = trimmed(np.where(mask > 0.5, mask, 0) if (mask > 0.5).any() else mask)
    scale = 20 / max(ink.shape)
    height, width = (max(1, round(scale * length)) for length in ink.shape)
    small = np.asarray(Image.fromarray(ink).resize((width, height), Image.Resampling.BOX))
    y, x = (_balance(small.sum(axis=axis)) for axis in (1, 0))
    top = min(max(0, math.floor(14.5 - y)), 28 - height)
    left = min(max(0, math.floor(14.5 - x)), 28 - width)
    pixels = np.zeros((28, 28), np.uint8)
    pixels[top : top + height, left : left + width] = np.rint(255 * small)
    return pixels


def _balance(mass: Mask) -> float:
    return float(mass @ np.arange(len(mass)) / mass.sum())


def painted(mask: Mask, ink: tuple[int, ...], paper: tuple[int, ...]) -> Pixels:
    """Return an RGB picture (h, w, 3) of a mask in two colours."""
    under = np.asarray(paper, np.float32)
    levels = under + mask[..., None] * (np.asarray(ink, np.float32) - under)
    return np.rint(levels).astype(np.uint8)


def transparent(mask: Mask, ink: tuple[int, ...], opacity: float = 1) -> Pixels:
    """Return an RGBA picture (h, w, 4) of ink on nothing, with black under what is transparent."""
    alpha = np.rint(255 * opacity * mask).astype(np.uint8)[..., None]
    colours = np.where(alpha > 0, np.asarray(ink, np.uint8), np.uint8(0))
    return np.concatenate([colours, alpha], axis=2)
