"""Packs pictures into archives, also such as no program writes."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.ingest.archives import archive_source
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.source import Block, Source, UploadedFile

Pixels = NDArray[np.uint8]


def pixels(number: int, *shape: int) -> Pixels:
    """Return noise that differs from that of other numbers."""
    return np.random.default_rng(number).integers(0, 256, shape or (28, 28), np.uint8)


def picture(number: int = 0, *shape: int, format: str = "PNG") -> bytes:
    """Return a file with the picture of `pixels`."""
    return encoded(pixels(number, *shape), format)


def encoded(image: Pixels, format: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format)
    return file.getvalue()


def zipped(path: Path, files: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return path


def tarred(path: Path, files: Mapping[str, bytes], *, mode: str = "w") -> Path:
    with path.open("wb") as file, tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def packed(path: Path, files: Mapping[str, bytes]) -> Path:
    """Pack files by what the name of the archive ends with."""
    if path.suffix == ".zip":
        return zipped(path, files)
    return tarred(path, files, mode="w:gz" if path.suffix == ".gz" else "w")


# --- Zip files byte by byte ---


@dataclass
class Entry:
    """A file in a zip file, with what its directory says of it."""

    name: bytes = b"a/1.png"
    data: bytes = b""
    """The bytes that lie in the archive."""
    size: int | None = None
    """The size of the unpacked file; by default that of `data`."""
    packed: int | None = None
    method: int = zipfile.ZIP_STORED
    flags: int = 0
    attributes: int = 0
    start: int | None = None
    """Where the directory says that its header begins; by default, where it does."""
    extra: bytes = b""
    crc: int | None = None


def zip_bytes(entries: Sequence[Entry], *, count: int | None = None, comment: bytes = b"") -> bytes:
    """Return a zip file whose directory says what the entries say."""
    body, directory = io.BytesIO(), io.BytesIO()
    for entry in entries:
        start = body.tell() if entry.start is None else entry.start
        body.write(struct.pack("<4s5H3L2H", b"PK\3\4", *_fixed(entry), len(entry.name), 0))
        body.write(entry.name + entry.data)
        directory.write(struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, *_fixed(entry), len(entry.name),
                        len(entry.extra), 0, 0, 0, entry.attributes, start))  # fmt: skip
        directory.write(entry.name + entry.extra)
    said = len(entries) if count is None else count
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, said, said, directory.tell(), body.tell(),
                      len(comment))  # fmt: skip
    return body.getvalue() + directory.getvalue() + end + comment


def _fixed(entry: Entry) -> tuple[int, ...]:
    size = len(entry.data) if entry.size is None else entry.size
    packed = len(entry.data) if entry.packed is None else entry.packed
    crc = zlib.crc32(entry.data) if entry.crc is None else entry.crc
    return 20, entry.flags, entry.method, 0, 0x21, crc, packed, size


# --- Reading ---


def source_of(path: Path | Sequence[Path], **options: object) -> Source:
    """Return the source that archives become."""
    paths = [path] if isinstance(path, Path) else path
    files = [UploadedFile(each, each.name) for each in paths]
    return archive_source.read(files, IngestOptions(**options), Limits())  # type: ignore[arg-type]


def rows_of(source: Source) -> Iterator[tuple[int, Pixels, str, str | None]]:
    """Yield number, image, label and split of each row."""
    for block in source.blocks():
        yield from zip(block.rows, block.images, block.labels, block.splits, strict=True)


def labels_of(path: Path | Sequence[Path], **options: object) -> list[tuple[str | None, str]]:
    """Return the split and the label of each picture of an archive."""
    blocks: list[Block] = list(source_of(path, **options).blocks())
    return [pair for block in blocks for pair in zip(block.splits, block.labels, strict=True)]


def gzipped_zeros(size: int) -> bytes:
    return gzip.compress(bytes(size), 9)
