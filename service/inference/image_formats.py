"""Tells by its first bytes what a file is: a picture that can be read, or what else it is."""

import importlib.util
from dataclasses import dataclass
from functools import cache

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"
NPY_START = b"\x93NUMPY"
ZIP_START = b"PK\x03\x04"
BITMAP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
"""Lengths of the header that follows the first 14 bytes of a BMP."""
READ_IT_AS = "send it as a JPEG or PNG"
SAVE_AS_PNG = "save it as a PNG or JPEG"
NEVER_UNPACKED = "send the picture that is in it"


@dataclass(frozen=True)
class Format:
    """A kind of file."""

    name: str
    """What a sentence calls the file, with the article: `a PNG picture`."""
    decoder: str | None = None
    """The name of Pillow's decoder; None for a file that is not read as a picture."""
    remedy: str = READ_IT_AS


PNG = Format("a PNG picture", "PNG")
JPEG = Format("a JPEG picture", "JPEG")
WEBP = Format("a WebP picture", "WEBP")
BMP = Format("a BMP picture", "BMP")
GIF = Format("a GIF picture", "GIF")
TIFF = Format("a TIFF picture", "TIFF")
AVIF = Format("an AVIF picture", "AVIF")
HEIF = Format("a HEIC picture", "HEIF")
NO_HEIF = Format(
    "a HEIC picture",
    remedy=f"{READ_IT_AS}; the operator of the service can let it read HEIC "
    "with `pip install 'mlp-service[heic]'`",
)
NPY = Format(
    "a NumPy array (.npy)", remedy="send it as the body, with Content-Type application/x-npy"
)
ZIP = Format("a ZIP archive", remedy=NEVER_UNPACKED)
DAMAGED_PNG = Format(
    "a PNG picture that lost bytes on its way, such as its line breaks",
    remedy="send the file unchanged: curl's -d drops line breaks, --data-binary keeps them",
)
HTML = Format(
    "a page of HTML", remedy="send the picture itself, not a page that shows it or an error page"
)
SVG = Format("an SVG drawing", remedy="draw it into a PNG first")
VIDEO = Format("a video", remedy="send a single frame of it as a JPEG or PNG")
RAW_PHOTO = Format("a raw photograph of a camera", remedy="export it as a JPEG")
EMPTY = Format("an empty file", remedy="send all of its bytes")
TEXT = Format(
    "text",
    remedy="send a picture; JSON, CSV and base64 are read as the body of a request, with "
    "Content-Type application/json, text/csv and text/plain",
)
UNKNOWN = Format(
    "no complete picture of a known format",
    remedy="send the whole file, unchanged, as PNG, JPEG, WebP, AVIF, GIF, BMP or TIFF",
)

NOT_A_FORMAT = (DAMAGED_PNG, EMPTY, TEXT, UNKNOWN)
"""What bytes may be that have no format of their own."""

