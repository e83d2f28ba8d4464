"""Files that are sent to become a data set: read in pieces, and never held in memory as a whole.

An upload can be read again from its beginning, because a request is repeated when a connection
breaks. It then has the same bytes, so that the server knows that it is the same upload.
"""

import asyncio
import io
import json
import os
import re
import tempfile
import uuid
import zipfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

from mlp_client import npy
from mlp_client.errors import DatasetUnusable

PIECE_BYTES = 256 << 10
IDX_NAME = re.compile(r"(images|labels)[-.]idx\d-ubyte(\.gz)?$")
"""The names of the files of MNIST's format, also as 7-Zip unpacks them."""
PACKED_ALREADY = {".gif", ".gz", ".jpeg", ".jpg", ".npz", ".png", ".tif", ".tiff", ".webp"}
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The time of all members, so that a folder is the same archive each time."""

FilePath: TypeAlias = str | os.PathLike[str]
Source: TypeAlias = FilePath | Sequence[FilePath]
"""A file, a folder, or several files."""


@dataclass(frozen=True)
class Upload:
    """The bytes of one file, in pieces."""

    name: str
    pieces: Callable[[], Iterator[bytes]]
    size: int | None = None
    """Number of bytes; None if it is known only at the end."""
    media_type: str = "application/octet-stream"

    def __iter__(self) -> Iterator[bytes]:
        return self.pieces()

    @property
    def headers(self) -> dict[str, str]:
        """What a request with these bytes says about its body."""
        length = {} if self.size is None else {"Content-Length": str(self.size)}
        return {"Content-Type": self.media_type, **length}


class AsyncPieces:
    """The pieces of an upload for asyncio; each is read in a thread."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = iter(self._pieces)
        while piece := await asyncio.to_thread(next, pieces, b""):
            yield piece


@contextmanager
def opened(source: Source | None, arrays: Mapping[str, Any]) -> Iterator[Sequence[Upload]]:
    """Yield what is to be sent: one upload, or several files that belong together.

    Args:
        source: a file, a folder, or several of them.
        arrays: arrays by their names in an npz file, instead of `source`.

    Raises:
        DatasetUnusable: there is nothing to send, or an array has neither numbers nor texts.
        OSError: a file can't be read.

    """
    if bool(arrays) == (source is not None):
        raise DatasetUnusable(
            "A data set is made of files or of arrays: give the path of a file or a folder, or "
            "x_train and y_train."
        )
    if source is not None:
        yield _uploads(source)
        return
    with tempfile.TemporaryFile() as file:
        yield [_saved(arrays, file)]


def form(fields: Mapping[str, str], files: Sequence[Upload]) -> Upload:
    """Return the body of a form (multipart/form-data) with fields and files."""
    boundary = uuid.uuid4().hex
    values = [_head(boundary, f'name="{name}"') + text.encode() for name, text in fields.items()]
    heads = [
        _head(
            boundary,
            f'name="file"; filename={json.dumps(file.name, ensure_ascii=False)}',
            f"Content-Type: {file.media_type}\r\n",
        )
        for file in files
    ]
    end = f"\r\n--{boundary}--\r\n".encode()

    def pieces() -> Iterator[bytes]:
        yield b"".join(values).removeprefix(b"\r\n")
        for head, file in zip(heads, files, strict=True):
            yield head
            yield from file
        yield end

    return Upload("form", pieces, _form_size([*values, *heads, end], files), _form_type(boundary))


def _head(boundary: str, disposition: str, more: str = "") -> bytes:
    return (
        f"\r\n--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n{more}\r\n".encode()
    )


def _form_type(boundary: str) -> str:
    return f"multipart/form-data; boundary={boundary}"


def _form_size(parts: Sequence[bytes], files: Sequence[Upload]) -> int | None:
    sizes = [file.size for file in files]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return None
    return sum(map(len, parts)) + sum(known) - len("\r\n")


# --- Files and folders ----------------------------------------------------------------------------


def _uploads(source: Source) -> Sequence[Upload]:
    """Return files as they are, folders with the files of MNIST's format too, others as a zip."""
    given = [source] if isinstance(source, str | os.PathLike) else source
    paths = [Path(path) for path in given]
    if not paths:
        raise DatasetUnusable("The list of files is empty: give a file or a folder.")
    if not any(path.is_dir() for path in paths):
        return [_file(path) for path in paths]
    if len(paths) > 1:
        return [_archive({path.absolute().name: path for path in paths}, "data.zip")]
    idx = [path for path in _files(paths[0]) if IDX_NAME.search(path.name)]
    if idx:
        return [_file(path) for path in idx]
    return [_archive({"": paths[0]}, f"{paths[0].absolute().name}.zip")]


def _file(path: Path) -> Upload:
    def pieces() -> Iterator[bytes]:
        with path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece

    return Upload(path.name, pieces, path.stat().st_size)


def _files(folder: Path) -> list[Path]:
    """Return the files in a folder and its subfolders in order, without hidden ones."""
    found: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def _archive(roots: Mapping[str, Path], name: str) -> Upload:
    """Return a zip file that is made while it is sent.

    Args:
        roots: files and folders, by the name of each in the archive; "" has the files at its top.
        name: of the archive.

    Raises:
        DatasetUnusable: there is no file.

    """
    members = [
        (Path(top, path.relative_to(root)) if path != root else Path(top), path)
        for top, root in roots.items()
        for path in (_files(root) if root.is_dir() else [root])
    ]
    if not members:
        shown = ", ".join(str(root) for root in roots.values())
        raise DatasetUnusable(f"There is no file in {shown}.")
    return Upload(name, lambda: _zipped(members), media_type="application/zip")


def _zipped(members: Sequence[tuple[Path, Path]]) -> Iterator[bytes]:
    """Yield a zip file of members, each with its name and where it is read."""
    written = _Written()
    with zipfile.ZipFile(written, "w") as archive:
        for name, path in members:
            info = zipfile.ZipInfo(_unicode(name), EARLIEST)
            is_packed = path.suffix.lower() in PACKED_ALREADY
            info.compress_type = zipfile.ZIP_STORED if is_packed else zipfile.ZIP_DEFLATED
            info.file_size = path.stat().st_size  # decides whether it needs 64 bits
            with path.open("rb") as file, archive.open(info, "w") as member:
                while piece := file.read(PIECE_BYTES):
                    member.write(piece)
                    if written.waiting > PIECE_BYTES:
                        yield written.taken()
    yield written.taken()


def _unicode(path: Path) -> str:
    return os.fsencode(path.as_posix()).decode(errors="replace")


class _Written(io.RawIOBase):
    """Takes what an archive writes, for somebody who takes it out again; it can't be sought in."""

    def __init__(self) -> None:
        super().__init__()
        self._buffer = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._buffer += data
        return len(data)

    @property
    def waiting(self) -> int:
        """Number of bytes that nobody has taken yet."""
        return len(self._buffer)

    def taken(self) -> bytes:
        taken = bytes(self._buffer)
        self._buffer.clear()
        return taken


# --- Arrays ---------------------------------------------------------------------------------------


def _saved(arrays: Mapping[str, Any], file: IO[bytes]) -> Upload:
    """Write arrays into a file as npz, and return it as an upload.

    Raises:
        DatasetUnusable: an array has neither numbers nor texts.

    """
    npy.save_named(arrays, file)

    def pieces() -> Iterator[bytes]:
        file.seek(0)
        while piece := file.read(PIECE_BYTES):
            yield piece

    return Upload("arrays.npz", pieces, file.tell())
