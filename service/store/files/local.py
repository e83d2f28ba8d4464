"""Files that are written once and never change: each is complete, or does not exist."""

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from service.domain.errors import Damaged, StoreBroken, StoreFull


def broken(what: str, exc: OSError) -> StoreBroken:
    """Return `exc` as a StoreBroken, or StoreFull if there is no space left to do `what`."""
    full = exc.errno in (errno.ENOSPC, errno.EDQUOT)
    return (StoreFull if full else StoreBroken)(f"can't {what}: {exc.strerror}")


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` so that after a crash or power cut `path` holds all of it or does not exist."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync(path.parent)
    except OSError as exc:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise broken(f"write {path.name}", exc) from exc


def sync(path: Path) -> None:
    """Sync a file's bytes, or a directory's entries, to the disk: they survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Create `path` and its parents durably: they survive a power cut.

    A directory that exists may be new: the process that created it may have been killed before it
    synced the entry. Its parents are older, because each is synced before the next is created.

    Raises:
        StoreBroken: a directory can't be created.

    """
    there = path.is_dir()
    try:
        if not there:
            make_directory(path.parent)
            path.mkdir(exist_ok=True)
        sync(path.parent)
    except OSError as exc:
        if there and isinstance(exc, PermissionError):
            return  # the parent belongs to someone else, so its entries are not new
        raise broken(f"make the directory {path.name}", exc) from exc


class Artifacts:
    """Immutable files by key in a directory. Keys are built from ids and numbers only."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def put(self, key: str, data: bytes) -> str:
        """Store `data` durably under `key`; return its SHA-256."""
        path = self._path(key)
        make_directory(path.parent)
        try:
            write_atomic(path, data)
        except StoreBroken:
            with contextlib.suppress(OSError):  # it may be there unsynced, and no row names it
                path.unlink(missing_ok=True)
            raise
        return hashlib.sha256(data).hexdigest()

    def get(self, key: str, size: int, sha256: str) -> bytes:
        """Return the bytes under `key`.

        Raises:
            FileNotFoundError: there is no such artifact.
            Damaged: the bytes are not those that were stored.
            StoreBroken: they can't be read at the moment.

        """
        try:
            data = self._path(key).read_bytes()
        except FileNotFoundError:
            raise
        except OSError as exc:
            raise broken(f"read the file {key}", exc) from exc
        if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
            raise Damaged(f"the file {key} is damaged: its SHA-256 is not the recorded one")
        return data

    def delete(self, key: str) -> None:
        """Remove the bytes under `key`, if there are any."""
        try:
            self._path(key).unlink(missing_ok=True)
        except OSError as exc:
            raise broken(f"delete the file {key}", exc) from exc

    def folders(self) -> list[str]:
        """Return the ids of jobs that have artifacts."""
        return sorted(path.name for path in self._root.glob("job_*"))

    def keys(self, job: str) -> Iterator[str]:
        """Yield the keys of a job's artifacts, unfinished writes included."""
        try:
            paths = sorted((self._root / job).glob("*/*"))
        except FileNotFoundError:
            return  # the job is being deleted
        for path in paths:
            if path.parent.name.isdigit():  # an attempt; other folders hold no artifacts
                yield str(path.relative_to(self._root))

    def delete_folder(self, job: str) -> None:
        """Remove all artifacts of a job."""
        shutil.rmtree(self._root / job, ignore_errors=True)

    def _path(self, key: str) -> Path:
        path = self._root / key
        if not path.resolve().is_relative_to(self._root):
            raise ValueError(f"the key {key!r} leads outside")
        return path
