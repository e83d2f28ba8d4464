"""Measures the directory of a zip file before anything reads it, for it is read as a whole.

`zipfile` reads the few arrays of an npz file as soon as the size of its directory is known to be
small. Archives of many pictures have a reader of their own; `archives.zip_archive` says why.
"""

import struct
from pathlib import Path

END, END_SIZE = b"PK\5\6", 22
LONGEST_COMMENT = 65_535
LOCATOR, LOCATOR_SIZE = b"PK\6\7", 20
"""They locate the end of a zip64 file, which lies before the one that all zip files have."""
ZIP64_END, ZIP64_END_SIZE = b"PK\6\6", 56


def directory_bytes(path: Path) -> int:
    """Return how many bytes the directory of a zip file has, as its end says; 0 if it has no end.

    What it says is what `zipfile` reads, even if it lies.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        start = max(0, size - END_SIZE - LONGEST_COMMENT - LOCATOR_SIZE - ZIP64_END_SIZE)
        file.seek(start)
        tail = file.read()
    at = len(tail) - END_SIZE
    if at < 0 or tail[at : at + 4] != END or tail[-2:] != b"\0\0":  # there is a comment
        at = tail.rfind(END)
    if at < 0 or len(tail) < at + END_SIZE:
        return 0
    (plain,) = struct.unpack_from("<I", tail, at + 12)
    return max(plain, _zip64_bytes(tail, at)) if _is_zip64(tail, at) else int(plain)


def _is_zip64(tail: bytes, end: int) -> bool:
    at = end - LOCATOR_SIZE
    return at >= 0 and tail[at : at + 4] == LOCATOR


def _zip64_bytes(tail: bytes, end: int) -> int:
    at = end - LOCATOR_SIZE - ZIP64_END_SIZE
    if at < 0 or tail[at : at + 4] != ZIP64_END:
        return 0
    return int(struct.unpack_from("<Q", tail, at + 40)[0])
