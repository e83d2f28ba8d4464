"""Reads zip files by their directory, without trusting it.

The directory is read entry by entry and judged before anything is unpacked. `zipfile` would take
its word for its length, keep an object of half a kilobyte for each entry, and take several times
as long to open a member as a small picture takes to be decoded.
"""

import os
import stat
import struct
import zlib
from bisect import bisect_left
from collections.abc import Iterator, Set
from pathlib import Path
from typing import IO, NamedTuple

from service.ingest.archives import archive_members
from service.ingest.archives.archive_members import Listing, Member, cut_off, damaged, shown
from service.ingest.file_kind import HEAD_BYTES, FileKind
from service.ingest.limits import Limits
from service.ingest.packing import DEFLATED, STORED, refuse_bomb, refuse_unreadable
from service.ingest.refusal import unusable

END, END_SIGNATURE = struct.Struct("<4s4H2LH"), b"PK\5\6"
LOCATOR, LOCATOR_SIGNATURE = struct.Struct("<4sLQL"), b"PK\6\7"
LARGE_END, LARGE_END_SIGNATURE = struct.Struct("<4sQ2H2L4Q"), b"PK\6\6"
ENTRY, ENTRY_SIGNATURE = struct.Struct("<4s6H3L5H2L"), b"PK\1\2"
HEADER, HEADER_SIGNATURE = struct.Struct("<4s5H3L2H"), b"PK\3\4"
LONGEST_COMMENT = 0xFFFF
ELSEWHERE = 0xFFFFFFFF
"""A size or place that stands in the extra field of zip64."""
LARGE_FIELD, UNICODE_FIELD = 0x0001, 0x7075
MAX_DIRECTORY_BYTES = 48 * 1024**2
"""The entries of 200 000 files have about 30 MB."""
MAX_START = 2**62
SLACK = 64
"""Bytes that a header's extra field may have for the header and the data to be read at once."""
PIECE_BYTES = 256 * 1024


class DirectoryEntry(NamedTuple):
    """The fields of an entry of the directory, in their order, as `ENTRY` unpacks them."""

    signature: bytes
    made_by: int
    version: int
    flags: int
    method: int
    time: int
    date: int
    crc: int
    packed: int
    size: int
    name_bytes: int
    extra_bytes: int
    comment_bytes: int
    disk: int
    internal_attributes: int
    attributes: int
    """What the system that packed the file keeps of it; the upper 16 bits are its mode."""
    start: int


class Entry(NamedTuple):
    """Where a file lies in the archive, and how it is packed."""

    start: int
    """The place of its header."""
    packed: int
    size: int
    crc: int
    name_bytes: int
    method: int


class Entries:
    """The entries of a directory, in 31 bytes each: as objects, many would take much memory."""

    _FORM = struct.Struct("<3QLHB")

    def __init__(self) -> None:
        self._data = bytearray()

    def append(self, entry: Entry) -> None:
        """Add an entry, none of whose numbers is less than nothing or beyond 64 bits."""
        self._data += self._FORM.pack(*entry)

    def __len__(self) -> int:
        return len(self._data) // self._FORM.size

    def __getitem__(self, at: int) -> Entry:
        if not 0 <= at < len(self):
            raise IndexError(at)
        return Entry(*self._FORM.unpack_from(self._data, at * self._FORM.size))

    def __iter__(self) -> Iterator[Entry]:
        return (Entry(*values) for values in self._FORM.iter_unpack(self._data))


