"""Small bodies that would take much memory or time if a server believed what they say."""

import base64
import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from tests.support.npz_bombs import described, npy, npz_files

MANY = 1_000_000


@dataclass(frozen=True)
class Bomb:
    name: str
    body: bytes
    media_type: str
    encoding: str | None = None
    path: str = "/v1/models/latest/predict"

    def headers(self) -> dict[str, str]:
        encoded = {"Content-Encoding": self.encoding} if self.encoding else {}
        return {"Content-Type": self.media_type, **encoded}


def corpus() -> list[Bomb]:
    return [
        *(Bomb(f"png: {name}", body, "image/png") for name, body in pngs().items()),
        *(Bomb(f"jpeg: {name}", body, "image/jpeg") for name, body in jpegs().items()),
        *(Bomb(f"picture: {name}", body, "image/png") for name, body in other_formats().items()),
        *(Bomb(f"npy: {name}", body, "application/x-npy") for name, body in arrays().items()),
        *packed(),
        *(
            Bomb(f"json: {name}", body, "application/json")
            for name, body in predict_requests().items()
        ),
        *forms(),
        *(
            Bomb(f"spec: {name}", body, "application/json", path="/v1/jobs")
            for name, body in specs().items()
        ),
    ]


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


# --- Arrays ---


def arrays() -> dict[str, bytes]:
    return {
        "16 GB": npy(described("(20408163, 28, 28)")),
        "shape beyond 64 bits": npy(described("(99999999999999999999, 28, 28)")),
        "negative": npy(described("(-1, 28, 28)")),
        "no rows": npy(described("(0, 28, 28)")),
        "shape of 40 digits": npy(described(f"({'9' * 40},)")),
        "shape of 5000 digits": npy(described(f"({'9' * 5000},)")),
        "ten thousand sides": npy(described(f"({'1,' * 10_000})"), version=2),
        "objects": npy(described("(1, 28, 28)", "'|O'"), b"cos\nsystem\n(S'id'\ntR."),
        "structures": npy(described("(784,)", "[('a', '|u1'), ('b', '|O')]"), bytes(784)),
        "text": npy(described("(784,)", "'<U1000000'")),
        "type of enormous size": npy(described("(784,)", "'|V2147483647'")),
        "code": npy("__import__('os').system('true')\n"),
        "sum": npy(described("(1,)+(28,28)")),
        "power": npy(described("(9**9**9, 28, 28)")),
        "longer than its data": npy(described("(28, 28)"), bytes(9)),
        "fortran and too short": npy(described("(9999, 28, 28)", order="True"), bytes(784)),
        "version 3": npy(described("(28, 28)"), bytes(784), version=3),
        "version 255": npy(described("(28, 28)"), bytes(784), version=255),
        "header of 100 kB": npy(described("(28, 28)") + " " * 100_000, bytes(784), version=2),
        "header of 8 MB": npy("[" * 8_000_000, version=2),
        "header of nested lists": npy("[" * 9_000 + "]" * 9_000),
        "header of nested signs": npy("-" * 9_000 + "1"),
        "header of nested attributes": npy("a" + ".a" * 4_000),
        "header longer than the body": npy(described("(28, 28)"), version=2, length=2**32 - 1),
        "header with NUL": npy(b"\0" * 64),
        "magic only": b"\x93NUMPY",
        "floats beyond 1": npy(described("(28, 28)", "'<f4'"), np.full(784, 1e30, "f4").tobytes()),
        "floats that are none": npy(described("(28, 28)", "'<f8'"), np.full(784, np.nan).tobytes()),
        "half floats, too many": npy(described("(10001, 784)", "'<f2'"), bytes(784)),
    }


# --- Packed ---


