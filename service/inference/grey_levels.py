"""Turns a decoded picture, in colour or with transparent parts, into grey levels."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Grey = NDArray[np.uint8]
"""(h, w): grey levels from 0 (black) to 255 (white)."""


def grey_of(image: Image.Image) -> Grey:
    """Return a decoded picture in any of Pillow's modes as grey (h, w) uint8."""
    if image.mode.startswith("I"):  # I;16, I;16B, …: Pillow's own conversion clips, not scales
        return (np.asarray(image).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)
    if image.has_transparency_data:
        return _on_paper(image.convert("RGBA"))
    # By way of RGB, because not every mode (CMYK, LAB) can be converted to grey directly.
    return np.array(image if image.mode == "L" else image.convert("RGB").convert("L"))


def _on_paper(image: Image.Image) -> Grey:
    """Put a picture with transparent parts on the paper it was drawn for.

    A mostly transparent picture is a drawing: it gets white paper under dark strokes and black
    paper under light ones. Any other picture shows its own paper, so it gets the median grey level
    of what is visible.
    """
    grey = np.asarray(image.convert("RGB").convert("L"), np.float32)
    alpha = np.asarray(image.getchannel("A"), np.float32) / 255
    visible = grey[alpha > 0.5] if (alpha > 0.5).any() else grey[alpha > 0]
    middle = float(np.median(visible)) if visible.size else 255.0
    paper = middle if alpha.mean() > 0.5 else 255.0 if middle < 128 else 0.0
    return np.rint(grey * alpha + paper * (1 - alpha)).astype(np.uint8)
