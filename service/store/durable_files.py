"""Writes files and directories so that they survive a crash or a power cut."""

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np

from service.domain.errors import StoreBroken, StoreFull

READ_ONLY = 0o444


def store_error(what: str, exc: OSError) -> StoreBroken:
    """Return an error of the operating system as one of the store: it can't do `what`."""
    full = exc.errno in (errno.ENOSPC, errno.EDQUOT)
    return (StoreFull if full else StoreBroken)(f"can't {what}: {exc.strerror}")


def temporary_beside(path: Path) -> Path:
    """Return a new name for a file while it is written, which no other thread or host has."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def write_atomic(path: Path, data: bytes, mode: int | None = None) -> None:
    """Write `data` so that after a crash or power cut `path` holds all of it or does not exist.

    `mode` is that of the new file, if it is not to be the usual one.
    """
    _write_atomic(path, lambda file: file.write(data), mode)


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an array as an `.npy` file that nobody is to change, without a copy in memory.

    After a crash or power cut `path` holds all of it or does not exist.
    """
    _write_atomic(path, lambda file: np.save(file, array, allow_pickle=False), READ_ONLY)


def _write_atomic(path: Path, write: Callable[[IO[bytes]], object], mode: int | None) -> None:
    temporary = temporary_beside(path)
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), mode)
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
    temporary = temporary_beside(path)
    try:
        temporary.touch(0o600, exist_ok=False)
        with temporary.open("wb") as file:
            file.write(make())
            file.flush()
            os.fsync(file.fileno())
        _name_once(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def _name_once(temporary: Path, path: Path) -> None:
    """Give a file its name, unless another process was faster and `path` exists.

    A hard link never replaces a file. Some file systems have no hard links, such as FAT and many
    shared folders of virtual machines. There, the file is renamed, and a lock on the directory
    keeps others from renaming theirs at the same time; it ends with the process, however that ends.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    except OSError:
        with _locked(path.parent):
            if not path.exists():
                temporary.replace(path)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


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


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder and hold its lock: only one process writes there at a time."""
    make_directory(folder)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
