"""Brings a grey picture of a digit into MNIST's form.

MNIST's digits are white on black. Each was fitted into 20x20 pixels with its aspect ratio kept and
its edges antialiased, and placed in 28x28 so that its centre of mass falls on pixel index 14.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.domain.errors import BadImage
from service.inference import coarse_pixels, ink_detection, stroke_width
from service.inference.grey_levels import Grey
from service.inference.image_decoding import MNIST_SIDE
from service.inference.ink_detection import Box, Floats

INK_SIDE = 20
CENTRE = 14.0
OFF_CENTRE = 0.55
"""Largest distance of the centre of mass from CENTRE, along each axis. In MNIST's 70 000 images it
is between 13.48 and 14.50, so 0.52 would be the tightest rule."""

MOMENTS = np.stack(
    [np.ones(MNIST_SIDE**2), *np.indices((MNIST_SIDE, MNIST_SIDE))[::-1].reshape(2, -1)], axis=1
).astype(np.float32)
"""(784, 3): pictures (n, 784) @ MOMENTS are the masses, and mass times centre in x and y."""
WEAK = bytes(range(128))
"""A picture in MNIST's form has a pixel of at least 128."""
BLOCK = 250
"""Pictures examined together; their pixels fit into the processor's cache."""

FAINTEST = 20.0
"""Anything that differs less from its background, in grey levels of 255, is not ink."""
FAINT = 48.0
"""Ink with less contrast than this is used, with a warning."""


@dataclass(frozen=True)
class Report:
    """What was done to a picture."""

    unchanged: bool
    """It already had MNIST's form."""
    inverted: bool
    """Its ink was darker than its background."""
    box: Box
    """Left, top, width and height of the ink, in pixels of the input."""
    scale: float
    """Pixels of the result for one pixel of the input."""
    shift: tuple[float, float]
    """How far right and down centring the mass moved the box, in pixels of the result."""
    contrast: float
    """Difference between ink and background, in grey levels (0-255)."""


@dataclass(frozen=True)
class Normalized:
    """A picture in MNIST's form, and how it got there."""

    pixels: Grey
    """(28, 28), white ink (255) on black (0)."""
    report: Report
    warnings: tuple[str, ...] = ()
    """Codes: low_contrast, thin_strokes, several_shapes, touches_border."""


def normalize(grey: Grey, *, always: bool = False) -> Normalized:
    """Bring a picture of one digit, grey (h, w) uint8, into MNIST's form, (28, 28) uint8.

    A picture that already has the form passes unchanged, as all 70 000 of MNIST do; the negative
    of one is only inverted. With `always` these are redrawn too. The result always has the form.

    Raises:
        BadImage: blank_image.

    """
    if grey.shape == (MNIST_SIDE, MNIST_SIDE) and not always:
        for picture, inverted in ((grey, False), (255 - grey, True)):
            if box := mnist_box(picture):
                contrast = float(picture.max())
                report = Report(not inverted, inverted, box, 1.0, (0.0, 0.0), contrast)
                return Normalized(picture, report)
    if not grey.size or grey.min() == grey.max():
        raise _blank()
    return _redrawn(np.ascontiguousarray(grey))


def _blank() -> BadImage:
    return BadImage(
        "blank_image",
        "No digit stands out from the background; make it larger or its contrast stronger.",
    )


# --- Recognising MNIST's form ---------------------------------------------------------------------


def mnist_box(picture: Grey) -> Box | None:
    """Return the box of the ink if a (28, 28) picture has MNIST's form, else None.

    The border need not be checked for darkness: a box of 20 covers at most 39 of its 108 pixels.
    """
    rows = picture.tobytes()
    top, height = _extent(rows)
    left, width = _extent(picture.T.tobytes())
    if not 0 < max(width, height) <= INK_SIDE or not rows.translate(None, WEAK):
        return None
    # All are whole numbers below 2^24, which float32 holds exactly.
    mass, *moments = (picture.reshape(-1).astype(np.float32) @ MOMENTS).tolist()
    off = max(abs(moment / mass - CENTRE) for moment in moments)
    return (left, top, width, height) if off <= OFF_CENTRE else None


def _extent(lines: bytes) -> tuple[int, int]:
    """Return the first of the 28-pixel lines that has ink, and the number of lines to the last."""
    first = (len(lines) - len(lines.lstrip(b"\0"))) // MNIST_SIDE
    return first, (len(lines.rstrip(b"\0")) - 1) // MNIST_SIDE - first + 1