def packed() -> Iterator[Bomb]:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.npy", npy(described("(10000, 28, 28)"), bytes(7_840_000)))
        archive.writestr("../../evil.npy", bytes(MANY))
    zipped = gzip.compress(bytes(30 * MANY))
    for media_type in ("application/x-npy", "application/octet-stream", "image/png"):
        yield Bomb(f"npz as {media_type}", file.getvalue(), media_type)
        yield Bomb(f"gzip as {media_type}", zipped, media_type)
        yield Bomb(f"gzip encoding of {media_type}", zipped, media_type, "gzip")
    yield Bomb("npz as application/zip", file.getvalue(), "application/zip")
    for title, body in npz_files():
        yield Bomb(f"npz of {title}", body, "application/x-npz")
    yield Bomb("escapes in a form", b"%41" * MANY, "application/x-www-form-urlencoded")
    yield Bomb("percent signs", b"%" * 3 * MANY, "application/x-www-form-urlencoded")
    yield Bomb("escapes in a data URL", b"data:image/png," + b"%411" * MANY, "text/plain")
    yield Bomb("base64 of short lines", b"QUFB" * 20 + b"aa\n" * MANY, "text/plain")
    yield Bomb("csv of one row", b"1," * 2 * MANY, "text/csv")
    yield Bomb("csv of empty rows", b"1\n" * MANY, "text/csv")
    yield Bomb("urlencoded", b"a=%41&" * MANY, "application/x-www-form-urlencoded")
    yield Bomb("base64 as text", b"QUFB" * MANY, "text/plain")
    yield Bomb("digits and no type", b"7" * MANY, "")
    yield Bomb("gzip as JSON", zipped, "application/json", "gzip")
    yield Bomb("gzip as a spec", zipped, "application/json", "gzip", path="/v1/jobs")
    yield Bomb("deflate as a spec", zeros(30 * MANY), "application/json", "deflate", "/v1/jobs")
    endless, empty = gzip.compress(bytes(10 * MANY)) * 900, gzip.compress(b"")
    yield Bomb("gzip of 9 GB as JSON", endless, "application/json", "gzip")
    yield Bomb("gzip of 9 GB as a spec", endless, "application/json", "gzip", "/v1/jobs")
    yield Bomb("gzip of nothing, often", empty * 400_000, "application/json", "gzip")
    yield Bomb("gzip of one byte, often", gzip.compress(b" ") * 400_000, "image/png", "gzip")
    blocks = b"\x00\x00\x00\xff\xff" * 1_600_000  # stored blocks of no bytes
    yield Bomb("deflate of nothing", blocks, "application/json", "deflate")


# --- JSON ---


def one(given: object) -> bytes:
    return json.dumps({"inputs": [given]}).encode()


def predict_requests() -> dict[str, bytes]:
    picture = base64.b64encode(pngs()["5000x5000"]).decode()
    bad = json.dumps({"inputs": [{"base64": "!"}]}).encode()
    return {
        "instances of nothing": b'{"instances": [' + b"[]," * 200_000 + b"[]]}",
        "instances of texts": b'{"instances": [' + b'"!",' * 40_000 + b'"!"]}',
        "deep instances": b'{"instances": ' + b"[" * 9_000 + b"]" * 9_000 + b"}",
        "tensor of 10^18": b'{"inputs": [{"datatype": "FP32", "shape": [1000000000, 1000000000], '
        b'"data": [1]}]}',
        "numbers beyond 10 MB": b"[" + b"0," * 6 * MANY + b"0]",
        "deep lists": b'{"inputs": ' + b"[" * 200_000,
        "deep objects": b'{"inputs": [{"pixels": ' + b'[{"a":' * 100_000,
        "deep and whole": b'{"inputs": [{"pixels": ' + b"[" * 9_000 + b"]" * 9_000 + b"}]}",
        "5000 digits": b'{"inputs": [{"pixels": [[' + b"1" * 5000 + b"]]}]}",
        "a million digits": b'{"inputs": [{"pixels": [[' + b"1" * MANY + b"]]}]}",
        "1e999": b'{"inputs": [{"values": [[1e999]]}]}',
        "long exponent": b'{"inputs": [{"values": [[1e' + b"9" * 5000 + b"]]}]}",
        "long fraction": b'{"inputs": [{"values": [[0.' + b"9" * MANY + b"]]}]}",
        "many keys": b'{"inputs": [{' + b",".join(b'"%d":1' % n for n in range(50_000)) + b"}]}",
        "one key many times": b'{"inputs": [{' + b'"base64": "!",' * 60_000 + b'"base64": "!"}]}',
        "long text": one({"base64": "A" * 9 * MANY}),
        "lone surrogates": b'{"inputs": [{"base64": "' + b"\\ud800" * 50_000 + b'"}]}',
        "10000 bad texts": bad,
        "ragged": one({"pixels": [[0] * n for n in range(1, 400)]}),
        "one cell too few": one({"pixels": [[0] * 1000] * 999 + [[0] * 999]}),
        "deep cells": one({"pixels": [[[[[0]]]]] * 784}),
        "PNG of 5000x5000": one({"base64": picture}),
        "itself as base64 ten times": one({"base64": nested_base64(10)}),
        "data URL without end": one({"base64": "data:" + ";base64," * 90_000}),
        "escapes": b'{"inputs": [{"base64": "' + b"\\u0041" * 100_001 + b'"}]}',
        "white space": b'{"inputs":' + b" " * 9 * MANY + b"}",
        "top of 5000 digits": b'{"inputs": [{"dataset": "mnist", "index": 1}], "top_k": '
        + b"9" * 5000
        + b"}",
    }


