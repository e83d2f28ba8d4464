"""Reads the text of a table, whole lines at a time, whatever it is encoded and packed with."""

import codecs
import gzip
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from service.ingest.arrays.array_files import told_where
from service.ingest.file_kind import HEAD_BYTES, is_gzip
from service.ingest.limits import Limits
from service.ingest.refusal import unusable

READ_AT_ONCE = 256 * 1024
"""The number of bytes of which everything that is made fits into the cache of a processor."""
LONGEST_LINE = 4 * 1024**2
"""The most bytes of a line; a row of 65,536 pixels has fewer."""
UTF8_MARK = b"\xef\xbb\xbf"
SEPARATOR_LINE = re.compile(rb"\Asep=.(?=\r|\n)", re.IGNORECASE)
"""A first line that tells Excel the separator; it is read as a blank one."""
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
UTF8, UTF16, WINDOWS = "utf-8", "utf-16", "cp1252"


@dataclass(frozen=True)
class Lines:
    """Some whole lines."""

    number: int
    """The number of the first line, counted from 1."""
    data: bytes
    """UTF-8; each line ends with a line feed."""

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines that are not blank, without their ends, with their numbers."""
        for number, line in enumerate(self.data[:-1].split(b"\n"), self.number):
            if line.strip():
                yield number, line

    @property
    def after(self) -> int:
        """The number of the line after these."""
        return self.number + self.data.count(b"\n")


def encoding_of(path: Path, place: str) -> str:
    """Return the encoding of a text: by its mark, or UTF-8 if its beginning is that.

    `place` names the file in errors.
    """
    with told_where(place), _unpacked(path) as file:
        head = file.read(READ_AT_ONCE)
    if head.startswith(UTF16_MARKS):
        return UTF16
    try:
        codecs.getincrementaldecoder(UTF8)().decode(head)
    except UnicodeDecodeError:
        return WINDOWS
    return UTF8


def lines_of(path: Path, encoding: str, limits: Limits, place: str) -> Iterator[Lines]:
    """Yield all lines of a text.

    Args:
        path: of the file, which may be packed with gzip.
        encoding: of the text.
        limits: of what is unpacked.
        place: names the file in errors.

    Raises:
        Unusable: the file is damaged, is too large, or has lines that no table has.

    """
    number, rest, total = 1, b"", 0
    for data in _pieces(path, encoding, place):
        total += len(data)
        limits.pulse()
        if total > limits.unpacked_bytes:
            detail = f"Its text has more than {limits.unpacked_bytes:,} bytes."
            raise unusable("too_large", detail, place, "Send fewer rows.")
        whole, found, after = data.rpartition(b"\n")
        if found:
            lines = Lines(number, rest + whole + b"\n")
            yield lines
            number, rest = lines.after, after
        else:
            rest += after
        if len(rest) > LONGEST_LINE:
            raise unusable("no_table", "Its lines are too long for a table.", place)
    if rest:
        yield Lines(number, rest + b"\n")


def _pieces(path: Path, encoding: str, place: str) -> Iterator[bytes]:
    """Yield the text as UTF-8, with line feeds only."""
    with told_where(place), _unpacked(path) as file:
        text = file
        if encoding != UTF8:
            text = cast("IO[bytes]", _Transcoded(file, encoding))
        is_first = True
        while data := text.read(READ_AT_ONCE):
            if data.endswith(b"\r"):
                data += text.read(1)
            if is_first:
                data = SEPARATOR_LINE.sub(b"", data.removeprefix(UTF8_MARK))
            is_first = False
            if b"\r" in data:
                data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            yield data


class _Transcoded:
    """A text file in some encoding that is read as UTF-8."""

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        errors = "strict" if encoding == UTF16 else "replace"
        self._text = io.TextIOWrapper(file, encoding, errors, newline="")

    def read(self, size: int) -> bytes:
        return self._text.read(size).encode("utf-8", "replace")


def _unpacked(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        packed = is_gzip(file.read(HEAD_BYTES))
    return cast("IO[bytes]", gzip.open(path, "rb")) if packed else path.open("rb")
