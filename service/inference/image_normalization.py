"""Digit images from other apps: decoded with care, then normalised as MNIST was made.

MNIST's digits are white on black, fitted into 20x20 pixels with their aspect kept and antialiased,
and lie in 28x28 so that their centre of mass falls on pixel index 14.
"""

import io
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from service.domain.errors import ServiceError
from service.inference import ink_detection
from service.inference.ink_detection import Box, Floats

Grey = NDArray[np.uint8]
Code = Literal["undecodable_image", "too_many_pixels", "animated_image", "blank_image"]

SIDE = 28
INK_SIDE = 20
CENTRE = 14.0
OFF_CENTRE = 0.55
"""MNIST's 70 000 centres of mass lie in 13.48 to 14.50, so 0.52 would be the tightest rule."""

MOMENTS = np.stack([np.ones(SIDE**2), *np.indices((SIDE, SIDE))[::-1].reshape(2, -1)], axis=1)
MOMENTS = MOMENTS.astype(np.float32)
"""(784, 3): multiplied by pictures, gives their mass, and that times its centre, x and y."""
BLOCK = 250
"""Pictures looked at together; their pixels fit into the processor's cache."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
MAX_IMAGE_BYTES = 1024**2
MAX_PIXELS = 4_000_000
MAX_CHUNKS = 2_000
"""Of a PNG; writers make one for 8 kB or more of pixels."""
PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"
PNG_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"IDAT", b"eXIf", b"IEND"}
"""Those that a picture is made of. Of the others some unpack to many megabytes."""
MAX_SCANS = 64
"""Of a JPEG. A progressive one has about ten; each takes as long as all pixels do."""

FINE = 4
"""Strokes are measured and thickened on pixels this many times as fine as the result's."""
STROKE = 1.6
"""Strokes are made at least this wide, in pixels of the result (MNIST's median is 1.8)."""
FAINTEST = 20.0
"""What differs by less from its background, in grey levels of 255, is no ink."""
FAINT = 48.0
"""Ink that differs by less is used, with a warning."""


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
    """Right and down, in pixels of the result: how far its mass moved the box from the middle."""
    contrast: float
    """Between ink and background, in grey levels (0-255)."""


@dataclass(frozen=True)
class Normalized:
    pixels: Grey
    """(28, 28), white ink (255) on black (0)."""
    report: Report
    warnings: tuple[str, ...] = ()
    """Codes: low_contrast, thin_strokes, several_shapes, touches_border."""


# --- From bytes to grey ---------------------------------------------------------------------------


def decode(data: bytes) -> Grey:
    """Return the picture in `data` (PNG, JPEG, WebP, BMP or GIF), upright, as grey (h, w).

    Format, size and number of frames are read from the header and checked before any pixel is
    decoded. Transparent parts become paper; 16-bit pictures keep their upper 8 bits.

    Raises:
        BadImage: undecodable_image, too_many_pixels or animated_image.
    """
    try:
        with Image.open(io.BytesIO(_bare(data)), formats=FORMATS) as image:
            _check_header(image)
            _check_scans(image, data)
            ImageOps.exif_transpose(image, in_place=True)
            return _grey(image)
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


def is_small_png(data: bytes) -> bool:
    """Tell whether this is a PNG of 28x28, if it can be read at all; its only header says so.

    One with Exif is not meant: Pillow may take a hundred times as long to walk through that.
    """
    small = PNG_START + b"\0\0\0\rIHDR" + SIDE.to_bytes(4) + SIDE.to_bytes(4)
    return data.startswith(small) and data.count(b"IHDR") == 1 and b"eXIf" not in data


def _bare(data: bytes) -> bytes:
    """Return a PNG without its texts and colour profiles, anything else as it is."""
    if data.startswith(JPEG_START):
        _check_segments(data)
    if not data.startswith(PNG_START):
        return data
    kept, at = [PNG_START], len(PNG_START)
    for _ in range(MAX_CHUNKS):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] in PNG_CHUNKS:
            kept.append(data[at:end])
        if end >= len(data):
            return b"".join(kept)
        at = end
    raise BadImage("undecodable_image", f"The PNG has more than {MAX_CHUNKS:,} chunks.")


