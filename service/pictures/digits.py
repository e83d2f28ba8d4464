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
"""Strokes are measured and thickened on pixels this many times as fine as the result's."""
STROKE = 1.6
"""Strokes are made at least this wide, in pixels of the result (MNIST's median is 1.8)."""
FAINTEST = 20.0
"""What differs by less from its background, in grey levels of 255, is no ink."""
FAINTEST_CELL = 8.0
"""The same for the mean of a cell, of which a thin stroke covers little."""
FAINT = 64.0
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
    """Right and down, in pixels of the result: from the middle of the box to the centre of mass."""
    contrast: float
    """Between ink and background, in grey levels (0-255)."""


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
    if grey.shape == (SIDE, SIDE):
        for picture, inverted in ((grey, False), (255 - grey, True)):
            box = _mnist_box(picture)
            if box:
                contrast = float(picture.max())
                return Normalized(
                    picture, Report(not inverted, inverted, box, 1.0, (0.0, 0.0), contrast)
                )
    if not grey.size:
        raise _blank()
    return _redrawn(Image.fromarray(np.ascontiguousarray(grey)))


def _mnist_box(grey: Grey) -> Box | None:
    """Return the ink's box if a (28, 28) picture has MNIST's form, else None.

    That its border is dark needs no look: a box of 20 covers at most 39 of the 108 border pixels.
    """
    columns, rows = grey.sum(axis=0), grey.sum(axis=1)
    x, y = np.flatnonzero(columns), np.flatnonzero(rows)
    if not x.size or grey.max() < 128:
        return None
    left, top, width, height = int(x[0]), int(y[0]), int(x[-1] - x[0] + 1), int(y[-1] - y[0] + 1)
    off = max(abs(_centre(columns) - CENTRE), abs(_centre(rows) - CENTRE))
    return (
        (left, top, width, height) if max(width, height) <= INK_SIDE and off <= OFF_CENTRE else None
    )


def _centre(mass: NDArray[np.generic]) -> float:
    """The index on which a row of masses balances."""
    return float(mass @ np.arange(mass.size) / mass.sum())


def _blank() -> BadImage:
    return BadImage(
        "blank_image",
        "No digit stands out from the background; draw or photograph it larger and with more contrast.",
    )


# --- Which parts of the picture are ink -----------------------------------------------------------


@dataclass(frozen=True)
class _Scene:
    """A picture understood on a coarse grid: what is paper, what is ink, what belongs to the digit."""

    image: Image.Image
    step: int
    """A cell is this many pixels wide and high."""
    paper: Image.Image
    """Grey level of the empty paper, a float per cell."""
    sign: int
    """+1: the ink is lighter than the paper; -1: darker."""
    noise: float
    """Standard deviation of a single pixel, grey levels."""
    cells: Image.Image
    """255 where a cell or its neighbour belongs to the digit, else 0."""
    several: bool
    """Another shape as heavy as a digit lies beside this one."""

    def ink(self, box: Box, size: tuple[int, int]) -> Floats:
        """Return the ink in a box of the picture, resized by area to (width, height).

        Grey levels above or below the paper's, free of noise; 0 where the digit has no cell.
        """
        left, top, width, height = box
        edges = (left, top, left + width, top + height)
        limits = (*self.cells.size, *self.cells.size)
        here = tuple(min(edge / self.step, end) for edge, end in zip(edges, limits, strict=True))
        grey = np.asarray(self.image.resize(size, Image.Resampling.BOX, edges), np.float32)
        paper = np.asarray(self.paper.resize(size, Image.Resampling.BILINEAR, here))
        digit = np.asarray(self.cells.resize(size, Image.Resampling.NEAREST, here)) > 0
        averaged = math.sqrt(max(1.0, width * height / (size[0] * size[1])))
        return _levelled(np.maximum(self.sign * (grey - paper), 0) * digit, self.noise / averaged)


