"""Small pictures that would take much memory or time if a server believed what they say."""

import io
import struct
import zlib
from functools import cache

from PIL import Image

MANY = 1_000_000

# --- PNG ---


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    checked = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checked)


def png(
    width: int,
    height: int,
    depth: int = 8,
    colour: int = 0,
    interlaced: int = 0,
    before: bytes = b"",
    pixels: bytes = zlib.compress(b""),
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + before
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


@cache
def zeros(size: int) -> bytes:
    """Compress `size` zero bytes."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(MANY)) for _ in range(size // MANY)]
    return b"".join([*parts, packer.compress(bytes(size % MANY)), packer.flush()])


def pngs() -> dict[str, bytes]:
    blank = zlib.compress(bytes(29 * 28))
    text = zeros(30 * MANY)
    frames = chunk(b"acTL", struct.pack(">II", 1000, 0)) + b"".join(
        chunk(b"fcTL", struct.pack(">IIIIIHHBB", n, 28, 28, 0, 0, 1, 1, 0, 0)) for n in range(1000)
    )
    whole = png(28, 28, pixels=blank)
    return {
        "5000x5000": png(5000, 5000, pixels=zeros(25_005_000)),
        "50 megapixels": png(8160, 6120, pixels=zeros(8161 * 6120)),
        "largest sides": png(2**31 - 1, 2**31 - 1),
        "one long row": png(2**31 - 1, 1),
        "one bit, 60000x60000": png(60_000, 60_000, depth=1, pixels=zeros(MANY)),
        "interlaced, 20000x20000": png(20_000, 20_000, interlaced=1, pixels=zeros(MANY)),
        "16 bits, four colours": png(30_000, 30_000, depth=16, colour=6),
        "no size": png(0, 0),
        "zTXt": png(28, 28, before=chunk(b"zTXt", b"k\0\0" + text), pixels=blank),
        "iTXt": png(28, 28, before=chunk(b"iTXt", b"k\0\1\0\0\0" + text), pixels=blank),
        "iCCP": png(28, 28, before=chunk(b"iCCP", b"k\0\0" + text), pixels=blank),
        "40 texts": png(28, 28, before=chunk(b"zTXt", b"k\0\0" + zeros(MANY)) * 40, pixels=blank),
        "100000 chunks": png(28, 28, before=chunk(b"tEXt", b"k\0v") * 60_000, pixels=blank),
        "animated": png(28, 28, before=frames, pixels=blank),
        "wrong checksum": png(28, 28, before=chunk(b"gAMA", b"\0\0\0\0", crc=1), pixels=blank),
        "header cut": whole[:20],
        "pixels cut": png(200, 200, pixels=zeros(40_200)[:20]),
        "more pixels than it says": png(28, 28, pixels=zeros(30 * MANY)),
        "palette missing": png(28, 28, colour=3, pixels=blank),
        "palette of 10000": png(
            28, 28, colour=3, before=chunk(b"PLTE", bytes(30_000)), pixels=blank
        ),
        "two headers": png(28, 28, before=whole[8:33].replace(b"\0\0\0\x1c", b"\0\1\0\0")),
        "chunk longer than the file": whole[:33] + b"\x7f\xff\xff\xffIDAT",
        "white": png(1999, 1999, pixels=zeros(2000 * 1999)),
    }


# --- JPEG ---


def jpeg(width: int = 64, height: int = 64, mode: str = "L", **options: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, "JPEG", **options)
    return file.getvalue()


def resized(data: bytes, width: int, height: int) -> bytes:
    """Write other sizes into a JPEG's frame header."""
    at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2")) + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def jpegs() -> dict[str, bytes]:
    progressive = jpeg(progressive=True)
    start = progressive.index(b"\xff\xda")
    scan = progressive[start : progressive.index(b"\xff", start + 20)]
    segment = b"\xff\xe1\xff\xff" + b"Exif\0\0" + b"II*\0" + b"\xff" * (65_533 - 10)
    plain = jpeg()
    return {
        "65535x65535": resized(plain, 65_535, 65_535),
        "no size": resized(plain, 0, 0),
        "thousands of scans": progressive[:start] + scan * 20_000 + b"\xff\xd9",
        "large, thousands of scans": resized(progressive, 1990, 1990)[:start] + scan * 20_000,
        "cut": plain[: len(plain) // 2],
        "header only": plain[:4],
        "a megabyte of Exif": plain[:2] + segment * 15 + plain[2:],
        "Exif that points at itself": plain[:2]
        + b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0"
        + b"\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\x08\0\0\0"
        + plain[2:],
        "four colours, 30000x30000": resized(jpeg(mode="CMYK"), 30_000, 30_000),
        "fill bytes": plain[:2] + b"\xff" * 900_000,
        "larger than an image may be": plain + bytes(20 * 1024**2),
        "60 megapixels": resized(plain, 8000, 7500),
        "progressive, 50 megapixels": resized(progressive, 8160, 6120),
        "20 megabytes of Exif": plain[:2] + segment * 300 + plain[2:],
        "50 megapixels, cut": resized(plain, 8160, 6120),
    }


def other_formats() -> dict[str, bytes]:
    def saved(kind: str, **options: object) -> bytes:
        file = io.BytesIO()
        Image.new("L", (28, 28)).save(file, kind, **options)
        return file.getvalue()

    frames = [Image.new("L", (28, 28), n % 255) for n in range(500)]
    animated = saved("GIF", save_all=True, append_images=frames, duration=1)
    gif = b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + bytes(3)
    webp = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\xff\xff" * 2
    return {
        "gif of 500 frames": animated,
        "gif of 65535x65535": gif,
        "tiff": saved("TIFF"),
        **tiffs(),
        "avif of 60000x60000": avif(60_000, 60_000),
        "avif, cut": avif(64, 64)[:-20],
        "heic of zeros": b"\0\0\0\x18ftypheic" + bytes(MANY),
        "heic of boxes": b"\0\0\0\x18ftypheic" + bytes(12) + b"\0\0\0\x08free" * 100_000,
        "tiff of a hundred directories": b"II*\0\x08\0\0\0" + b"\0\0\x08\0\0\0" * 100,
        "webp of 16 million by 16 million": b"RIFF" + struct.pack("<I", 22) + b"WEBP" + webp,
        "bmp of 2 billion rows": b"BM"
        + bytes(12)
        + struct.pack("<IiiHHI", 40, 2**31 - 1, 1, 1, 8, 1),
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'>" + b"<g>" * 9999,
        "svg of entities": b"<!DOCTYPE l [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><svg>&b;</svg>",
        "pdf": saved("PDF"),
        "ico": saved("ICO"),
        "psd": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 30_000, 30_000, 8, 3),
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{} loop\n",
        "no bytes": b"",
        "a megabyte of zeros": bytes(1024**2),
    }


def avif(width: int, height: int) -> bytes:
    """Return an AVIF of 64x64 whose header claims another size."""
    file = io.BytesIO()
    Image.new("L", (64, 64)).save(file, "AVIF", speed=10)
    data = file.getvalue()
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


def tiffs() -> dict[str, bytes]:
    def tiff(*fields: tuple[int, int, int, int], following: int = 0) -> bytes:
        entries = b"".join(struct.pack("<HHII", *field) for field in fields)
        return (
            b"II*\0" + struct.pack("<IH", 8, len(fields)) + entries + struct.pack("<I", following)
        )

    size = ((256, 4, 1, 1), (257, 4, 1, 2**31 - 1))
    wide = ((256, 4, 1, 30_000), (257, 4, 1, 30_000))
    return {
        "tiff of 2^31 rows": tiff(*size),
        "tiff of 900 megapixels": tiff(*wide, (273, 4, 1, 8), (279, 4, 1, 8)),
        "tiff of a billion strips": tiff(*wide, (273, 4, 10**9, 8), (279, 4, 10**9, 8)),
        "tiff of a million strips": tiff(*wide, (273, 4, MANY, 8)) + bytes(4 * MANY),
        "tiff that points at itself": tiff(*wide, following=8),
        "tiff of 60000 fields": tiff(*[(40_000, 7, 1, 0)] * 60_000),
        "tiff of large fields": tiff(*[(40_000 + n, 7, 90_000, 8) for n in range(150)])
        + bytes(100_000),
        "tiff in an old JPEG": tiff(*wide, (259, 3, 1, 6)),
        "tiff of one column": tiff(
            (256, 4, 1, 1),
            (257, 4, 1, 16 * MANY),
            (259, 3, 1, 3),
            (273, 4, 1, 8),
            (279, 4, 1, MANY),
        )
        + b"\x93\xd1" * (MANY // 2),
    }