class ZipArchive:
    """A zip file, by its directory."""

    kind = FileKind.ZIP

    def __init__(self, path: Path, limits: Limits) -> None:
        """Read the directory.

        Raises:
            Unusable: it is damaged, or its files are encrypted, too many or too large.

        """
        self._path = path
        self.listing = Listing()
        self._entries = Entries()
        with path.open("rb") as file:
            length = file.seek(0, os.SEEK_END)
            start, size, shift, count = _directory(file, length, limits.members)
            if size > MAX_DIRECTORY_BYTES:
                raise unusable("too_many", f"Its directory alone has {size:,} bytes.")
            file.seek(start)
            self._read_directory(file, size, shift, count)
        self._refuse_large(limits.unpacked_bytes)
        self._refuse_overlap(start)
        self.listing.members = archive_members.latest(self.listing.members, self.listing)

    def read(self, wanted: Set[int]) -> Iterator[tuple[int, bytes]]:
        """Yield some files, see `Archive`."""
        with self._path.open("rb", buffering=0) as file:
            for member in self.listing.members:
                if member.number in wanted:
                    entry = self._entries[member.number]
                    yield member.number, _unpacked(file.fileno(), entry, member)

    def heads(self, wanted: Set[int]) -> Iterator[tuple[int, bytes]]:
        """Yield the beginnings of some files, see `Archive`."""
        for member in self.listing.members:
            if member.number in wanted:
                yield member.number, next(self.pieces(member.number), b"")[:HEAD_BYTES]

    def pieces(self, number: int) -> Iterator[bytes]:
        """Yield a file, some bytes at a time, see `Archive`."""
        entry = self._entries[number]
        at = bisect_left(self.listing.members, number, key=lambda member: member.number)
        member = self.listing.members[at]
        with self._path.open("rb") as file:
            file.seek(entry.start)
            file.seek(_header_bytes(file.read(HEADER.size), member) + entry.start)
            size = crc = 0
            for piece in _pieces(file, entry):
                size, crc = size + len(piece), zlib.crc32(piece, crc)
                if size > entry.size:
                    break
                yield piece
        if (size, crc) != (entry.size, entry.crc):
            raise _wrong(member)

    # --- The directory ---

    def _read_directory(self, file: IO[bytes], size: int, shift: int, count: int) -> None:
        for number in range(count):
            size -= ENTRY.size
            fixed = file.read(ENTRY.size)
            if size < 0 or len(fixed) < ENTRY.size or not fixed.startswith(ENTRY_SIGNATURE):
                raise damaged(f"its directory of {count:,} entries ends after {number:,}")
            entry = DirectoryEntry._make(ENTRY.unpack(fixed))
            name, extra = entry.name_bytes, entry.extra_bytes
            length = name + extra + entry.comment_bytes
            size -= length
            rest = file.read(length) if size >= 0 else b""
            if len(rest) < length:
                raise damaged(f"its directory of {count:,} entries ends after {number:,}")
            if name > archive_members.MAX_NAME_BYTES:
                raise unusable(
                    "too_long",
                    f"Its name has {name:,} bytes.",
                    shown(_name(rest[:200])),
                    "Shorten it.",
                )
            self._add(entry, rest[:name], rest[name : name + extra], shift)

    def _add(self, entry: DirectoryEntry, raw: bytes, extra: bytes, shift: int) -> None:
        name = _name(raw, extra)
        path = archive_members.path_of(name)
        mode = entry.attributes >> 16
        if name.endswith(("/", "\\")):
            self.listing.folders.add(path.rstrip("/"))
            return
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFIFO):  # `zip -` packs a pipe
            archive_members.refuse_link(path, "a link" if stat.S_ISLNK(mode) else "a device")
            self.listing.links += 1
            return
        refuse_unreadable(entry.flags, entry.method, shown(name))
        packed, size, start = _sizes(entry, extra, name)
        if packed > 2 * size + SLACK:  # no program writes that, and it would be read at once
            raise damaged(f"{packed:,} bytes are to become {size:,}", shown(name))
        self.listing.members.append(Member(len(self._entries), path, size))
        if start > MAX_START:
            raise cut_off(shown(name))
        self._entries.append(Entry(start + shift, packed, size, entry.crc, len(raw), entry.method))

    def _refuse_large(self, limit: int) -> None:
        packed = sum(entry.packed for entry in self._entries)
        unpacked = sum(entry.size for entry in self._entries)
        if unpacked > limit:
            raise archive_members.too_large(limit)
        refuse_bomb(packed, unpacked)

    def _refuse_overlap(self, end: int) -> None:
        """Refuse files that lie over one another, or over the directory."""
        order = sorted((entry.start, at) for at, entry in enumerate(self._entries))
        following = [*(start for start, _ in order[1:]), end]
        for (_, at), limit in zip(order, following, strict=False):
            entry = self._entries[at]
            if entry.start + HEADER.size + entry.name_bytes + entry.packed > limit:
                path = self.listing.members[at].path
                raise damaged("this file lies over what follows it", shown(path))


def _directory(file: IO[bytes], length: int, most: int) -> tuple[int, int, int, int]:
    """Return start and size of the directory, what to add to its places, and its entries.

    Something may stand before the first file, as in an archive that unpacks itself.
    """
    reach = min(length, LONGEST_COMMENT + END.size)
    file.seek(length - reach)
    tail = file.read(reach)
    at = tail.rfind(END_SIGNATURE, 0, max(0, reach - END.size + len(END_SIGNATURE)))
    if at < 0:
        raise cut_off()
    _, disk, first_disk, _, count, size, start, _ = END.unpack_from(tail, at)
    at += length - reach
    if large := _large_end(file, at):
        at, disk, first_disk, count, size, start = large
    if disk or first_disk:
        raise unusable("not_read", "It is one part of several.", hint="Join the parts to one file.")
    if count > most:
        raise archive_members.too_many(most)
    shift = at - size - start
    if shift < 0:
        raise cut_off() if start > at else damaged("its directory is larger than the file")
    return at - size, size, shift, count