def nested_base64(times: int) -> str:
    text = b"A" * 1000
    for _ in range(times):
        text = base64.b64encode(text)
    return text.decode()


# --- Forms and specs ---


def forms() -> Iterator[Bomb]:
    part = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\na\r\n'
    field = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\na\r\n'
    end = b"--x--\r\n"
    boundary = "b" * 30_000
    name = b"n" * 100_000
    bodies = {
        "20000 files": (part * 20_000 + end, "x"),
        "20000 fields": (field * 20_000 + end, "x"),
        "headers without end": (b"--x\r\n" + b"X-More: 1\r\n" * 90_000, "x"),
        "one header without end": (b"--x\r\nX-More: " + b"x" * MANY, "x"),
        "no boundary": (part + end, None),
        "boundary of 30 kB": (b"--" + boundary.encode() + b"\r\n", boundary),
        "boundary that nearly comes": (
            b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
            + b"\r\n--" * 500_000,
            "x",
        ),
        "nested": (
            part.replace(b"\r\n\r\na", b"\r\nContent-Type: multipart/mixed\r\n\r\n") + end,
            "x",
        ),
        "file name of 100 kB": (part.replace(b'"a"', b'"' + name + b'"') + end, "x"),
        "not closed": (part, "x"),
        "nothing": (b"", "x"),
        "many bad files": (part * 300 + end, "x"),
    }
    for title, (body, mark) in bodies.items():
        kind = "multipart/form-data" + (f"; boundary={mark}" if mark is not None else "")
        if title != "many bad files":
            yield Bomb(f"form: {title}", body, kind)


def specs() -> dict[str, bytes]:
    large = 10**9
    return {
        "10^9 wide": json.dumps({"hidden": [large]}).encode(),
        "10^9 epochs": json.dumps({"epochs": large}).encode(),
        "10^9 images in a batch": json.dumps({"batch_size": large}).encode(),
        "4096 layers": json.dumps({"hidden": [1] * 4096}).encode(),
        "60000 layers": json.dumps({"hidden": [1] * 60_000}).encode(),
        "widest of all layers": json.dumps({"hidden": [8192] * 16}).encode(),
        "all limits at once": json.dumps(
            {"hidden": [1900] * 5, "epochs": 10_000, "batch_size": 1}
        ).encode(),
        "metadata of 10000 keys": json.dumps(
            {"metadata": {str(n): "" for n in range(9999)}}
        ).encode(),
        "metadata of 200 kB": json.dumps({"metadata": {"a": "x" * 200_000}}).encode(),
        "20000 tags": json.dumps({"tags": ["a"] * 20_000}).encode(),
        "name of 200 kB": json.dumps({"name": "n" * 200_000}).encode(),
        "seed of 5000 digits": b'{"seed": ' + b"9" * 5000 + b"}",
        "rate of 1e999": b'{"learning_rate": 1e999}',
        "deep": b'{"metadata": ' + b'{"a":' * 40_000,
        "long unknown name": json.dumps({"u" * 200_000: 1}).encode(),
        "40000 unknown names": json.dumps({str(n): 1 for n in range(20_000)}).encode(),
    }
