"""Reads arrays from IDX, npy and npz files, some rows at a time and without ever unpickling.

An array is described by its header before any of its elements are read, and its rows are read in
pieces, so that memory does not grow with the file.
"""

import gzip
import math
import struct
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from service.ingest.arrays.array_headers import Header, byte_order, header_of, swapped_shape
from service.ingest.arrays.zip_directory import directory_bytes
from service.ingest.file_kind import HEAD_BYTES, is_gzip
from service.ingest.limits import Limits
from service.ingest.packing import refuse_bomb, refuse_unreadable
from service.ingest.refusal import Unusable, unusable

Values = NDArray[Any]
Opened = Callable[[], AbstractContextManager[IO[bytes]]]
PIECE_BYTES = 4 * 1024**2
"""About how much is read at a time."""
TRANSPOSED_BYTES = 32 * 1024**2
"""The same of an array in the order of Fortran, each piece of which is gathered from the whole."""
MAX_DIRECTORY_BYTES = 1024**2
"""The directory of a zip file of arrays has fewer bytes, for it lists a few files."""
AGAIN = "Fetch or write it again."
DAMAGE = (
    zlib.error,
    gzip.BadGzipFile,
    zipfile.BadZipFile,
    struct.error,
    UnicodeDecodeError,
    NotImplementedError,
)
"""What damaged files make the libraries raise, besides `EOFError`."""


