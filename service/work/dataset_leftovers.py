"""Deletes what is left of data sets: what was sent, what attempts have built, and their files.

The rows say what that is, so a process may die at any line, and nothing of another database that
uses the same directory is deleted.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import structlog

from service.domain.errors import StoreBroken
from service.store.dataset_files import DatasetFiles
from service.store.dataset_queue import DatasetQueue
from service.store.uploads import Uploads

logger = structlog.get_logger(__name__)


class DatasetLeftovers:
    """The files of data sets: implements `work_queue.Leftovers`."""

    def __init__(
        self, queue: DatasetQueue, files: DatasetFiles, uploads: Uploads, logs: Path
    ) -> None:
        """Create it.

        Args:
            queue: says what is left.
            files: of data sets that were ready, and what attempts have built.
            uploads: what was sent.
            logs: where each data set has a folder with the log of its checkers.

        """
        self._queue, self._files, self._uploads, self._logs = queue, files, uploads, logs

    def collect_all(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        try:
            self._files.purge()
            self.sweep()
        except (StoreBroken, OSError) as exc:
            logger.error("store_broken", error=str(exc))

    def sweep(self) -> None:
        self._queue.interrupt_lost()
        ids, digests = self._queue.leftovers()
        for id_ in ids:
            self._delete_upload(id_)
        for sha256 in digests:
            self._queue.forget_files(sha256, self._files.withdraw)
        if digests:
            self._files.purge()

    def collect(self, job: str) -> None:
        current = self._queue.attempt_of(job)
        for attempt, folder in self._files.staged(job).items():
            if attempt != current:
                shutil.rmtree(folder, ignore_errors=True)

    def _delete_upload(self, id_: str) -> None:
        """Delete what was sent and built, and forget it once it is gone: a checker may write on.

        The log stays as long as the data set, to explain why it has failed.
        """
        self.collect(id_)
        if self._queue.state_of(id_) is None:
            shutil.rmtree(self._logs / id_, ignore_errors=True)
        if self._uploads.delete(id_) and not self._files.staged(id_):
            self._queue.forget(id_)
