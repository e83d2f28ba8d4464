"""Writes files and directories so that they survive a crash or a power cut."""

import contextlib
import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from service.domain.errors import StoreBroken, StoreFull


def store_error(what: str, exc: OSError) -> StoreBroken:
    """Return an error of the operating system as one of the store: it can't do `what`."""
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
        raise store_error(f"write {path.name}", exc) from exc


def create_once(path: Path, make: Callable[[], bytes]) -> None:
    """Create a file that only its owner may read, unless it exists.

    It is complete before it has its name, so the process may die at any point, and of several
    processes or threads one creates it for all.

    Raises:
        OSError: the file can't be written.
    """
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        temporary.touch(0o600, exist_ok=False)
        with temporary.open("wb") as file:
            file.write(make())
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """Sync a file's bytes, or a directory's entries, so that they survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Create `path` and its parents durably.

    A directory that exists may be new: the process that created it may have been killed before it
    synced the entry. Directories above it are older, because each is synced before the next one is
    created.
    """
    existed = path.is_dir()
    try:
        if not existed:
            make_directory(path.parent)
            path.mkdir(exist_ok=True)
        sync(path.parent)
    except OSError as exc:
        if existed and isinstance(exc, PermissionError):
            return  # the parent belongs to another user, so it is not new either
        raise store_error(f"create the directory {path.name}", exc) from exc