def _check_segments(data: bytes) -> None:
    """Refuse a JPEG with anything but segments before its pixels: Pillow looks at each byte."""
    at = len(JPEG_START) - 1
    for _ in range(MAX_CHUNKS):
        while data[at : at + 2] == b"\xff\xff" and data[at : at + 9] != b"\xff" * 9:
            at += 1
        if data[at : at + 2] == b"\xff\xda":
            return
        if data[at : at + 1] != b"\xff" or data[at + 1 : at + 2] in (b"", b"\0", b"\xff"):
            break
        at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))
    raise BadImage("undecodable_image", "The JPEG has no pixels, or something else before them.")


def _check_scans(image: Image.Image, data: bytes) -> None:
    if image.format in ("JPEG", "MPO") and data.count(b"\xff\xda") > MAX_SCANS:
        raise BadImage(
            "undecodable_image",
            f"The JPEG has more than {MAX_SCANS} scans; save it as a plain one, or as PNG.",
        )


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


def normalize(grey: Grey, *, always: bool = False) -> Normalized:
    """Bring a picture of one digit, grey (h, w) uint8, into MNIST's form, (28, 28) uint8.

    A picture that has the form already passes unchanged, as all 70 000 of MNIST do; so does a
    negative of one, apart from being inverted; `always` redraws them too. The result always has
    the form.

    Raises:
        BadImage: blank_image.
    """
    if grey.shape == (SIDE, SIDE) and not always:
        for picture, inverted in ((grey, False), (255 - grey, True)):
            box = mnist_box(picture)
            if box:
                contrast = float(picture.max())
                return Normalized(
                    picture, Report(not inverted, inverted, box, 1.0, (0.0, 0.0), contrast)
                )
    if not grey.size or grey.min() == grey.max():
        raise _blank()
    return _redrawn(Image.fromarray(np.ascontiguousarray(grey)))


def mnist_box(picture: Grey) -> Box | None:
    """Return the ink's box if a (28, 28) picture has MNIST's form, else None.

    That its border is dark needs no look: a box of 20 covers at most 39 of the 108 border pixels.
    """
    top, height = _extent(picture.tobytes())
    left, width = _extent(picture.T.tobytes())
    if not 0 < max(width, height) <= INK_SIDE or picture.max() < 128:
        return None
    # Whole numbers below 2^24, so that float32 holds them exactly.
    mass, *moments = (picture.reshape(-1).astype(np.float32) @ MOMENTS).tolist()
    off = max(abs(moment / mass - CENTRE) for moment in moments)
    return (left, top, width, height) if off <= OFF_CENTRE else None


def _extent(lines: bytes) -> tuple[int, int]:
    """Return which of the lines of 28 pixels is the first with ink, and how many to the last."""
    first = (len(lines) - len(lines.lstrip(b"\0"))) // SIDE
    return first, (len(lines.rstrip(b"\0")) - 1) // SIDE - first + 1


