"""Computes again the digests of stored data sets, and remembers when and with which result.

Both are kept in a data set's folder, so that they are as old as its files, whichever rows name it.
"""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from numpy.lib import format as npy

from service.domain.dataset_manifest import ContentDigest, Manifest
from service.domain.errors import StoreBroken
from service.store.dataset_marks import DAMAGED, LAYOUT
from service.store.durable_files import write_atomic

VERIFIED = ".verified"
"""The file that says when the digest was right; backups leave it out."""
PIECE_BYTES = 1024**2
PAUSE_NOT: Callable[[], None] = lambda: None  # noqa: E731


def is_due(folder: Path, every: timedelta) -> bool:
    """Return whether a digest has not been right for so long that it is to be computed again.

    A time in the future says that the clock was wrong then or is now, and does not count.
    """
    try:
        at = datetime.fromisoformat(json.loads((folder / VERIFIED).read_bytes())["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return True
    return not timedelta(0) <= datetime.now(UTC) - at < every


def note_verified(folder: Path) -> None:
    """Remember that the digest is right now.

    Raises:
        StoreBroken: it can't be written.

    """
    record = json.dumps({"at": datetime.now(UTC).isoformat()}).encode()
    write_atomic(folder / VERIFIED, record)


def forget_verified(folder: Path) -> None:
    """Let the digest be computed again soon; what can't be forgotten is, after a week."""
    with contextlib.suppress(OSError):
        (folder / VERIFIED).unlink(missing_ok=True)


def mark_damaged(folder: Path) -> None:
    """Remember that the files are damaged, for all processes that would open them.

    Raises:
        StoreBroken: it can't be written.

    """
    write_atomic(folder / DAMAGED, b"{}")


def is_intact(folder: Path, manifest: Manifest, pause: Callable[[], None] = PAUSE_NOT) -> bool:
    """Return whether the files of a data set have its digest; missing ones do not.

    Nothing is mapped into memory: a disk that can't be read would end the process.

    Args:
        folder: of the files.
        manifest: with the digest.
        pause: called after each MiB.

    Raises:
        OSError: a file can't be read.

    """
    digest = ContentDigest(manifest.shape, manifest.classes, manifest.rows)
    for split in ("train", "validation", "test"):
        rows = manifest.rows.get(split)
        for name, shape in (("images", (rows, manifest.n_in)), ("labels", (rows,))):
            if rows is None:
                continue
            try:
                for piece in _content(folder / f"{split}.{name}.npy", shape):
                    digest.update(piece)
                    pause()
            except (FileNotFoundError, ValueError):
                return False
    return digest.hexdigest() == manifest.sha256


def _content(path: Path, shape: tuple[int | None, ...]) -> Iterator[bytes]:
    """Yield the bytes of an array, piece by piece.

    Raises:
        ValueError: it has another shape or type, or is no array.

    """
    with path.open("rb") as file:
        if _shape(file) != shape:
            raise ValueError(f"{path.name} has another shape than {shape}")
        while piece := file.read(PIECE_BYTES):
            yield piece


def _shape(file: BinaryIO) -> tuple[int, ...]:
    """Read the header of an array of bytes in C order, and return its shape."""
    if npy.read_magic(file) != (1, 0):
        raise ValueError("it is of another version")
    shape, is_fortran, dtype = npy.read_array_header_1_0(file)
    if is_fortran or dtype != "uint8":
        raise ValueError("it is of another type")
    return tuple(shape)


def restore_shipped(folder: Path) -> None:
    """Delete damaged files of a data set that is part of the service; it is unpacked again.

    Its data layouts, which may have been made of damaged arrays, are made again, too.

    Raises:
        StoreBroken: they can't be deleted.

    """
    try:
        for path in folder.glob(f"{LAYOUT}*"):
            shutil.rmtree(path, ignore_errors=True)
        for path in folder.glob("*.npy"):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
    except OSError as exc:
        raise StoreBroken(f"can't delete damaged files of {folder.name}: {exc}") from exc