def mnist_boxes(pictures: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the boxes of the ink (n, 4) in pictures (n, 28, 28), and which have MNIST's form.

    Gives the same results as `mnist_box`, for many pictures together.
    """
    parts = [_traces(pictures[at : at + BLOCK]) for at in range(0, len(pictures), BLOCK)]
    columns, rows, strong, moments = (np.concatenate(each) for each in zip(*parts, strict=True))
    left, width = _extents(columns)
    top, height = _extents(rows)
    mass = np.maximum(moments[:, :1], 1)
    off = np.abs(moments[:, 1:] / mass.astype(np.float64) - CENTRE)
    off_centre = np.maximum(off[:, 0], off[:, 1])
    fits = strong & (np.maximum(width, height) <= INK_SIDE) & (off_centre <= OFF_CENTRE)
    return np.stack((left, top, width, height), axis=1), fits


def _traces(
    pictures: NDArray[np.uint8],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_], Floats]:
    """Return which columns and which rows have ink, whether any is strong, and the moments."""
    flat = np.ascontiguousarray(pictures).reshape(len(pictures), -1)
    # Four pixels in one word: a row or column has ink if the bitwise or of its words is not 0. The
    # pictures lie side by side in memory, because NumPy is three times slower on many short axes.
    words = np.ascontiguousarray(flat.view(np.uint32).T).reshape(MNIST_SIDE, MNIST_SIDE // 4, -1)
    columns = np.bitwise_or.reduce(words, axis=0)
    rows = np.bitwise_or.reduce(words, axis=1)
    strong = np.bitwise_or.reduce(columns, axis=0) & 0x80808080  # the bit of 128 in any pixel
    pixels = np.ascontiguousarray(columns.T).view(np.uint8)
    return pixels != 0, rows.T != 0, strong != 0, flat.astype(np.float32) @ MOMENTS


def _extents(inked: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the index of each row's first true value, and the number of values to its last."""
    first = inked.argmax(axis=1)
    return first, MNIST_SIDE - inked[:, ::-1].argmax(axis=1) - first


# --- Redrawing ------------------------------------------------------------------------------------


def _redrawn(grey: Grey) -> Normalized:
    """Crop to the ink, give its strokes a usual width, fit it into 20x20 and centre its mass."""
    smooth = coarse_pixels.smoothed(grey)
    scene = ink_detection.find(smooth.image if smooth else Image.fromarray(grey))
    box = scene and ink_detection.box(scene)
    if not scene or not box:
        raise _blank()
    drawn = scene.ink(box, ink_detection.fit(box[2], box[3], stroke_width.SIDE))
    contrast = ink_detection.strength(drawn)
    if contrast < FAINTEST:
        raise _blank()
    strokes = stroke_width.adjusted(drawn / np.float32(contrast))
    pixels, side, shift = _centred(strokes.ink)
    box = smooth.original(box) if smooth else box
    found = {
        "low_contrast": contrast < FAINT,
        "thin_strokes": strokes.thickened,
        "several_shapes": scene.several,
        "touches_border": _is_cut_off(box, grey.shape),
    }
    report = Report(False, scene.sign < 0, box, side / max(box[2:]), shift, round(contrast, 1))
    return Normalized(pixels, report, tuple(code for code, holds in found.items() if holds))


def _is_cut_off(box: Box, shape: tuple[int, ...]) -> bool:
    """Return whether the ink reaches an edge of the picture, where part of it may be missing.

    A picture that was trimmed to its ink has all four edges touched, and nothing is missing.
    """
    left, top, width, height = box
    reached = (left <= 0, top <= 0, left + width >= shape[1], top + height >= shape[0])
    return any(reached) and not all(reached)


def _centred(strokes: Floats) -> tuple[Grey, int, tuple[float, float]]:
    """Place the strokes in 28x28, with their centre of mass within half a pixel of index 14.

    Their longer side becomes 20 pixels, or fewer if a digit that is heavy at one end would
    otherwise leave the picture. Returns the pixels, that side and the shift.
    """
    for side in range(INK_SIDE, 0, -1):
        small = _resized(strokes, ink_detection.fit(strokes.shape[1], strokes.shape[0], side))
        height, width = small.shape
        left = math.floor(CENTRE - _centre_of_mass(small.sum(axis=0)) + 0.5)
        top = math.floor(CENTRE - _centre_of_mass(small.sum(axis=1)) + 0.5)
        if 0 <= left <= MNIST_SIDE - width and 0 <= top <= MNIST_SIDE - height:
            break
    pixels = np.zeros((MNIST_SIDE, MNIST_SIDE), np.uint8)
    pixels[top : top + height, left : left + width] = np.rint(small)
    return pixels, side, (left - (MNIST_SIDE - width) / 2, top - (MNIST_SIDE - height) / 2)


def _resized(strokes: Floats, size: tuple[int, int]) -> Floats:
    """Resize by area to (width, height), and stretch the strongest ink to 255 again."""
    small = np.asarray(Image.fromarray(strokes).resize(size, Image.Resampling.BOX))
    stretched: Floats = small * (np.float32(255) / small.max())
    return stretched


def _centre_of_mass(mass: NDArray[np.unsignedinteger | np.float32]) -> float:
    """Return the index on which a row of masses balances."""
    return float(mass @ np.arange(mass.size) / mass.sum())