@dataclass(frozen=True)
class StoredArray:
    """An array in a file, as its header describes it."""

    name: str
    """The key within an npz file, else the file's name."""
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool
    open: Opened
    """Opens the file at the first element."""

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def row_size(self) -> int:
        """The number of elements in a row."""
        return math.prod(self.shape[1:])

    @property
    def place(self) -> str:
        of = str(self.dtype) if self.dtype.kind in "US" else self.dtype.name
        return f"{self.name} {of} {self.shape}".lstrip()

    def rows_at_once(self) -> int:
        """Return how many rows make a piece."""
        is_transposed = self.fortran_order and len(self.shape) > 1
        piece = TRANSPOSED_BYTES if is_transposed else PIECE_BYTES
        return max(1, piece // max(1, self.row_size * self.dtype.itemsize))

    def pieces(self, rows: int = 0) -> Iterator[Values]:
        """Yield the rows in order, so many at a time, or as many as `rows_at_once` says.

        Rows without elements are not yielded.

        Raises:
            Unusable: the file is damaged, or is shorter or longer than its header says.

        """
        rows = rows or self.rows_at_once()
        with told_where(self.place), self.open() as file:
            if self.row_size:  # else there is nothing to read
                yield from self._rows(file, rows)
            if file.read(1):
                raise self._longer()

    def _rows(self, file: IO[bytes], rows: int) -> Iterator[Values]:
        if self.fortran_order and len(self.shape) > 1:
            yield from self._transposed(file, rows)
            return
        for elements in self._counts(rows):
            data = self._read(file, elements)
            yield np.frombuffer(data, self.dtype).reshape(-1, *self.shape[1:])

    def _counts(self, rows: int) -> Iterator[int]:
        """Yield the number of elements of each piece."""
        for start in range(0, len(self), rows):
            yield min(rows, len(self) - start) * self.row_size

    def _read(self, file: IO[bytes], elements: int) -> bytes:
        data = file.read(elements * self.dtype.itemsize)
        if len(data) < elements * self.dtype.itemsize:
            raise unusable(
                "cut_off",
                "The file ends before the last number that its header names.",
                self.place,
                AGAIN,
            )
        return data

    def _longer(self) -> Unusable:
        return unusable(
            "length",
            "The file goes on after the last number that its header names.",
            self.place,
            "Write one array into a file, with the lengths that it has.",
        )

    def _transposed(self, file: IO[bytes], rows: int) -> Iterator[Values]:
        """Yield rows each of which is spread over the whole file, by way of a file that can seek.

        A row's element k is the row's number in column k, and the columns lie one after another.
        """
        item, count = self.dtype.itemsize, len(self)
        with tempfile.TemporaryFile() as whole:
            for elements in self._counts(self.rows_at_once()):
                whole.write(self._read(file, elements))
            for start in range(0, count, rows):
                some = min(rows, count - start)
                piece = np.empty((self.row_size, some), self.dtype)
                for column in range(self.row_size):
                    whole.seek((column * count + start) * item)
                    piece[column] = np.frombuffer(whole.read(some * item), self.dtype)
                yield piece.reshape(*self.shape[:0:-1], some).T


@contextmanager
def told_where(place: str) -> Iterator[None]:
    """Turn the errors of damaged files into ones that name the place.

    Raises:
        Unusable: the block has found the file to be damaged.

    """
    try:
        yield
    except EOFError as exc:
        raise unusable("cut_off", "The file ends too early.", place, AGAIN) from exc
    except NotImplementedError as exc:  # of a zip file
        raise unusable(
            "not_read", f"It can't be unpacked: {exc}.", place, "Pack it with Deflate."
        ) from exc
    except DAMAGE as exc:
        raise unusable("damaged", f"The file is damaged: {exc}.", place, AGAIN) from exc


# --- Files ---


def array_in(path: Path, name: str) -> StoredArray:
    """Return the array in a file of its own, which may be packed with gzip.

    Raises:
        Unusable: it is no array, or its header does not fit the file.

    """
    with path.open("rb") as file:
        packed = is_gzip(file.read(HEAD_BYTES))

    def opened() -> AbstractContextManager[IO[bytes]]:
        return cast("IO[bytes]", gzip.open(path, "rb")) if packed else path.open("rb")

    return _read_header(name, opened, None if packed else path.stat().st_size)


def arrays_in(
    path: Path, limits: Limits, prefix: str = "", place: str = ""
) -> tuple[list[StoredArray], Counter[str]]:
    """Return the arrays of a zip file by their headers, in its order, and what else is there.

    Args:
        path: of the file.
        limits: of what it unpacks to.
        prefix: goes before the names of its arrays.
        place: names the file in errors.

    Raises:
        Unusable: the file is damaged, holds no arrays, or unpacks to more than the limits allow.

    """
    if directory_bytes(path) > MAX_DIRECTORY_BYTES:
        raise unusable("too_many", "Its directory lists more files than any set of arrays has.")
    with told_where(place), zipfile.ZipFile(path) as archive:
        members = [it for it in archive.infolist() if not it.filename.endswith("/")]
    _refuse_large(members, limits)
    ignored: Counter[str] = Counter()
    arrays = []
    for member in members:
        try:
            arrays.append(_member(path, member, prefix))
        except Unusable as exc:
            if exc.flaws[0].code != "not_an_array":
                raise
            ignored["no array"] += 1
    return arrays, ignored


def _member(path: Path, member: zipfile.ZipInfo, prefix: str) -> StoredArray:
    name = prefix + member.filename.removesuffix(".npy")
    _refuse_unreadable(name, member)

    @contextmanager
    def plain() -> Iterator[IO[bytes]]:
        with zipfile.ZipFile(path) as archive, archive.open(member) as file:
            yield file

    @contextmanager
    def unpacked() -> Iterator[IO[bytes]]:
        with plain() as file, gzip.open(file) as opened:
            yield cast("IO[bytes]", opened)

    with told_where(name), plain() as file:
        packed = is_gzip(file.read(2))

    return _read_header(name, *((unpacked, None) if packed else (plain, member.file_size)))


def _read_header(name: str, opened: Opened, length: int | None) -> StoredArray:
    """Return the array in an IDX or npy file.

    Args:
        name: of the array.
        opened: opens the file.
        length: of the file in bytes; None if that is not known before it is unpacked.

    """
    with told_where(name), opened() as file:
        header = header_of(name, file)

    @contextmanager
    def at_first_element() -> Iterator[IO[bytes]]:
        with opened() as file:
            file.read(header.start)
            yield file

    array = StoredArray(name, header.shape, header.dtype, header.fortran_order, at_first_element)
    if length is not None:
        _refuse_other_length(array, header, length - header.start)
    return array


def _refuse_other_length(array: StoredArray, header: Header, length: int) -> None:
    """Refuse a file that is shorter or longer than its header says.

    Raises:
        Unusable: in words of their own if its lengths have their lowest byte first.

    """
    item, size = header.dtype.itemsize, header.size
    if size * item == length:
        return
    if header.is_idx and math.prod(swapped := swapped_shape(header.shape)) * item == length:
        raise byte_order(array.name, swapped)
    raise unusable(
        "cut_off" if size * item > length else "length",
        f"Its header says that {size * item:,} bytes follow, and {length:,} do.",
        array.place,
        AGAIN,
    )


def _refuse_unreadable(name: str, member: zipfile.ZipInfo) -> None:
    if member.header_offset < 0:
        raise unusable("damaged", "The file's place is before the archive.", name, AGAIN)
    refuse_unreadable(member.flag_bits, member.compress_type, name)


def _refuse_large(members: list[zipfile.ZipInfo], limits: Limits) -> None:
    unpacked = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if unpacked > limits.unpacked_bytes:
        raise unusable(
            "too_large",
            f"Its arrays have {unpacked:,} bytes once they are unpacked; at most "
            f"{limits.unpacked_bytes:,} are read.",
            hint="Send fewer or smaller images, or pixels as uint8.",
        )
    refuse_bomb(packed, unpacked)