def _large_end(file: IO[bytes], at: int) -> tuple[int, int, int, int, int, int] | None:
    """Return place, disks, entries, size and start of the directory by the end of zip64, if any."""
    if at < LOCATOR.size:
        return None
    file.seek(at - LOCATOR.size)
    signature, _, place, _ = LOCATOR.unpack(file.read(LOCATOR.size))
    if signature != LOCATOR_SIGNATURE:
        return None
    for start in (at - LOCATOR.size - LARGE_END.size, place):  # the first also behind a prefix
        if 0 <= start <= at - LOCATOR.size - LARGE_END.size:
            file.seek(start)
            values = LARGE_END.unpack(file.read(LARGE_END.size))
            if values[0] == LARGE_END_SIGNATURE:
                return (start, *values[4:6], *values[7:10])
    raise damaged("the end of its directory is missing")


def _name(raw: bytes, extra: bytes = b"") -> str:
    if not raw.isascii() and (field := _field(extra, UNICODE_FIELD)):
        version, crc = struct.unpack_from("<BL", field.ljust(5, b"\0"))
        if version == 1 and crc == zlib.crc32(raw):
            return archive_members.decoded_name(field[5:])
    return archive_members.decoded_name(raw)


def _field(extra: bytes, wanted: int) -> bytes:
    """Return the content of one of the fields of an entry, empty if it has none of this kind."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        if kind == wanted:
            return extra[4 : 4 + size]
        extra = extra[4 + size :]
    return b""


def _sizes(entry: DirectoryEntry, extra: bytes, name: str) -> tuple[int, int, int]:
    """Return the packed size, the size, and the place of the header, of an entry."""
    packed, size, start = entry.packed, entry.size, entry.start
    if ELSEWHERE not in (packed, size, start):
        return packed, size, start
    field = _field(extra, LARGE_FIELD)
    large = list(struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8]))
    if len(large) < (packed, size, start).count(ELSEWHERE):
        raise damaged("a size is missing in its directory", shown(name))
    size = large.pop(0) if size == ELSEWHERE else size
    packed = large.pop(0) if packed == ELSEWHERE else packed
    start = large.pop(0) if start == ELSEWHERE else start
    return packed, size, start


# --- Files ----------------------------------------------------------------------------------------


def _unpacked(file: int, entry: Entry, member: Member) -> bytes:
    wanted = HEADER.size + entry.name_bytes + entry.packed
    raw = os.pread(file, wanted + SLACK, entry.start)
    at = _header_bytes(raw, member)
    data = raw[at : at + entry.packed]
    if len(data) < entry.packed:
        data = os.pread(file, entry.packed, entry.start + at)
    if entry.method == DEFLATED:
        unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = unpacking.decompress(data, entry.size + 1)
        except zlib.error as exc:
            raise _wrong(member) from exc
    if len(data) != entry.size or zlib.crc32(data) != entry.crc:
        raise _wrong(member)
    return data


def _header_bytes(raw: bytes, member: Member) -> int:
    """Return the length of the header in front of a file's bytes."""
    if len(raw) < HEADER.size or not raw.startswith(HEADER_SIGNATURE):
        raise damaged("a file is not where its directory says", shown(member.path))
    *_, name, extra = HEADER.unpack_from(raw)
    return HEADER.size + int(name) + int(extra)


def _pieces(file: IO[bytes], entry: Entry) -> Iterator[bytes]:
    """Yield a file's bytes; those that are missing or damaged are left out."""
    left = entry.packed
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
    while left and (piece := file.read(min(left, PIECE_BYTES))):
        left -= len(piece)
        if entry.method == STORED:
            yield piece
            continue
        try:
            while not unpacking.eof:
                unpacked = unpacking.decompress(piece, PIECE_BYTES)
                yield unpacked
                piece = unpacking.unconsumed_tail
                if not piece and len(unpacked) < PIECE_BYTES:
                    break
        except zlib.error:
            return


def _wrong(member: Member) -> Exception:
    return damaged("its bytes are not the bytes that the directory tells", shown(member.path))