def mnist_boxes(pictures: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the ink's boxes (n, 4) of pictures (n, 28, 28), and which have MNIST's form.

    The same as `mnist_box`, for many at once.
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
    """Return which columns and rows of pictures have ink, whether it is strong, and MOMENTS."""
    flat = np.ascontiguousarray(pictures).reshape(len(pictures), -1)
    # Four pixels at once: a row or column has ink if the bits of its pixels, put together, have.
    # Pictures side by side in memory: NumPy takes thrice as long over many short axes.
    words = np.ascontiguousarray(flat.view(np.uint32).T).reshape(SIDE, SIDE // 4, -1)
    columns = np.bitwise_or.reduce(words, axis=0)
    rows = np.bitwise_or.reduce(words, axis=1)
    strong = np.bitwise_or.reduce(columns, axis=0) & 0x80808080  # the bit of 128 in any pixel
    pixels = np.ascontiguousarray(columns.T).view(np.uint8)
    return pixels != 0, rows.T != 0, strong != 0, flat.astype(np.float32) @ MOMENTS


def _extents(inked: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where in each row the first true value lies, and how far it is to the last."""
    first = inked.argmax(axis=1)
    return first, SIDE - inked[:, ::-1].argmax(axis=1) - first


def _centre(mass: NDArray[np.unsignedinteger | np.float32]) -> float:
    """The index on which a row of masses balances."""
    return float(mass @ np.arange(mass.size) / mass.sum())


def _blank() -> BadImage:
    return BadImage(
        "blank_image",
        "No digit stands out from the background; make it larger or its contrast stronger.",
    )


# --- From ink to 28x28 ----------------------------------------------------------------------------


def _redrawn(image: Image.Image) -> Normalized:
    """Crop to the ink, thicken it if need be, fit it into 20x20 and centre its mass."""
    scene = ink_detection.find(image)
    box = scene and ink_detection.box(scene)
    if not scene or not box:
        raise _blank()
    drawn = scene.ink(box, ink_detection.fit(box[2], box[3], FINE * INK_SIDE))
    contrast = ink_detection.strength(drawn)
    if contrast < FAINTEST:
        raise _blank()
    # Ink counts as full a little below its strength, so that uneven light does not dim a part.
    strokes, thin = _thickened(np.minimum(drawn / (0.8 * contrast), 1) * np.float32(255))
    pixels, side, shift = _centred(strokes)
    found = {
        "low_contrast": contrast < FAINT,
        "thin_strokes": thin,
        "several_shapes": scene.several,
        "touches_border": _touches_border(box, image.size),
    }
    report = Report(False, scene.sign < 0, box, side / max(box[2:]), shift, round(contrast, 1))
    return Normalized(pixels, report, tuple(code for code, holds in found.items() if holds))


def _touches_border(box: Box, size: tuple[int, int]) -> bool:
    """Tell whether the ink reaches an edge of the picture, where it is hard to tell from paper."""
    left, top, width, height = box
    return left <= 0 or top <= 0 or left + width >= size[0] or top + height >= size[1]


def _resized(strokes: Floats, size: tuple[int, int]) -> Floats:
    """Resize by area to (width, height), and stretch to 255 again."""
    small = np.asarray(Image.fromarray(strokes).resize(size, Image.Resampling.BOX))
    stretched: Floats = small * (np.float32(255) / small.max())
    return stretched


def _thickened(strokes: Floats) -> tuple[Floats, bool]:
    """Widen strokes thinner than STROKE; say whether they were."""
    missing = round(STROKE * FINE - _stroke(strokes > 127))
    if missing < 2:
        return strokes, False
    grow = missing // 2
    padded = Image.fromarray(np.pad(np.rint(strokes).astype(np.uint8), grow))
    return np.asarray(padded.filter(ImageFilter.MaxFilter(2 * grow + 1)), np.float32), True


def _stroke(inked: NDArray[np.bool_]) -> float:
    """Mean width of strokes, in pixels: their area over half their outline."""
    padded = np.pad(inked, 1)
    sides, ends = padded[:, 1:] != padded[:, :-1], padded[1:] != padded[:-1]
    return 2 * float(inked.sum()) / max(1.0, float(sides.sum() + ends.sum()))


def _centred(strokes: Floats) -> tuple[Grey, int, tuple[float, float]]:
    """Place the strokes in 28x28, their centre of mass within half a pixel of index 14.

    Their longer side becomes 20, or as much less as it takes for a digit that is heavy at one end
    to lie inside the picture. Returned are the pixels, that side and the shift.
    """
    for side in range(INK_SIDE, 0, -1):
        small = _resized(strokes, ink_detection.fit(strokes.shape[1], strokes.shape[0], side))
        height, width = small.shape
        left = math.floor(CENTRE - _centre(small.sum(axis=0)) + 0.5)
        top = math.floor(CENTRE - _centre(small.sum(axis=1)) + 0.5)
        if 0 <= left <= SIDE - width and 0 <= top <= SIDE - height:
            break
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    pixels[top : top + height, left : left + width] = np.rint(small)
    return pixels, side, (left - (SIDE - width) / 2, top - (SIDE - height) / 2)
