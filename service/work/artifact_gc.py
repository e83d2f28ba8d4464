"""Garbage collection of artifacts: deletes files that no row names and none ever will."""

import time
from collections.abc import Callable

import structlog

from service.domain.errors import StoreBroken
from service.store.artifacts import Artifacts
from service.store.queue import Queue
from service.work.retention import Retention

ADVICE = (
    "The database does not know this job: the folder was copied here, the database was replaced, "
    "or an earlier version was killed while it deleted the job. Delete the folder if nobody needs "
    "it."
)

DELETE_SECONDS = 2.0

logger = structlog.get_logger(__name__)


class JobLeftovers:
    """The artifacts of jobs: implements `work_queue.Leftovers`."""

    def __init__(self, queue: Queue, artifacts: Artifacts, keep_jobs: int | None = None) -> None:
        """Create it.

        Args:
            queue: the rows that name artifacts.
            artifacts: the files.
            keep_jobs: how many finished jobs to keep, see `Queue.expendable`; None keeps all.

        """
        self._queue, self._artifacts = queue, artifacts
        self._retention = None if keep_jobs is None else Retention(queue, keep_jobs)

    def collect_all(self, goes_on: Callable[[], bool] = lambda: True) -> None:
        collect_all(self._queue, self._artifacts, goes_on)

    def sweep(self) -> None:
        if self._retention:
            self._retention.sweep()
        delete_folders(self._queue, self._artifacts)

    def collect(self, job: str) -> None:
        collect(self._queue, self._artifacts, job, delete_if_unknown=True)


def delete_folders(queue: Queue, artifacts: Artifacts) -> None:
    """Delete the artifacts of jobs that have been deleted, by this process or another one.

    If the files are far away, the rest is left to the next call, for a dispatcher has to go on.

    Raises:
        StoreBroken: the database can't be read or written.

    """
    gone, began = [], time.monotonic()
    for job in queue.deleted():
        artifacts.delete_folder(job)
        gone.append(job)
        if time.monotonic() - began > DELETE_SECONDS:
            break
    if gone:
        queue.forget(gone)


def collect_all(
    queue: Queue, artifacts: Artifacts, goes_on: Callable[[], bool] = lambda: True
) -> None:
    """Collect the garbage of every job that has a folder, or had one when it was deleted.

    Before each job, `goes_on` is asked whether to continue. If the store fails, the rest of the
    garbage is left until the next start of a dispatcher.
    """
    try:
        while queue.deleted():
            delete_folders(queue, artifacts)
        for job in artifacts.folders():
            if not goes_on():
                return
            collect(queue, artifacts, job, delete_if_unknown=False)
    except (StoreBroken, OSError) as exc:
        logger.error("store_broken", error=str(exc))


def collect(queue: Queue, artifacts: Artifacts, job: str, *, delete_if_unknown: bool) -> None:
    """Delete the artifacts of earlier attempts, or of an ended job, that no row names.

    Args:
        queue: the rows that name artifacts.
        artifacts: the files.
        job: the job to which the files belong.
        delete_if_unknown: whether to delete all files of a job that the database does not know.
            Only a caller that has seen the job in this database may ask for it: the files may
            belong to another database.

    """
    # Files are listed before the row is read, so a file that the row names later is not listed.
    keys = list(artifacts.keys(job))
    known = queue.named_artifacts(job)
    if known is None:
        if delete_if_unknown:
            artifacts.delete_folder(job)
        elif keys:  # a bucket may list folders for a while after their last object has gone
            logger.warning("artifacts_of_unknown_job", job=job, advice=ADVICE)
        return
    attempt, final, named = known
    for key in keys:
        is_of_earlier_attempt = int(key.split("/")[1]) < attempt
        if (is_of_earlier_attempt or final) and key not in named:
            artifacts.delete(key)
