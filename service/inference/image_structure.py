"""Looks at the parts of an image file before Pillow does, which would take their word for it.

A small file can keep a decoder busy for long, or make it take much memory: with thousands of parts,
with parts that unpack to many megabytes, or with lists that are longer than the picture needs.
"""

import struct
from collections.abc import Iterator

from service.domain.errors import BadImage
from service.inference.image_formats import JPEG, PNG, PNG_START, TIFF, Format

MAX_CHUNKS = 3_000
"""The most chunks a PNG may have; encoders write one for 8 kB or more of pixels."""
MAX_SEGMENTS = 2_000
MAX_SCANS = 64
"""The most scans a JPEG may have. Progressive files have about ten, and each takes as long to
decode as the whole picture."""
MAX_SCANNED = 256_000_000
"""The most pixels of a JPEG times its scans."""
MAX_STRIPS = 20_000
"""The most strips of a TIFF; each is an object in memory."""
MAX_VALUES = 100_000
"""The most bytes that a field of a TIFF may have, such as a colour profile."""
MAX_FIELDS = 200
PNG_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"IDAT", b"eXIf", b"IEND"}
"""The chunks that make up the picture. Some other chunks unpack to many megabytes."""
BASELINE_FRAMES = {0xC0, 0xC1}
FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
"""Markers of the segment that holds a JPEG's size."""
EXIF, ADOBE, SCAN = 0xE1, 0xEE, 0xDA
TIFF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Bytes of a value, by its type."""
COMPRESSION, STRIP_OFFSETS, STRIP_BYTES, TILE_OFFSETS, TILE_BYTES = 259, 273, 279, 324, 325
COMPRESSIONS = {1, 2, 3, 4, 5, 8, 32946, 32773}
"""None, fax, LZW, deflate and PackBits: what scanners and programs write."""


def checked(form: Format, data: bytes) -> bytes:
    """Return a file without its texts, profiles and previews, so far as its format has them.

    Raises:
        BadImage: the structure of the file would keep Pillow busy for long.

    """
    if form is PNG:
        return _essential_chunks(data)
    if form is JPEG:
        return _essential_segments(data)
    if form is TIFF:
        _check_directory(data)
    return data


def is_progressive(data: bytes) -> bool:
    """Return whether a JPEG comes in several scans, whose decoder keeps the whole picture."""
    frame = next((marker for marker, _, _ in _segments(data) if marker in FRAMES), None)
    return frame is not None and frame not in BASELINE_FRAMES


def check_scans(data: bytes, pixels: int) -> None:
    """Refuse a JPEG of so many scans that they would take long."""
    scans = data.count(b"\xff\xda")
    if scans > MAX_SCANS or (scans > 2 and scans * pixels > MAX_SCANNED):
        raise _broken(
            f"The JPEG has {scans:,} scans, too many for its size; save it as a baseline JPEG or "
            "as PNG."
        )


def _broken(message: str) -> BadImage:
    return BadImage("undecodable_image", message)


# --- PNG ------------------------------------------------------------------------------------------


def _essential_chunks(data: bytes) -> bytes:
    kept, at = [PNG_START], len(PNG_START)
    for _ in range(MAX_CHUNKS):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] in PNG_CHUNKS:
            kept.append(data[at:end])
        if end >= len(data):
            return b"".join(kept)
        at = end
    raise _broken(f"The PNG has more than {MAX_CHUNKS:,} chunks.")


# --- JPEG -----------------------------------------------------------------------------------------


def _essential_segments(data: bytes) -> bytes:
    """Return a JPEG with the first Exif segment, and without what else programs add to it."""
    kept, has_exif = [data[:2]], False
    for marker, start, end in _segments(data):
        if marker == SCAN:
            return b"".join([*kept, data[start:]])
        is_exif = marker == EXIF and data[start + 4 : start + 10] == b"Exif\0\0" and not has_exif
        has_exif |= is_exif
        if is_exif or marker == ADOBE or not 0xE0 < marker <= 0xFE:
            kept.append(data[start:end])
    raise _broken(
        "The JPEG has no pixels, or something other than segments before them. Send the whole "
        "file, unchanged; with curl, use --data-binary, because -d drops line breaks."
    )


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the marker, start and end of each segment up to the first scan.

    It ends early at anything that is no segment: Pillow would look at each byte of it.
    """
    at = 2
    for _ in range(MAX_SEGMENTS):
        while data[at : at + 2] == b"\xff\xff" and data[at : at + 9] != b"\xff" * 9:
            at += 1
        if data[at : at + 1] != b"\xff" or data[at + 1 : at + 2] in (b"", b"\0", b"\xff"):
            return
        end = at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))
        yield data[at + 1], at, end
        if data[at + 1] == SCAN:
            return
        at = end


# --- TIFF -----------------------------------------------------------------------------------------


def _check_directory(data: bytes) -> None:
    """Refuse a TIFF of several pages, or with fields that would take long to read."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        [at] = struct.unpack_from(f"{order}I", data, 4)
        [count] = struct.unpack_from(f"{order}H", data, at)
        if count > MAX_FIELDS:
            raise _broken(f"The TIFF has more than {MAX_FIELDS} fields.")
        for index in range(count):
            field = struct.unpack_from(f"{order}HHI4s", data, at + 2 + 12 * index)
            _check_field(field, order)
        [following] = struct.unpack_from(f"{order}I", data, at + 2 + 12 * count)
    except struct.error:
        raise _broken("The TIFF ends before its directory does; send the whole file.") from None
    if following:
        raise BadImage("animated_image", "The TIFF has several pages; send a single one.")


def _check_field(field: tuple[int, int, int, bytes], order: str) -> None:
    tag, kind, count, value = field
    if tag in (STRIP_OFFSETS, STRIP_BYTES, TILE_OFFSETS, TILE_BYTES):
        if count > MAX_STRIPS:
            raise _broken(f"The TIFF has more than {MAX_STRIPS:,} strips.")
    elif count * TIFF_SIZES.get(kind, 1) > MAX_VALUES:
        raise _broken(f"A field of the TIFF has more than {MAX_VALUES:,} bytes.")
    if tag == COMPRESSION and struct.unpack(f"{order}H", value[:2])[0] not in COMPRESSIONS:
        raise BadImage(
            "unsupported_format",
            "The TIFF is compressed in an unusual way; save it uncompressed, or as PNG or JPEG.",
        )