STARTS: tuple[tuple[Format, *tuple[bytes, ...]], ...] = (
    (PNG, PNG_START),
    (DAMAGED_PNG, b"\x89PNG"),
    (JPEG, JPEG_START),
    (GIF, b"GIF87a", b"GIF89a"),
    (TIFF, b"II*\0", b"MM\0*"),
    (Format("a BigTIFF picture", remedy=SAVE_AS_PNG), b"II+\0", b"MM\0+"),
    (NPY, NPY_START),
    (ZIP, ZIP_START, b"PK\x05\x06"),
    (Format("a PDF document", remedy="save its page as a PNG"), b"%PDF-"),
    (Format("data packed with gzip", remedy=NEVER_UNPACKED), b"\x1f\x8b\x08"),
    (Format("a JPEG XL picture"), b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
    (Format("a JPEG 2000 picture"), b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
    (Format("a Photoshop document", remedy=SAVE_AS_PNG), b"8BPS"),
    (Format("a GIMP document", remedy="export it as a PNG"), b"gimp xcf"),
    (Format("a PostScript document", remedy=SAVE_AS_PNG), b"%!PS", b"\xc5\xd0\xd3\xc6"),
    (Format("an icon (.ico)", remedy=SAVE_AS_PNG), b"\0\0\1\0"),
    (Format("a cursor (.cur)", remedy=SAVE_AS_PNG), b"\0\0\2\0"),
    (Format("an icon (.icns)", remedy=SAVE_AS_PNG), b"icns"),
    (Format("a QOI picture", remedy=SAVE_AS_PNG), b"qoif"),
    (Format("an OpenEXR picture", remedy=SAVE_AS_PNG), b"\x76\x2f\x31\x01"),
    (Format("a FITS picture", remedy=SAVE_AS_PNG), b"SIMPLE  ="),
    (RAW_PHOTO, b"FUJIFILM", b"IIRO", b"IIU\0"),
    (VIDEO, b"\x1aE\xdf\xa3", b"FLV\1", b"\x00\x00\x01\xba"),
    (Format("an Ogg recording"), b"OggS"),
    (Format("an MP3 recording"), b"ID3"),
    (Format("data packed with bzip2", remedy=NEVER_UNPACKED), b"BZh"),
    (Format("data packed with xz", remedy=NEVER_UNPACKED), b"\xfd7zXZ\0"),
    (Format("data packed with Zstandard", remedy=NEVER_UNPACKED), b"\x28\xb5\x2f\xfd"),
    (Format("a 7z archive", remedy=NEVER_UNPACKED), b"7z\xbc\xaf\x27\x1c"),
    (Format("a RAR archive", remedy=NEVER_UNPACKED), b"Rar!\x1a\x07"),
    (Format("a Python pickle", remedy="send the array as .npy"), b"\x80\x04\x95"),
    (Format("an HDF5 file", remedy="send the array as .npy"), b"\x89HDF\r\n\x1a\n"),
)
PORTABLE = Format("a portable pixmap (PPM, PGM or PBM)", remedy=SAVE_AS_PNG)
MARKUP = (
    (b"<!doctype html", HTML),
    (b"<html", HTML),
    (b"<svg", SVG),
    (b"<?xml", Format("an XML document", remedy="send a picture; draw an SVG into a PNG first")),
    (b"<!doctype svg", SVG),
)
BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), AVIF),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), HEIF),
    b"crx ": RAW_PHOTO,
}
"""Kinds of ISO media files, by the brand in their first box; all other brands are videos."""


def identify(data: bytes) -> Format:
    """Return what a file is, as far as its first bytes tell."""
    found = known(data) or _by_text(data)
    return NO_HEIF if found is HEIF and not reads_heif() else found


def known(data: bytes) -> Format | None:
    """Return what a file is if it begins with a signature, else None."""
    if data[4:8] == b"ftyp":
        return BRANDS.get(data[8:12], VIDEO)
    if data.startswith(b"RIFF"):
        return WEBP if data[8:12] == b"WEBP" else VIDEO
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in BITMAP_HEADERS:
        return BMP
    if data.startswith(b"P") and data[1:2].isdigit() and data[2:3].isspace():
        return PORTABLE
    return next((it for start, it in _starts().get(data[:1], ()) if data.startswith(start)), None)


def surely_known(data: bytes) -> Format | None:
    """Return what a file is if its signature is too long for raw pixels to have it by chance."""
    found = known(data)
    if found is JPEG:
        return found if data[3:4] >= b"\xc0" else None
    return None if found in _chance() else found


@cache
def reads_heif() -> bool:
    """Return whether the extra `[heic]` is installed, and make Pillow use it."""
    if importlib.util.find_spec("pillow_heif") is None:
        return False
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
    return True


@cache
def _starts() -> dict[bytes, list[tuple[bytes, Format]]]:
    """Return the signatures by their first byte."""
    grouped: dict[bytes, list[tuple[bytes, Format]]] = {}
    for found, *starts in STARTS:
        for start in starts:
            grouped.setdefault(start[:1], []).append((start, found))
    return grouped


@cache
def _chance() -> set[Format]:
    """Return the formats whose signature has fewer than four bytes that are not zero."""
    unread = (row for row in STARTS if not row[0].decoder)
    short = {it for it, *starts in unread if min(len(each.strip(b"\0")) for each in starts) < 4}
    return short | {PORTABLE}


def _by_text(data: bytes) -> Format:
    if not data:
        return EMPTY
    text = data[:1000].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    found = next((it for start, it in MARKUP if text.startswith(start)), None)
    if found and found is not HTML and b"<svg" in text:
        return SVG
    return found or (TEXT if text.isascii() and text.decode().isprintable() else UNKNOWN)
