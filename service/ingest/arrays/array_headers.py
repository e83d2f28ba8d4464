"""Reads the headers of IDX and npy files, which describe an array before any of it is read."""

import math
import struct
import tokenize
import warnings
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from service.ingest.file_kind import IDX_TYPES, NPY, is_idx
from service.ingest.refusal import Unusable, unusable

MAX_NPY_HEADER = 2000
"""Characters; the header of an array of numbers has 128, and NumPy parses it as Python."""
MAX_AXES = 8
NUMBERS, TEXTS = "buif", "US"
"""The kinds of NumPy's types that are read."""
HEADER_ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    SyntaxError,
    tokenize.TokenError,
    RecursionError,
    MemoryError,
    OverflowError,
)
"""What NumPy raises for headers that are damaged or made to do harm."""
WRITE_IT = "Write arrays with numpy.save or numpy.savez."


@dataclass(frozen=True)
class Header:
    """What an array is, and where its elements begin."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool
    start: int
    is_idx: bool = False

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


def header_of(name: str, file: IO[bytes]) -> Header:
    """Read the header of an array.

    Raises:
        Unusable: this is no array, its header is damaged, or its elements are neither numbers nor
            texts.

    """
    magic = file.read(4)
    if magic == NPY[:4]:
        return _npy_header(name, file)
    if is_idx(magic):
        return _idx_header(name, magic, file)
    if is_idx(magic[::-1]):
        raise _swapped(name, file.read(4 * magic[0]), magic[0])
    raise unusable("not_an_array", "This is no array.", name, WRITE_IT)


def swapped_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the lengths that an IDX header means if it has their lowest bytes first."""
    return tuple(int.from_bytes(length.to_bytes(4, "big"), "little") for length in shape)


def byte_order(name: str, shape: tuple[int, ...]) -> Unusable:
    """Return the error for an IDX file whose header was written in the byte order of a PC."""
    return unusable(
        "byte_order",
        "The lengths in its header have their lowest byte first, and IDX has the highest first. "
        f"They most likely mean {shape}.",
        name,
        f"Read the pixels with numpy.fromfile(path, numpy.uint8, offset={4 + 4 * len(shape)})"
        f".reshape({shape}), and save them with numpy.savez.",
    )


def _swapped(name: str, lengths: bytes, axes: int) -> Unusable:
    whole = lengths.ljust(4 * axes, b"\0")
    return byte_order(name, struct.unpack(f"<{axes}I", whole))


def _idx_header(name: str, magic: bytes, file: IO[bytes]) -> Header:
    axes = magic[3]
    lengths = file.read(4 * axes)
    if len(lengths) < 4 * axes:
        raise unusable("cut_off", "The file ends within its header.", name, "Fetch it again.")
    shape = struct.unpack(f">{axes}I", lengths)
    return Header(shape, np.dtype(IDX_TYPES[magic[2]]), False, 4 + 4 * axes, is_idx=True)


def _npy_header(name: str, file: IO[bytes]) -> Header:
    rest = file.read(len(NPY) - 2)
    if rest[:2] != NPY[4:]:
        raise _damaged_header(name)
    read = np.lib.format.read_array_header_1_0
    if rest[2:] in (b"\2\0", b"\3\0"):
        read = np.lib.format.read_array_header_2_0
    counted = _Counted(file)
    try:
        with warnings.catch_warnings():  # of files that Python 2 has written
            warnings.simplefilter("ignore")
            shape, is_fortran, dtype = read(counted, max_header_size=MAX_NPY_HEADER)
    except HEADER_ERRORS as exc:
        raise _damaged_header(name) from exc
    if dtype.hasobject:
        raise unusable(
            "pickle",
            "It holds Python objects, which are never read, for they can run any program.",
            name,
            "Make an array of numbers: numpy.stack(images) if all have one size.",
        )
    if len(shape) > MAX_AXES or any(length < 0 for length in shape):
        raise _damaged_header(name)
    if dtype.kind not in NUMBERS + TEXTS or not dtype.itemsize:
        raise unusable(
            "not_an_array", f"Its elements, {dtype}, are neither numbers nor texts.", name
        )
    return Header(tuple(map(int, shape)), dtype, is_fortran, 8 + counted.count)


def _damaged_header(name: str) -> Unusable:
    return unusable("damaged", "The header of the array is damaged.", name, "Write it again.")


class _Counted:
    """A file that counts what has been read of it, because headers differ in length."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.count = 0

    def read(self, size: int = -1, /) -> bytes:
        # A damaged header may claim any length, and NumPy reads it before it checks it.
        if not 0 <= size <= 4 * MAX_NPY_HEADER:
            raise ValueError("the header is too long")
        data = self._file.read(size)
        self.count += len(data)
        return data
