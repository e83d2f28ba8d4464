"""Folders in which a process builds something that gets its name later.

The process holds a lock of its folder, which ends with it. So a folder without one was left by a
process that was killed, even if several services use the same directory.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from service.store.durable_files import make_directory


@contextlib.contextmanager
def building(folder: Path) -> Iterator[None]:
    """Create a folder, and keep others from deleting it within.

    Raises:
        StoreBroken: it can't be written.
        OSError: it can't be locked.

    """
    unlocked = folder.with_name(f".{folder.name}")  # which `delete_abandoned` leaves alone
    make_directory(unlocked)
    lock = os.open(unlocked, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        unlocked.rename(folder)
        yield
    finally:
        os.close(lock)


def delete_abandoned(directory: Path) -> None:
    """Delete the folders of processes that have ended."""
    for folder in directory.glob("[!.]*"):
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:  # it has just been renamed or deleted
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:  # somebody builds in it
            continue
        finally:
            os.close(lock)
