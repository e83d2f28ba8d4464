"""Digit images from other apps: decoded with care, then normalised as MNIST was made.

MNIST's digits are white on black, fitted into 20x20 pixels with their aspect kept and antialiased,
and lie in 28x28 so that their centre of mass falls on pixel index 14.
"""

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from service.errors import ServiceError

Grey = NDArray[np.uint8]
Floats = NDArray[np.float32]
Box = tuple[int, int, int, int]
Code = Literal["undecodable_image", "too_many_pixels", "animated_image", "blank_image"]

SIDE = 28
INK_SIDE = 20
CENTRE = 14.0
OFF_CENTRE = 0.55
"""MNIST's 70 000 centres of mass lie in 13.48 ... 14.50; 0.52 is the tightest rule they all pass."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
MAX_PIXELS = 4_000_000

GRID = 64
"""Ink is looked for on at most 64x64 cells: their means are nearly free of noise, and few."""
FINE = 4
"""Strokes are thickened on pixels four times as fine as the result's."""
STROKE = 2.0
"""Strokes are made at least this wide, in pixels of the result."""
FAINTEST = 20.0
"""Ink that differs by less from its background, in grey levels of 255, is no ink."""
FAINT = 64.0


class BadImage(ServiceError):
    """Bytes or pixels that are no digit; `code` is for machines, the message says what to mend."""

    def __init__(self, code: Code, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True)
class Report:
    """What was done to a picture."""

    unchanged: bool
    """It had MNIST's form already."""
    inverted: bool
    """Its ink was darker than its background."""
    box: Box
    """Where the ink lay: left, top, width, height in pixels of the input."""
    scale: float
    """Pixels of the result for one pixel of the input."""
    shift: tuple[float, float]
    """Right and down, in pixels of the result: from the middle of the box to the centre of mass."""
    contrast: float
    """Between ink and background, in grey levels (0-255)."""
    stroke: float
    """Width of the strokes before any thickening, in pixels of the result."""


@dataclass(frozen=True)
class Normalized:
    pixels: Grey
    """(28, 28), white ink (255) on black (0)."""
    report: Report
    warnings: tuple[str, ...] = ()
    """Codes: low_contrast, thin_strokes, several_shapes."""


# --- From bytes to grey ---------------------------------------------------------------------------


def decode(data: bytes) -> Grey:
    """Return the picture in `data` (PNG, JPEG, WebP, BMP or GIF), upright, as grey (h, w).

    Format, size and number of frames are read from the header and checked before any pixel is
    decoded. Transparent parts become paper; 16-bit pictures keep their upper 8 bits.

    Raises:
        BadImage: undecodable_image, too_many_pixels or animated_image.

    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_header(image)
            return _grey(ImageOps.exif_transpose(image))
    except BadImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels() from None
    except Exception:
        # A decoder fed with garbage may raise anything; its words may quote the file, so they stay.
        raise BadImage(
            "undecodable_image",
            "The bytes are no complete PNG, JPEG, WebP, BMP or GIF picture; "
            "send the whole file, unchanged.",
        ) from None


def _check_header(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise _too_many_pixels()
    # A phone's MPO is a JPEG with a thumbnail behind it: several frames, but one picture.
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise BadImage("animated_image", "The picture has several frames; send a single one.")


def _too_many_pixels() -> BadImage:
    return BadImage(
        "too_many_pixels",
        f"The picture has more than {MAX_PIXELS:,} pixels; scale it down, 500x500 is plenty.",
    )


def _grey(image: Image.Image) -> Grey:
    if image.mode.startswith(
        "I"
    ):  # I;16, I;16B, ...: Pillow's own conversion would clip, not scale
        return (np.asarray(image).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)
    if image.has_transparency_data:
        return _on_paper(image.convert("RGBA"))
    # By way of RGB, because not every mode (CMYK, LAB) knows the way to grey.
    return np.asarray(image if image.mode == "L" else image.convert("RGB").convert("L")).copy()


def _on_paper(image: Image.Image) -> Grey:
    """Put a picture with transparent parts on the paper it was meant for.

    Mostly transparent, it is a drawing: white paper under dark strokes, black under light ones.
    Otherwise it has a paper of its own, which shows in the median of what is visible.
    """
    grey = np.asarray(image.convert("RGB").convert("L"), np.float32)
    alpha = np.asarray(image.getchannel("A"), np.float32) / 255
    visible = grey[alpha > 0.5] if (alpha > 0.5).any() else grey[alpha > 0]
    middle = float(np.median(visible)) if visible.size else 255.0
    paper = middle if alpha.mean() > 0.5 else 255.0 if middle < 128 else 0.0
    return np.rint(grey * alpha + paper * (1 - alpha)).astype(np.uint8)


# --- From grey to MNIST's form --------------------------------------------------------------------


def normalize(grey: Grey) -> Normalized:
    """Bring a picture of one digit, grey (h, w) uint8, into MNIST's form, (28, 28) uint8.

    A picture that has the form already passes unchanged, as all 70 000 of MNIST do; so does a
    negative of one, apart from being inverted. The result always has the form.

    Raises:
        BadImage: blank_image.

    """
    for picture, inverted in ((grey, False), (255 - grey, True)):
        box = _mnist_box(picture)
        if box:
            report = Report(
                not inverted,
                inverted,
                box,
                1.0,
                (0.0, 0.0),
                float(picture.max()),
                _stroke(picture > 127),
            )
            return Normalized(picture, report)
    return _redrawn(Image.fromarray(grey)) if grey.size else _blank()