def _scene(image: Image.Image) -> _Scene:
    """Tell ink from paper on a grid of at most GRID cells a side."""
    step = math.ceil(max(image.size) / GRID)
    cells = np.asarray(image.reduce(step), np.float32)
    paper = _paper(cells)
    above = cells - paper
    noise = _noise(above)
    seen = above[np.abs(above) > max(5 * noise, FAINTEST_CELL)]
    if not seen.size:
        raise _blank()
    sign = 1 if seen.sum() > 0 else -1
    ink = np.maximum(sign * above, 0)
    strong = float(np.percentile(np.abs(seen), 80))
    shapes = _shapes(ink, max(5 * noise, 0.3 * strong))
    digit = np.zeros(ink.shape, np.uint8)
    for shape in shapes:
        digit[tuple(np.transpose(shape))] = 255
    grown = Image.fromarray(digit).filter(ImageFilter.MaxFilter(3))
    return _Scene(
        image, step, Image.fromarray(paper), sign, noise * step, grown, _side_by_side(ink, shapes)
    )


def _paper(cells: Floats) -> Floats:
    """Fit a quadratic surface to the grey levels of the paper, however it is lit.

    Iteratively reweighted least squares (Geman-McClure weights), started from the border: ink is
    far from the surface and loses its say.
    """
    y, x = (np.linspace(-1, 1, n) for n in cells.shape)
    Y, X = (axis.ravel() for axis in np.meshgrid(y, x, indexing="ij"))
    A = np.stack([np.ones_like(X), X, Y, X * X, X * Y, Y * Y], axis=1)
    levels = cells.ravel().astype(np.float64)
    border = np.ones(cells.shape)
    border[1:-1, 1:-1] = 0.02
    weights = border.ravel()
    for _ in range(8):
        WA = A * weights[:, None]
        # The ridge keeps a surface that few cells hold from bending.
        ridge = np.diag([1e-9] + [1e-3] * 5) * weights.sum()
        surface = A @ np.linalg.solve(WA.T @ A + ridge, WA.T @ levels)
        off = levels - surface
        spread = max(2.0, 1.5 * float(np.median(np.abs(off))))
        weights = 1 / (1 + (off / (2 * spread)) ** 2) ** 2
    return surface.clip(0, 255).reshape(cells.shape).astype(np.float32)


def _noise(above: Floats) -> float:
    """Standard deviation of a cell's noise: neighbours differ by it, and by ink only at edges."""
    steps = np.concatenate([np.diff(above, axis=0).ravel(), np.diff(above, axis=1).ravel()])
    return 1.4826 / math.sqrt(2) * float(np.median(np.abs(steps))) if steps.size else 0.0


Shape = list[tuple[int, int]]


def _shapes(ink: Floats, threshold: float) -> list[Shape]:
    """Return the connected shapes (row, column of each cell), heaviest first, without specks."""
    shapes = list(_connected(ink > threshold))
    shapes.sort(key=lambda shape: -_mass(ink, shape))
    return [shape for shape in shapes if _mass(ink, shape) >= 0.05 * _mass(ink, shapes[0])]


def _mass(ink: Floats, shape: Shape) -> float:
    return float(ink[tuple(np.transpose(shape))].sum())


def _connected(mask: NDArray[np.bool_]) -> Iterator[Shape]:
    left = {(int(row), int(column)) for row, column in np.argwhere(mask)}
    while left:
        edge = [left.pop()]
        shape: Shape = []
        while edge:
            row, column = edge.pop()
            shape.append((row, column))
            near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            edge.extend(near)
        yield shape


def _side_by_side(ink: Floats, shapes: list[Shape]) -> bool:
    """Tell whether two heavy shapes share no column: the bar of a 5 lies above it, a digit beside."""
    heavy = [s for s in shapes if _mass(ink, s) >= 0.3 * _mass(ink, shapes[0])]
    spans = sorted((min(c for _, c in s), max(c for _, c in s)) for s in heavy)
    return any(a[1] < b[0] for a, b in itertools.pairwise(spans))


# --- From ink to 28x28 ----------------------------------------------------------------------------


def _redrawn(image: Image.Image) -> Normalized:
    """Crop to the ink, thicken it if need be, fit it into 20x20 and centre its mass."""
    scene = _scene(image)
    box = _ink_box(scene)
    ink = scene.ink(box, _fit(box[2], box[3], FINE * INK_SIDE))
    contrast = _strength(ink)
    if contrast < FAINTEST:
        raise _blank()
    thick, thin = _thickened(np.minimum(ink / contrast, 1) * np.float32(255))
    side = _room(thick)
    pixels, shift = _centred(_resized(thick, _fit(thick.shape[1], thick.shape[0], side)))
    warnings = {
        "low_contrast": contrast < FAINT,
        "thin_strokes": thin,
        "several_shapes": scene.several,
    }
    report = Report(False, scene.sign < 0, box, side / max(box[2:]), shift, round(contrast, 1))
    return Normalized(pixels, report, tuple(code for code, holds in warnings.items() if holds))


