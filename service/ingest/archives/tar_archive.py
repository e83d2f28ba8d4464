"""Reads tar files, packed with gzip or not, in one pass forwards.

A tar file has no directory, so it is read through once to learn what it holds, and counted
meanwhile: reading stops as soon as it is too much.
"""

import gzip
import os
import tarfile
import zlib
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from service.ingest.archives import archive_members
from service.ingest.archives.archive_members import Listing, Member, cut_off, damaged, shown
from service.ingest.file_kind import HEAD_BYTES, FileKind, is_gzip
from service.ingest.limits import Limits
from service.ingest.packing import refuse_bomb
from service.ingest.refusal import Unusable

MAX_HEADER_BYTES = 128 * 1024
"""The headers of a member, with its long name and attributes of a system, may have this many."""
MAX_COMMON_FIELDS = 1000
"""The most fields that headers set for all members that follow."""
PIECE_BYTES = 256 * 1024
END = bytes(tarfile.BLOCKSIZE)


class TarArchive:
    """A tar file, as the first pass has found it."""

    kind = FileKind.TAR

    def __init__(self, path: Path, limits: Limits) -> None:
        """Read through the archive.

        Raises:
            Unusable: it is damaged, or its files are too many or too large.

        """
        self._path, self._limits = path, limits
        self.listing = Listing()
        members = [
            Member(number, path, entry.size)
            for number, (path, entry, _) in enumerate(self._files(self.listing))
        ]
        self.listing.members = archive_members.latest(members, self.listing)

    def read(self, wanted: Set[int]) -> Iterator[tuple[int, bytes]]:
        """Yield some files, see `Archive`."""
        return self._beginnings(wanted, None)

    def heads(self, wanted: Set[int]) -> Iterator[tuple[int, bytes]]:
        """Yield the beginnings of some files, see `Archive`."""
        return self._beginnings(wanted, HEAD_BYTES)

    def _beginnings(self, wanted: Set[int], most: int | None) -> Iterator[tuple[int, bytes]]:
        """Yield the first bytes of some files, or all if `most` is None."""
        left = set(wanted)
        for number, (path, entry, forward) in enumerate(self._files(Listing())):
            if number in left:
                left.remove(number)
                forward.seek(entry.offset_data)
                size = entry.size if most is None else min(most, entry.size)
                data = forward.take(size)
                if len(data) < size:
                    raise cut_off(shown(path))
                yield number, data
            if not left:
                return

    def pieces(self, number: int) -> Iterator[bytes]:
        """Yield a file, some bytes at a time, see `Archive`."""
        for at, (path, entry, forward) in enumerate(self._files(Listing())):
            if at == number:
                forward.seek(entry.offset_data)
                left = entry.size
                while left and (piece := forward.take(min(left, PIECE_BYTES))):
                    yield piece
                    left -= len(piece)
                if left:
                    raise cut_off(shown(path))
                return

    def _files(self, listing: Listing) -> Iterator[tuple[str, tarfile.TarInfo, "_Forward"]]:
        """Yield the files as path, entry, and the archive at the entry's bytes."""
        with _forward(self._path, self._limits.unpacked_bytes) as forward, _damage_told():
            archive = tarfile.TarFile(fileobj=cast("IO[bytes]", forward), errorlevel=2)
            count = 0
            while entry := archive.next():
                cast("Any", archive).members.clear()  # it would keep them all
                forward.in_header = 0
                count += 1
                self._limits.pulse()
                if count > self._limits.members:
                    raise archive_members.too_many(self._limits.members)
                if len(archive.pax_headers) > MAX_COMMON_FIELDS:
                    raise damaged("its headers set too many fields", shown(entry.name))
                if path := _path_of_file(entry, listing):
                    yield path, entry, forward
            if forward.last != END:
                raise cut_off()


def _path_of_file(entry: tarfile.TarInfo, listing: Listing) -> str | None:
    """Return a file's path; None for what is no file, which is counted in `listing`."""
    raw = entry.name.encode("utf-8", "surrogateescape")
    if len(raw) > archive_members.MAX_NAME_BYTES:
        raise damaged(f"a name has {len(raw):,} bytes", shown(entry.name))
    path = archive_members.path_of(archive_members.decoded_name(raw))
    if entry.isreg() and not entry.issparse():
        return path
    if entry.isdir():
        listing.folders.add(path)
        return None
    is_link = entry.issym() or entry.islnk()
    archive_members.refuse_link(path, "a link" if is_link else "a device or a file with holes")
    listing.links += 1
    return None


@contextmanager
def _damage_told() -> Iterator[None]:
    """Turn the errors of damaged archives into ones for a person."""
    try:
        yield
    except (Unusable, GeneratorExit):
        raise
    except EOFError as exc:
        raise cut_off() from exc
    except (tarfile.TarError, zlib.error, OSError) as exc:
        raise damaged(str(exc) or "it can't be read") from exc
    except (ValueError, IndexError, RecursionError, OverflowError) as exc:  # of a damaged header
        raise damaged("a header can't be read") from exc


@contextmanager
def _forward(path: Path, limit: int) -> Iterator["_Forward"]:
    with path.open("rb") as file:
        packed = is_gzip(file.read(HEAD_BYTES))
        file.seek(0)
        unpacked = cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if packed else file
        yield _Forward(file, unpacked, limit)


class _Forward:
    """A file that `tarfile` may read forwards only, and in small pieces."""

    def __init__(self, packed: IO[bytes], file: IO[bytes], limit: int) -> None:
        self._packed, self._file, self._limit = packed, file, limit
        self._is_packed = packed is not file
        self._at = 0
        self.in_header = 0
        """Bytes of headers since the last member."""
        self.last = b""
        """What was read of a header at last: zeros at the end of an archive."""

    def tell(self) -> int:
        return self._at

    def seek(self, place: int) -> None:
        if place < self._at:
            raise damaged("a header gives a negative size")
        if place - self._at > self._limit:
            raise archive_members.too_large(self._limit)
        if not self._is_packed:
            self._at = self._file.seek(min(place, self._length()))
        while self._at < place and self.take(min(place - self._at, PIECE_BYTES)):
            pass

    def read(self, size: int) -> bytes:
        """Return the next bytes of a header."""
        self.in_header += size
        if not 0 <= self.in_header <= MAX_HEADER_BYTES:
            raise damaged("a header is too long")
        self.last = self.take(size)
        return self.last

    def take(self, size: int) -> bytes:
        """Return the next bytes of a file.

        Raises:
            Unusable: all bytes so far are more than may be unpacked.

        """
        data = self._file.read(size)
        self._at += len(data)
        if self._at > self._limit:
            raise archive_members.too_large(self._limit)
        if self._is_packed:
            refuse_bomb(self._packed.tell(), self._at)
        return data

    def _length(self) -> int:
        return os.fstat(self._file.fileno()).st_size
