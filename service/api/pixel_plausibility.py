"""Recognises bytes that are plainly not grey pixels, although their number would fit.

In a grey picture, neighbouring bytes are pixels of the same kind, so it makes no difference which
of them stand at even places. In numbers of several bytes, and in pixels of several channels, each
place has a part of its own: the exponent, the bytes that are always 0, the opacity. That is what is
looked for, so neither odd pictures nor noise are refused.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.inference.image_decoding import MNIST_SIDE

SAMPLE = 12 * 1024
"""Bytes that are looked at, so that many pictures take no longer; a multiple of all item sizes."""
PERIOD = 24
"""A multiple of all item sizes: a blank margin repeats itself after this many bytes."""
FEW = 8
"""Fewer numbers than this prove nothing."""
LONGISH = 2
"""The most that one side of a large picture without a shape is longer than the other."""
LANES = 3
"""A digit reaches at least this many of the columns in which numbers of several bytes begin."""
SMALLEST, LARGEST = 2.0**-17, 256.0
"""Nearly all numbers in a picture are 0 or between these, apart from their sign. In random bytes,
one in twenty is, as float32."""
MOSTLY = 0.95
UNLIKE = 0.5
"""The least distance of two distributions, from 0 to 1, that differ plainly."""

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Form:
    """The grey pictures that are expected."""

    height: int = MNIST_SIDE
    width: int = MNIST_SIDE

    @property
    def row(self) -> int:
        """The number of pixels of a picture."""
        return self.height * self.width


Reading = tuple[str, str, str]
"""What bytes look like; the `dtype` to declare, or nothing; and the end of the `shape`."""


def other_reading(data: bytes, height: int = MNIST_SIDE, width: int = MNIST_SIDE) -> str | None:
    """Return what bytes look like if that is not grey pixels of this size, with what to declare."""
    form = Form(height, width)
    telling = memoryview(data)[_end_of_margin(data) :]  # a copy of a large body takes long
    sample = np.frombuffer(telling[:SAMPLE], np.uint8)
    for size, looks_like in CHECKS:
        items = len(data) // size
        is_possible = items % form.row == 0 or (is_square(items) and items > form.row)
        if len(data) % size or not is_possible:
            continue
        rows = sample[: len(sample) - len(sample) % size].reshape(-1, size)
        if found := looks_like(rows, form):
            return _remedy(found, _sides(telling, items, size, form), items, form)
    return _one_large_picture(telling, len(data), form)


def _end_of_margin(data: bytes) -> int:
    """Return where the first item stands that differs from those before it: a margin tells nothing.

    The result is a multiple of PERIOD, or 0 if all items are the same.
    """
    pixels = np.frombuffer(data, np.uint8)
    for end in (SAMPLE, len(data)):
        differs = pixels[PERIOD:end] != pixels[:end][:-PERIOD]
        if differs.any():
            return (int(differs.argmax()) + PERIOD) // PERIOD * PERIOD
    return 0


def is_square(count: int) -> bool:
    return count == math.isqrt(count) ** 2


def _sides(telling: memoryview, items: int, size: int, form: Form) -> tuple[int, int]:
    """Return height and width of one square picture, or those of the expected ones."""
    side = math.isqrt(items)
    is_one = side**2 == items and _is_one_picture(telling, side * size, form.width * size, form)
    return (side, side) if items % form.row or is_one else (form.height, form.width)


def _is_one_picture(telling: memoryview, width: int, usual: int, form: Form) -> bool:
    """Return whether rows of `width` bytes are more alike than rows of the usual width."""
    pixels = _levels(telling, width, form)
    return width > usual and _unlike(pixels, width) < _unlike(pixels, usual) / 2


def _levels(telling: memoryview, widest: int, form: Form) -> NDArray[np.int16]:
    """Return enough grey levels to compare rows of up to `widest` bytes; none if there are less."""
    enough = max(SAMPLE, widest * form.height)
    pixels = np.frombuffer(telling[:enough], np.uint8).astype(np.int16)
    return pixels if len(pixels) >= 2 * widest else pixels[:0]


def _unlike(pixels: NDArray[np.int16], width: int) -> float:
    """Return how much rows of `width` bytes differ; infinity if there are no pixels."""
    return float(np.abs(pixels[width:] - pixels[:-width]).mean()) if len(pixels) else math.inf


def _is_periodic(telling: memoryview, period: int) -> bool:
    """Return whether all bytes repeat themselves after a period; of a few, that is a chance."""
    pixels = np.frombuffer(telling, np.uint8)
    ends = (SAMPLE, len(pixels)) if len(pixels) > 4 * period else ()
    return bool(ends) and all(
        np.array_equal(pixels[period:end], pixels[:end][:-period]) for end in ends
    )


def _remedy(reading: Reading, sides: tuple[int, int], items: int, form: Form) -> str:
    name, dtype, channels = reading
    is_usual = sides == (form.height, form.width)
    shape = f"shape={sides[0]},{sides[1]}{channels}" if channels or not is_usual else ""
    declared = "&".join(part for part in (f"dtype={dtype}" if dtype else "", shape) if part)
    other = f", or with ?{f'dtype={dtype}&' if dtype else ''}shape=HEIGHT,WIDTH{channels}"
    # Several pictures of 28x28 have as many numbers as one of, say, 560x420.
    return f"{name}; declare it with ?{declared}{other if is_usual and items > form.row else ''}"


def _one_large_picture(telling: memoryview, size: int, form: Form) -> str | None:
    """Recognise one picture by its rows, which are more alike than those of the expected width."""
    if _is_periodic(telling, form.row):  # equal pictures may be stripes of any width
        return None
    first, last = math.isqrt(size // LONGISH), math.isqrt(size * LONGISH)
    widths = [
        w for w in range(max(first, form.width + 1), last + 1) if size % w == 0 and w % form.row
    ]
    pixels = _levels(telling, last, form)
    width = min(widths, key=lambda each: _unlike(pixels, each), default=form.width)
    if not _is_one_picture(telling, width, form.width, form):
        return None
    height = size // width
    return f"one picture of {height}x{width}; declare it with ?shape={height},{width}"


# --- Numbers --------------------------------------------------------------------------------------


def _number(rows: Bytes, form: Form) -> Reading | None:
    """Recognise whole numbers 0-255, and floats, of as many bytes as a row has."""
    size = rows.shape[1]
    for order, name, low in (("<", "", 0), (">", "big-endian ", -1)):
        if _are_small_integers(rows, low, form.width):
            dtype = f">i{size}" if name else f"int{8 * size}"
            return f"{name}int{8 * size}", dtype, ""
        if _are_floats(rows, np.dtype(f"{order}f{size}")):
            dtype = f">f{size}" if name else f"float{8 * size}"
            return f"{name}float{8 * size}", dtype, ""
    return None


def _are_small_integers(rows: Bytes, low: int, width: int) -> bool:
    """Return whether only the lowest byte of each number is ever used."""
    size = rows.shape[1]
    used = np.flatnonzero(rows[:, low])
    if np.delete(rows, low, axis=1).any() or len(used) < FEW:
        return False
    return len(np.unique(used * size % width)) >= LANES


def _are_floats(rows: Bytes, dtype: np.dtype[np.generic]) -> bool:
    """Return whether nearly all are plausible, and their exponents are unlike other bytes.

    The bytes half a number before the exponents are compared. In grey bytes, and in numbers of half
    the size, they are of the same kind.
    """
    used = np.ascontiguousarray(rows[rows.any(axis=1)])
    if len(used) < FEW:
        return False
    with np.errstate(invalid="ignore", over="ignore"):
        values = np.abs(used.view(dtype).astype(np.float64))
        plausible = (values >= SMALLEST) & (values <= LARGEST)
    half = rows.shape[1] // 2
    exponents, others = (0, half) if dtype.str[0] == ">" else (-1, half - 1)
    different = _distance(used[:, exponents], used[:, others]) > UNLIKE
    return bool(plausible.mean() >= MOSTLY) and different


def _distance(first: Bytes, second: Bytes) -> float:
    """Return how differently bytes are distributed, from 0 to 1; only their upper halves count."""
    counts = [np.bincount(each >> 4, minlength=16) / len(each) for each in (first, second)]
    return float(np.abs(counts[0] - counts[1]).sum() / 2)


# --- Colours --------------------------------------------------------------------------------------


def _rgba(rows: Bytes, _: Form) -> Reading | None:
    """Recognise pixels that are all opaque, or drawn with one colour on a transparent canvas."""
    colours, alpha = rows[:, :3], rows[:, 3]
    if (alpha == 255).all() and (colours != 255).any():
        return "RGBA pixels", "", ",4"
    drawn = alpha > 0
    differ = np.count_nonzero(alpha != colours[:, 2]) >= FEW
    if not differ or colours[~drawn].any() or alpha.max() < 255:
        return None
    one_colour = (colours[drawn] == colours[drawn][:1]).all()
    return ("RGBA pixels of a transparent canvas", "", ",4") if one_colour else None


def _rgb(rows: Bytes, _: Form) -> Reading | None:
    """Recognise pixels whose channels go together more closely than neighbouring bytes do."""
    changes = np.count_nonzero((rows[1:] != rows[:-1]).any(axis=1))
    if changes < FEW:
        return None
    lanes = rows.astype(np.float64).T
    if (lanes.std(axis=1) == 0).any():  # as red on white: in grey bytes, a lane has all columns
        return "RGB pixels", "", ",3"
    within = min(_likeness(lanes[0], lanes[1]), _likeness(lanes[1], lanes[2]))
    across = _likeness(lanes[2, :-1], lanes[0, 1:])
    return ("RGB pixels", "", ",3") if 1 - within < (1 - across) / 4 else None


def _likeness(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the size of the correlation of two rows of numbers that are not constant."""
    spread = first.std() * second.std()
    covariance = ((first - first.mean()) * (second - second.mean())).mean()
    return abs(float(covariance / spread)) if spread else 1.0


CHECKS: tuple[tuple[int, Callable[[Bytes, Form], Reading | None]], ...] = (
    (8, _number),
    (4, _rgba),
    (4, _number),
    (2, _number),
    (3, _rgb),
)
"""Kinds of items with their numbers of bytes. A transparent canvas with black ink, whose bytes are
also those of big-endian int32, comes first: more apps have one."""
