"""Uploads that would take much memory or time if a check believed what they say."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.support.format_seeds import HAS_PYARROW
from tests.support.npz_bombs import MEGABYTE, described, npy, npz_files
from tests.support.packed_pictures import Entry, gzipped_zeros, zip_bytes
from tests.support.picture_bombs import jpegs, other_formats, pngs

LARGE = 200 * MEGABYTE


@dataclass(frozen=True)
class UploadBomb:
    """An upload, which is made when it is wanted."""

    name: str
    body: Callable[[], bytes]
    by_directory: bool = False
    """Whether a directory or a header says already that it is too much."""


def bombs_by_directory() -> Iterator[UploadBomb]:
    """Yield those that are made and refused in a moment."""
    return (bomb for bomb in (*_arrays(), *_archives()) if bomb.by_directory)


def bombs() -> Iterator[UploadBomb]:
    """Yield bombs of every format."""
    yield from _arrays()
    yield from _archives()
    yield from _tables()
    yield from _pictures()
    if HAS_PYARROW:
        yield from _parquet()


def _arrays() -> Iterator[UploadBomb]:
    lengths = struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1)
    idx = b"\0\0\x08\x03" + lengths
    yield UploadBomb("idx of 2^96 pixels", lambda: idx, by_directory=True)
    yield UploadBomb("idx.gz of 2^96 pixels", lambda: gzip.compress(idx))
    yield UploadBomb("npy of 10^18 rows", lambda: npy(described("(1000000000000000000, 28)")), True)
    yield UploadBomb("npy of one row", lambda: npy(described("(1, 1000000000000)")), True)
    yield UploadBomb("npy in a gz of 1 GB", lambda: _packed_npy("(1, 1000000000)"))
    order = described("(100000, 10000)", order="True")
    yield UploadBomb("npy by columns", lambda: gzip.compress(npy(order) + bytes(MEGABYTE)))
    for name, data in npz_files():
        yield UploadBomb(f"npz: {name}", partial(bytes, data))


def _packed_npy(shape: str) -> bytes:
    return gzip.compress(npy(described(shape))) + gzipped_zeros(MEGABYTE) * 1000


def _archives() -> Iterator[UploadBomb]:
    bomb = zlib.compress(bytes(10 * MEGABYTE), 9)[2:-4]
    size = 10 * MEGABYTE
    one = Entry(b"a/1.png", bomb, size=size, method=8)
    yield UploadBomb("zip of 10 MB in a picture", lambda: zip_bytes([one]), True)
    tables = [Entry(b"%d.csv" % n, bomb, size=size, method=8) for n in range(500)]
    yield UploadBomb("zip of 5 GB", lambda: zip_bytes(tables), True)
    over = [Entry(b"%d/1.png" % n, size=9000, packed=9000, start=0) for n in range(50_000)]
    yield UploadBomb("zip of files over one another", lambda: zip_bytes(over), True)
    says = [Entry(b"%d/1.png" % n, b"", size=2**32 - 2, packed=2**32 - 2) for n in range(9)]
    yield UploadBomb("zip of sizes beyond its end", lambda: zip_bytes(says), True)
    large = Entry(
        b"a/1.png", b"", 2**32 - 1, 2**32 - 1, extra=struct.pack("<HH2Q", 1, 16, *2 * [2**63])
    )
    yield UploadBomb("zip64 of 2^63 bytes", lambda: zip_bytes([large]), True)
    yield UploadBomb("zip of 200 001 files", lambda: _end_of(200_001), True)
    yield UploadBomb("zip of deep names", lambda: zip_bytes(_deep(2000)), True)
    yield UploadBomb("zip in zips", lambda: _nested(6), True)
    yield UploadBomb("tar of one huge file", lambda: _tar_header("a/1.png", 2**33 - 1), True)
    yield UploadBomb(
        "tar.gz of 1 GB",
        lambda: gzip.compress(_tar_header("a/1.png", 10**9)) + gzipped_zeros(MEGABYTE) * 1000,
    )
    yield UploadBomb(
        "tar of a huge long name", lambda: _tar_header("././@LongLink", 10**9, b"L"), True
    )
    yield UploadBomb(
        "gz in gz", lambda: gzip.compress(gzip.compress(gzipped_zeros(MEGABYTE))), True
    )


def _end_of(count: int) -> bytes:
    """Return a zip file whose directory says that it has so many entries."""
    large = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, 46 * count, 0)
    directory = (b"PK\1\2" + bytes(42)) * count
    at = struct.pack("<4sLQL", b"PK\6\7", 0, 4 + len(directory), 1)
    return (
        b"PK\3\4"
        + directory
        + large
        + at
        + struct.pack("<4s4H2LH", b"PK\5\6", *[0] * 2, *[0xFFFF] * 2, *[2**32 - 1] * 2, 0)
    )


def _deep(count: int) -> list[Entry]:
    return [Entry(b"a/" * 400 + b"%d.png" % number) for number in range(count)]


def _nested(times: int) -> bytes:
    data = bytes(MEGABYTE)
    for number in range(times):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for copy in range(10):
                archive.writestr(f"{number}-{copy}.zip", data)
        data = file.getvalue()
    return data


def _tar_header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def _tables() -> Iterator[UploadBomb]:
    yield UploadBomb("csv of one endless line", lambda: b"1," * 50 * MEGABYTE)
    yield UploadBomb("csv.gz of one endless line", lambda: _packed(b"1," * MEGABYTE, 500))
    yield UploadBomb("csv of a million columns", lambda: (b"1," * MEGABYTE + b"1\n") * 3)
    yield UploadBomb("csv.gz of 10^9 rows", lambda: _packed(b"1\n" * MEGABYTE, 1000))
    rows = b"1,2,3\n" * MEGABYTE
    yield UploadBomb("csv.gz of 3 * 10^8 rows of three cells", lambda: _packed(rows, 300))
    yield UploadBomb("csv of an endless quote", lambda: b'a,b\n"' + b"1,\n" * 30 * MEGABYTE)
    deep = b"[" * 3 * MEGABYTE
    yield UploadBomb("json of deep lists", lambda: b'{"label": 1, "image": ' + deep + b"\n")
    whole = b"[" * 900 + b"]" * 900
    yield UploadBomb(
        "json lines of deep lists", lambda: (b'{"label": 1, "image": %s}\n' % whole) * 9000
    )
    text = b'{"label": "%s", "image": [1, 2, 3, 4]}\n' % (b"x" * 3 * MEGABYTE)
    yield UploadBomb("json lines of huge texts", lambda: text * 30)
    keys = b",".join(b'"%d":1' % n for n in range(300_000))
    yield UploadBomb("json lines of many fields", lambda: (b'{"label":1,%s}\n' % keys) * 3)


def _packed(data: bytes, times: int) -> bytes:
    return gzip.compress(data, 9) * times


def _pictures() -> Iterator[UploadBomb]:
    for kind, files in (("png", pngs()), ("jpeg", jpegs()), ("", other_formats())):
        for name, data in files.items():
            entries = [Entry(b"a/1.png", data), Entry(b"b/2.png", data)]
            title = f"{kind} {name}".strip()
            yield UploadBomb(f"zip of {title}", partial(zip_bytes, entries))


def _parquet() -> Iterator[UploadBomb]:
    for codec in ("zstd", "snappy", "gzip", "brotli", "lz4"):
        body = partial(_pictures_table, LARGE, 1, compression=codec)
        yield UploadBomb(f"parquet of a 200 MB picture, {codec}", body)
    body = partial(_pictures_table, 8 * MEGABYTE, 40, dictionary_pagesize_limit=2**30)
    yield UploadBomb("parquet of one large picture many times", body)
    texts = {"image": [[1, 2, 3, 4]] * 10, "label": ["x" * 20 * MEGABYTE] * 10}
    yield UploadBomb("parquet of huge labels", lambda: _table(texts))
    wide = {f"column {at}": [1] for at in range(10_000)} | {"label": [1]}
    yield UploadBomb("parquet of many columns", lambda: _table(wide))
    small = {"image": [[1, 2, 3, 4]] * 5000, "label": [1] * 5000}
    yield UploadBomb("parquet of many groups", lambda: _table(small, row_group_size=1))


def _pictures_table(size: int, count: int, **options: Any) -> bytes:
    column = [{"bytes": bytes(size), "path": ""}] * count
    return _table({"image": column, "label": [1] * count}, **options)


def _table(columns: dict[str, Any], **options: Any) -> bytes:
    import pyarrow
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), file, **{"compression": "zstd"} | options)
    return file.getvalue()