def _levelled(ink: Floats, noise: float) -> Floats:
    """Take the noise out of the ink: what is faint beside it becomes 0, the rest moves down."""
    floor = max(4 * noise, 0.05 * _strength(ink))
    levelled: Floats = np.where(ink > floor, ink - floor, 0).astype(np.float32)
    return levelled


def _strength(ink: Floats) -> float:
    """Grey level of full ink: the pixels at edges are fainter, a few are brighter by noise."""
    most = float(ink.max())
    return float(np.percentile(ink[ink >= 0.5 * most], 75)) if most > 0 else 0.0


def _ink_box(scene: _Scene) -> Box:
    """Return the box of the digit in pixels, found to a pixel or to 1/160 of its size."""
    cells = scene.cells.getbbox()
    if cells is None:
        raise _blank()
    left, top = cells[0] * scene.step, cells[1] * scene.step
    width = min(cells[2] * scene.step, scene.image.width) - left
    height = min(cells[3] * scene.step, scene.image.height) - top
    size = _fit(width, height, min(max(width, height), 2 * FINE * INK_SIDE))
    ink = scene.ink((left, top, width, height), size)
    inked = Image.fromarray(ink > 0).getbbox()
    if inked is None:
        raise _blank()
    kx, ky = width / size[0], height / size[1]
    x, y = left + math.floor(inked[0] * kx), top + math.floor(inked[1] * ky)
    return x, y, left + math.ceil(inked[2] * kx) - x, top + math.ceil(inked[3] * ky) - y


def _fit(width: int, height: int, side: int) -> tuple[int, int]:
    """Scale a size so that its longer side becomes `side`."""
    scale = side / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _resized(ink: Floats, size: tuple[int, int]) -> Floats:
    """Resize by area to (width, height), and stretch to 255 again."""
    small = np.asarray(Image.fromarray(ink).resize(size, Image.Resampling.BOX))
    return small * (np.float32(255) / small.max())


def _thickened(ink: Floats) -> tuple[Floats, bool]:
    """Widen strokes thinner than STROKE; say whether they were."""
    missing = round(STROKE * FINE - _stroke(ink > 127))
    if missing < 2:
        return ink, False
    grow = missing // 2
    padded = Image.fromarray(np.pad(np.rint(ink).astype(np.uint8), grow))
    return np.asarray(padded.filter(ImageFilter.MaxFilter(2 * grow + 1)), np.float32), True


def _stroke(inked: NDArray[np.bool_]) -> float:
    """Mean width of strokes, in pixels: their area over half their outline."""
    padded = np.pad(inked, 1)
    outline = np.count_nonzero(padded[1:] != padded[:-1])
    outline += np.count_nonzero(padded[:, 1:] != padded[:, :-1])
    return 2 * np.count_nonzero(inked) / max(1, outline)


def _room(ink: Floats) -> int:
    """Return the longest side at which the ink, its mass centred, lies inside the 28x28."""
    reach = max(
        max(centre + 0.5, mass.size - centre - 0.5)
        for mass in (ink.sum(axis=0), ink.sum(axis=1))
        for centre in (_centre(mass),)
    )
    return min(INK_SIDE, int((CENTRE - 1) * max(ink.shape) / reach))


def _centred(ink: Floats) -> tuple[Grey, tuple[float, float]]:
    """Place the ink in 28x28, its centre of mass as near to index 14 as whole pixels allow."""
    height, width = ink.shape
    left = math.floor(CENTRE - _centre(ink.sum(axis=0)) + 0.5)
    top = math.floor(CENTRE - _centre(ink.sum(axis=1)) + 0.5)
    left, top = min(max(left, 0), SIDE - width), min(max(top, 0), SIDE - height)
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    pixels[top : top + height, left : left + width] = np.rint(ink)
    return pixels, (left - (SIDE - width) / 2, top - (SIDE - height) / 2)
