"""Deletes what is left of large evaluations: files of earlier attempts, and of deleted ones.

The rows say what that is, so a process may die at any line.
"""

from collections.abc import Callable

import structlog

from service.domain.errors import StoreBroken
from service.store.artifacts import Artifacts
from service.store.evaluation_queue import EvaluationQueue
from service.work.process_handle import ProcessHandle

logger = structlog.get_logger(__name__)


class EvaluationLeftovers:
    """The files of large evaluations: implements `work_queue.Leftovers`."""

    def __init__(self, queue: EvaluationQueue, results: Artifacts) -> None:
        self._queue, self._results = queue, results

    def collect_all(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        try:
            self.sweep()
        except (StoreBroken, OSError) as exc:
            logger.error("store_broken", error=str(exc))

    def sweep(self) -> None:
        for found in self._queue.deleted():
            # A worker that still runs could write a file into the folder; it is killed soon.
            handle = ProcessHandle.from_record(found.handle)
            if handle and handle.is_here() and handle.is_alive():
                continue
            self._results.delete_folder(found.id)
            self._queue.forget(found.id)

    def collect(self, job: str) -> None:
        # Files are listed before the row is read, so a file that it names later is not listed.
        keys = list(self._results.keys(job))
        known = self._queue.named(job)
        if known is None:
            # The sweep deletes its folder, or another host's did, before the worker here had ended.
            self._results.delete_folder(job)
            return
        attempt, has_ended, named = known
        for key in keys:
            is_of_earlier_attempt = int(key.split("/")[1]) < attempt
            if (is_of_earlier_attempt or has_ended) and key != named:
                self._results.delete(key)
