"""Looks once a week whether the files of each data set still have its digest, little by little.

One thread of the lowest priority reads them, a MiB at a time with a pause after each, so that a
data set of 1 GiB takes about a minute, and its data layout another one and a half; neither requests
nor workers wait for it.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import structlog

from service.domain.dataset_manifest import Manifest
from service.domain.errors import StoreBroken
from service.store.damaged_datasets import DamagedDatasets
from service.store.data_layouts import drop_damaged
from service.store.dataset_digests import (
    is_due,
    is_intact,
    note_verified,
    restore_shipped,
)
from service.store.dataset_files import SHIPPED, DatasetFiles
from service.store.mapped_dataset import MANIFEST_FILE

EVERY = timedelta(days=7)
LOOK_SECONDS = 60.0
"""How often it looks for a data set that is due; a new one is read for the first time then."""
PAUSE_SECONDS = 0.05
"""The time between two MiB."""
LOWEST = 19

logger = structlog.get_logger(__name__)


class Verification:
    """Verifies the digests of all data sets, one after the other."""

    def __init__(
        self,
        files: DatasetFiles,
        rows: DamagedDatasets,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Create it; nothing happens before `start` or `step`.

        Args:
            files: of the data sets.
            rows: which of them there are.
            sleep: `time.sleep`, or a test's replacement for it.

        """
        self._files, self._rows, self._sleep = files, rows, sleep
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to verify in a thread of its own."""
        self._thread = threading.Thread(target=self._loop, name="verification", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; the data set under way is begun again by the next server."""
        self._stopping.set()

    def join(self) -> None:
        """Wait until the thread has ended."""
        if self._thread is not None:
            self._thread.join()

    def _loop(self) -> None:
        with contextlib.suppress(OSError):  # without it, the pauses alone must do
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST)
        while not self._stopping.wait(LOOK_SECONDS):
            try:
                self.step()
            except _Stopped:
                return
            except Exception as exc:  # try again, also if the disk or the database fails
                logger.error("verification_failed", error=repr(exc))

    def step(self) -> None:
        """Verify all data sets that are due.

        One whose result can't be remembered, or that can't be read, is tried again by the next
        step, and does not keep the others from being verified.

        Raises:
            StoreBroken: the database can't be read.

        """
        for manifest in [*SHIPPED.values(), *self._rows.stored()]:
            if not self._is_due(manifest.sha256):
                continue
            try:
                self._verify(manifest)
            except (StoreBroken, OSError) as exc:
                logger.error("dataset_not_verified", sha256=manifest.sha256, error=str(exc))

    def _is_due(self, sha256: str) -> bool:
        folder = self._files.folder(sha256)
        may_come = sha256 in SHIPPED or self._files.are_copies
        if may_come and not (folder / MANIFEST_FILE).exists():
            return False  # nothing has needed it yet, or it is being unpacked or fetched
        return is_due(folder, EVERY)

    def _verify(self, manifest: Manifest) -> None:
        sha256, folder = manifest.sha256, self._files.folder(manifest.sha256)
        seen = _identity(folder)
        # What is found once may be a fault of the memory; the second look decides.
        if self._is_sound(folder, manifest) or self._is_sound(folder, manifest):
            for layout in drop_damaged(folder, self._pause):
                logger.error("data_layout_damaged", sha256=sha256, layout=layout)
            note_verified(folder)
        elif sha256 in SHIPPED:
            restore_shipped(folder)
            self._files.forget(sha256)
            self._files.open(sha256)
            logger.error("dataset_restored", sha256=sha256)
        elif self._files.are_copies:
            self._files.delete(sha256)  # whoever needs it fetches it again
            logger.error("dataset_copy_damaged", sha256=sha256)
        else:
            # A check may have put another folder there meanwhile, which the next step verifies.
            names = self._rows.fail(sha256, folder, lambda: _identity(folder) == seen)
            self._files.forget(sha256)
            if names:
                logger.error("dataset_damaged", sha256=sha256, datasets=names)

    def _is_sound(self, folder: Path, manifest: Manifest) -> bool:
        if manifest.sha256 not in SHIPPED and not self._files.is_whole(manifest.sha256):
            return False
        return is_intact(folder, manifest, self._pause)

    def _pause(self) -> None:
        if self._stopping.is_set():
            raise _Stopped
        self._sleep(PAUSE_SECONDS)


def _identity(folder: Path) -> int | None:
    """Return what tells a folder from another one that takes its name."""
    with contextlib.suppress(FileNotFoundError):
        return folder.stat().st_ino
    return None


class _Stopped(Exception):
    """The server stops."""
