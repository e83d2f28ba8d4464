"""A host's own copies of the data sets that all hosts share; those used least recently go first."""

import contextlib
import fcntl
import logging
import os
import shutil
import time
import uuid
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from service.domain.errors import StoreBroken
from service.store.durable_files import sync
from service.store.mapped_dataset import MANIFEST_FILE

if TYPE_CHECKING:
    from service.store.files.shared_folders import SharedFolders

logger = logging.getLogger(__name__)

NAMES = "sha256-*"
DELETED = ".deleted-"
"""The beginning of the names of folders that no longer count and are being deleted."""
MOST_BYTES = 10 * 1024**3
HOLD_SECONDS = 600.0
"""A server that has not used a copy for so long lets it go."""


class DatasetCopies:
    """The folders of data sets in one directory, of which all hosts find the originals elsewhere.

    Whoever uses a copy holds a shared lock of its folder, which ends with the process; a copy is
    deleted only under an exclusive one. The time of a folder says when it was used last.
    """

    def __init__(
        self, directory: Path, shared: "SharedFolders", stay: Collection[str], most_bytes: int
    ) -> None:
        """Create it.

        Args:
            directory: of the folders.
            shared: where all hosts find them.
            stay: the names of folders that are no copies.
            most_bytes: how much the folders may take; those that are used may take more.

        """
        self._directory, self._shared, self._stay = directory, shared, stay
        self._most = most_bytes
        self._held: dict[str, tuple[int, float]] = {}
        """The locks of this process, and when it used each copy last."""

    def hold(self, folder: Path) -> bool:
        """Keep a copy from being deleted while this process uses it; return whether it is there."""
        now = time.monotonic()
        try:
            if folder.name in self._held and _is_at(self._held[folder.name][0], folder):
                os.utime(folder)
                self._held[folder.name] = self._held[folder.name][0], now
                return True
            self._release(folder.name)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return False
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # whoever deletes it is done in a moment
        self._held[folder.name] = descriptor, now
        if not _is_at(descriptor, folder):
            self._release(folder.name)
            return False
        with contextlib.suppress(OSError):
            os.utime(folder)
        for name in [name for name, (_, at) in self._held.items() if now - at > HOLD_SECONDS]:
            self._release(name)
        return True

    def make_room(self, keeping: Path) -> None:
        """Delete what was used least recently if there is too much, but not the folder `keeping`.

        Whatever can't be deleted stays: nobody needs the room more than what is running.
        """
        found = []
        for folder in self._directory.glob(NAMES):
            if folder.name not in self._stay:
                with contextlib.suppress(OSError):  # another process deletes it
                    found.append((folder.stat().st_mtime, _size(folder), folder))
        taken = sum(size for _, size, _ in found)
        for _, size, folder in sorted(found):
            if taken <= self._most:
                return
            if folder != keeping and self._delete(folder):
                taken -= size

    def _delete(self, folder: Path) -> bool:
        """Delete a copy that nobody uses, if the original is there; return whether it is gone."""
        try:
            if not self._shared.holds(folder.name, MANIFEST_FILE):
                return False
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                hidden = self._directory / f"{DELETED}{uuid.uuid4().hex}"
                folder.rename(hidden)
            finally:
                os.close(descriptor)
            sync(self._directory)
        except (OSError, StoreBroken):
            return False
        shutil.rmtree(hidden, ignore_errors=True)
        logger.info("the copy of the data set %s has made room for another one", folder.name)
        return True

    def _release(self, name: str) -> None:
        if held := self._held.pop(name, None):
            os.close(held[0])


def _is_at(descriptor: int, folder: Path) -> bool:
    """Return whether an open folder still has its name."""
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except OSError:
        return False


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
