"""Turns arrays of numbers into grey pictures: any layout and type whose meaning is plain."""

import io
import math
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from service.api.predict_schema import MAX_INPUTS
from service.domain.errors import BadImage
from service.inference.grey_levels import Grey, colours_of, grey_of
from service.inference.image_decoding import MNIST_SIDE
from service.inference.input_batch import Images

MAX_HEADER_BYTES = 500
"""Longest header of an .npy file. NumPy writes 128 bytes, and parses headers as Python, which a
hostile header makes expensive."""
MAX_UNPACKED_BYTES = 32 * 1024**2
"""The most bytes that an .npz file may unpack to."""
ENTRY_START = b"PK\1\2"
"""The first bytes of each entry in the directory of a ZIP archive."""
MAX_ENTRIES = 20
"""The most entries of an .npz file, which has one; Python would make an object for each."""
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What NumPy writes. Python unpacks other compressions without a limit, whatever is asked for."""
Shape = tuple[int, ...]
"""The shape of a picture as a network expects it: (h, w), or (h, w, 3) if it sees colours."""
MNIST_SHAPE: Shape = (MNIST_SIDE, MNIST_SIDE)
LARGEST = 4_000_000
"""The most pixels of a picture that comes as numbers."""
CHANNELS = (3, 4)
SLENDER = 32
"""The most that a picture is longer than wide: a thin 1, cut out along its edges, reaches 25."""


@dataclass(frozen=True)
class Pictures:
    """The pictures in a body or in a part of one."""

    images: Images
    ambiguous: Collection[int] = ()
    """The indices of pictures whose numbers are all 0 or 1: they fit the range 0-1 and 0-255."""
    places: Sequence[str] = ()
    """Where each picture stands in the body, if it can be said."""


@dataclass(frozen=True)
class Layout:
    """What the axes of an array are."""

    shape: tuple[int, ...]
    """(n, h, w) or (n, h, w, channels)."""
    channels_first: bool = False
    """The array itself is (n, channels, h, w)."""


def accepted(expected: Shape = MNIST_SHAPE) -> str:
    """Return which arrays are read, as a sentence without its full stop."""
    sizes, row = ", ".join(map(str, expected)), math.prod(expected)
    return (
        f"Send uint8 0-255 or floats 0-1, of shape ({sizes}), ({row},), (n, {sizes}) or (n, {row});"
        " pictures of other sizes as (h, w) or (n, h, w), in colour as (h, w, 3) or (n, h, w, 3)"
    )


def from_array(
    array: NDArray[Any], name: str = "an array", expected: Shape = MNIST_SHAPE
) -> Pictures:
    """Return the pictures in an array of numbers.

    Args:
        array: the numbers, of any shape and type.
        name: what the array is called in an error.
        expected: the shape of a picture of the network's size.

    Raises:
        BadImage: unusable_array.

    """
    layout = _layout(array.shape, expected)
    if layout is None or not array.size:
        raise _unusable(array, name, f"It is not one of pictures. {accepted(expected)}")
    _check_size(*layout.shape[:3])
    pixels, ambiguous = as_bytes(array, name, expected)
    doubts = range(layout.shape[0] if ambiguous else 0)
    if layout.channels_first:
        pixels = np.moveaxis(pixels, 1, -1)
    pixels = np.ascontiguousarray(pixels.reshape(layout.shape))
    if layout.shape[1:] == expected:
        return Pictures(pixels, doubts)
    if len(layout.shape) == 4:
        see = colours_of if len(expected) == 3 else grey_of
        return Pictures([see(Pillow.fromarray(each)) for each in pixels], doubts)
    return Pictures(list(pixels), doubts)


# --- Layout ---------------------------------------------------------------------------------------


def check_count(count: int) -> None:
    if not 1 <= count <= MAX_INPUTS:
        raise BadImage(
            "too_many_images", f"A request may hold 1 to {MAX_INPUTS:,} images, not {count:,}."
        )


def _check_size(count: int, height: int, width: int) -> None:
    check_count(count)
    if height * width > LARGEST:
        raise BadImage("too_many_pixels", f"It has more than {LARGEST:,} pixels.")


def _layout(shape: tuple[int, ...], expected: Shape) -> Layout | None:
    """Return what the axes are, or None if that is not plain.

    Rows of, say, 3072 numbers are pictures whose shape nobody knows, and no lines of a picture.
    """
    layout = _exact(shape, expected) or _axes(shape, expected)
    if layout is None or layout.shape[1:] == expected:
        return layout
    return None if max(layout.shape[1:3]) > SLENDER * min(layout.shape[1:3]) else layout


def _exact(shape: tuple[int, ...], expected: Shape) -> Layout | None:
    """Return the layout of one or more pictures of the expected size, also as rows of numbers."""
    own = (expected, (math.prod(expected),))
    if shape in own:
        return Layout((1, *expected))
    return Layout((shape[0], *expected)) if shape[1:] in own else None


def _axes(shape: tuple[int, ...], expected: Shape) -> Layout | None:
    if len(shape) == 4 and 0 not in shape and (shape[3] in CHANNELS or shape[1] in CHANNELS):
        if shape[3] in CHANNELS:
            return Layout(shape)
        return Layout((shape[0], shape[2], shape[3], shape[1]), channels_first=True)
    if len(shape) == 3 and shape[1:] != expected[:2] and 1 not in shape[1:]:
        return _of_three(shape, expected)
    return _of_grey(tuple(size for size in shape if size != 1), expected)


def _of_three(shape: tuple[int, ...], expected: Shape) -> Layout | None:
    """Return the layout of (h, w, channels), (n, h, w) or (1, h, w).

    (3, h, w) may be one picture in colour or three grey ones, unless h and w are expected. Of
    pictures of 28x28, (28, 28, n) is rather n pictures along the last axis than 28 pictures.
    """
    if shape[2] in CHANNELS:
        return Layout((1, *shape))
    return None if shape[0] in CHANNELS or shape[:2] == expected[:2] else Layout(shape)


def _of_grey(shape: tuple[int, ...], expected: Shape) -> Layout | None:
    """Return the layout of an array without colours; axes of length 1 have been removed."""
    if exact := _exact(shape, expected):
        return exact
    if len(shape) == 2:
        return Layout((1, *shape))
    return Layout(shape) if len(shape) == 3 else None


# --- Range ----------------------------------------------------------------------------------------


def as_bytes(array: NDArray[Any], name: str, expected: Shape = MNIST_SHAPE) -> tuple[Grey, bool]:
    """Return the numbers as grey levels 0-255, and whether they fit the range 0-1 as well."""
    kind = array.dtype.kind
    if kind == "b":
        return array.astype(np.uint8) * np.uint8(255), False
    if kind not in "iuf":
        raise _unusable(array, name, f"These are no grey levels. {accepted(expected)}")
    low, high = float(array.min()), float(array.max())
    if not 0 <= low <= high <= 255:  # also true if one is NaN
        raise _unusable(array, name, _way_out(low, high))
    if high > 1:
        return (array if kind in "iu" else np.rint(array)).astype(np.uint8, copy=False), False
    return _scaled(array), high == 1 and bool(((array == 0) | (array == 1)).all())


def _scaled(array: NDArray[Any]) -> Grey:
    """Return numbers from 0 to 1 as grey levels 0-255."""
    levels = array * np.float32(255)
    return np.rint(levels).astype(np.uint8)


def _way_out(low: float, high: float) -> str:
    if -10 <= low < 0 and high <= 10:
        return (
            "Grey levels lie in 0-1 or 0-255; if yours were standardised, undo it first: "
            "x * std + mean"
        )
    return "Grey levels must lie in 0-1 or 0-255"


def _unusable(array: NDArray[Any], name: str, advice: str) -> BadImage:
    """Return the error about an array, with its shape, type and range."""
    found = f"shape {array.shape[:8]} and type {array.dtype}"
    if array.size and array.dtype.kind in "biuf":
        finite = bool(np.isfinite(array).all())
        values = f"values from {array.min():g} to {array.max():g}" if finite else "NaN or infinity"
        found += f" with {values}"
    return BadImage("unusable_array", f"The request has {name} of {found}. {advice}.")


# --- Files ----------------------------------------------------------------------------------------


def from_npy(data: bytes, expected: Shape = MNIST_SHAPE) -> Pictures:
    """Return the pictures in an .npy file; see `array_of_npy`."""
    return from_array(array_of_npy(data, accepted(expected)), expected=expected)


def array_of_npy(data: bytes, advice: str) -> NDArray[Any]:
    """Return the numbers in an .npy file; its header is checked before anything is allocated.

    Args:
        data: the file.
        advice: what to send, for the error about an array of something else.

    Raises:
        BadImage: unusable_array.

    """
    file = io.BytesIO(data)
    shape, fortran, dtype = _npy_header(file)
    if dtype.hasobject or dtype.kind not in "biuf":
        raise BadImage(
            "unusable_array", f"The array has the type {str(dtype)[:50]!r}, no numbers. {advice}."
        )
    if len(data) - file.tell() != math.prod(shape) * dtype.itemsize or min(shape, default=1) < 0:
        raise BadImage("unusable_array", "The array's data is not as long as its header says.")
    array = np.frombuffer(data, dtype, offset=file.tell())
    return array.reshape(shape, order="F" if fortran else "C")


def from_npz(data: bytes, expected: Shape = MNIST_SHAPE) -> Pictures:
    """Return the pictures in an .npz file with one array; its directory is checked first."""
    return from_npy(npy_of_npz(data), expected)


def npy_of_npz(data: bytes) -> bytes:
    """Return the one .npy file in an .npz file, whose directory is checked first.

    Raises:
        BadImage: unusable_array.

    """
    if data.count(ENTRY_START) > MAX_ENTRIES:
        raise BadImage("unusable_array", "The archive must hold one array; send one .npy file.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _only_array(archive)
    except BadImage:
        raise
    except Exception as exc:  # garbage may raise anything, such as zlib's own errors
        raise BadImage("unusable_array", "The body is not a complete .npz file.") from exc


def _only_array(archive: zipfile.ZipFile) -> bytes:
    names = archive.namelist()
    if len(names) != 1 or not names[0].endswith(".npy"):
        shown = ", ".join(repr(name[:30]) for name in names[:5]) or "nothing"
        raise BadImage(
            "unusable_array",
            f"The archive must hold one array and holds {shown}; send one .npy file.",
        )
    if archive.infolist()[0].compress_type not in COMPRESSIONS:
        raise BadImage(
            "unusable_array",
            "The array is compressed in an unusual way; save it with numpy.savez_compressed.",
        )
    with archive.open(names[0]) as file:
        unpacked = file.read(MAX_UNPACKED_BYTES + 1)
    if len(unpacked) > MAX_UNPACKED_BYTES:
        raise BadImage(
            "unusable_array",
            f"The array unpacks to more than {MAX_UNPACKED_BYTES:,} bytes; send fewer images.",
        )
    return unpacked


def _npy_header(file: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, Fortran order and type of the array in an .npy file."""
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        read = readers[np.lib.format.read_magic(file)]
        shape, fortran, dtype = read(file, max_header_size=MAX_HEADER_BYTES)
        return tuple(int(size) for size in shape), fortran, dtype  # a header may say True for 1
    except Exception as exc:  # NumPy reads the header as Python, so garbage may raise anything
        raise BadImage("unusable_array", "The body is not an .npy file (version 1 or 2).") from exc
