"""One process that checks one data set: `python -P -m service.work.checker DS --attempt N`.

It reads the files that a client has sent, which may be hostile, so it is a process of its own with
little memory and time. There is one way to stop it: being killed, at any line. A check that was
lost is done again from its beginning, with the same result.
"""

import contextlib
import errno
import json
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from service.domain.dataset_manifest import Manifest
from service.domain.dataset_quota import DatasetQuota
from service.domain.dataset_state import DatasetState
from service.domain.errors import Replaced, StoreBroken
from service.ingest import collected
from service.ingest.check import WRITING, Checked, Failed, check, check_derived
from service.ingest.derivation import Derivation
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.refusal import Flaw
from service.ingest.source import UploadedFile
from service.store.artifacts import shared_folders
from service.store.check_attempts import CheckAttempt, CheckTask
from service.store.dataset_files import DatasetFiles, dataset_files_of
from service.store.sql.driver import DriverConnector
from service.store.sql.engine import engine_of
from service.store.uploads import KIND as UPLOADS
from service.store.uploads import Uploads
from service.work.attempt_process import run_attempt
from service.work.check_limits import MEMORY_BYTES, PROCESSOR_SECONDS, OutOfTime, limit_check
from service.work.clock import Clock
from service.work.heartbeats import Waiting, no_heartbeats, waiting_for
from service.work.process_handle import ProcessHandle

HEARTBEAT_SECONDS = 0.5
WRITING_BEGINS, WRITING_ENDS = 0.6, 0.99
"""The parts of a check between which the arrays are written."""
ARRANGED_BYTES = 64 * 1024**2
"""Sets with fewer pixels are arranged for training by their check; the first job arranges larger
ones, because arranging takes three to five times their size of memory."""
OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE)
"""Errors for which the data set is not to blame, so that its check is tried again."""

logger = logging.getLogger("service.checker")


class Checker:
    """Checks one data set, and gives heartbeats meanwhile."""

    def __init__(
        self,
        attempt: CheckAttempt,
        files: DatasetFiles,
        clock: Clock = time,
        waiting: Waiting = no_heartbeats,
    ) -> None:
        self._attempt, self._files, self._clock = attempt, files, clock
        self._waiting = waiting
        self._next_heartbeat = 0.0

    def begin(self) -> CheckTask:
        """Take over the data set with a first heartbeat; return what is to be checked.

        Raises:
            Replaced: another attempt has the data set.
            StoreBroken: the database failed.

        """
        return self._attempt.begin(ProcessHandle.of(os.getpid()).as_record())

    def run(self, task: CheckTask) -> DatasetState:
        """Check the files to the end; return the state that the data set is left in.

        Raises:
            Replaced: another attempt has the data set; nothing more was changed.
            StoreBroken: the disk or the database failed; the next attempt may succeed.

        """
        try:
            return self._check(task)
        except (Replaced, StoreBroken):
            raise
        except Failed as exc:
            return self._fail(exc.flaws, exc.report)
        except OutOfTime:
            return self._fail([_too_long()])
        except MemoryError:
            return self._fail([_too_much_memory()])
        except OSError as exc:
            if exc.errno in OF_THE_MACHINE:
                raise StoreBroken(f"can't check a data set: {exc.strerror}") from exc
            return self._fail_unexpectedly(exc)
        except Exception as exc:
            return self._fail_unexpectedly(exc)

    def _check(self, task: CheckTask) -> DatasetState:
        with self._waiting(self._attempt.touch):
            self._attempt.fetch()
        if not all(file.path.exists() for file in task.files):
            raise Failed([_lost()], {})
        staged = self._attempt.stage()
        checked = self._checked(task, staged)
        self._attempt.heartbeat({"stage": "storing", "fraction": WRITING_ENDS})
        resolved = {**task.options, **checked.options}
        with self._waiting(self._attempt.touch):
            state = self._attempt.finish(staged, checked.manifest, checked.report, resolved)
        if state == DatasetState.READY:
            self._arrange(checked.manifest)
        return state

    def _checked(self, task: CheckTask, staged: Path) -> Checked:
        """Check what was sent or collected, or what is to be made of another data set.

        Raises:
            Failed: it can't become a data set.

        """
        files = [UploadedFile(file.path, file.name) for file in task.files]
        if derived := task.options.get("from"):
            derivation = Derivation.from_record(derived)
            # This unpacks the shipped one, and maps nothing of others, which may be too large.
            stored = self._files.held(derivation.manifest.sha256)
            return check_derived(derivation, stored, staged, Limits(), self._note_progress, files)
        options = IngestOptions.from_record(task.options)
        if task.is_collected:
            return check(files, options, staged, Limits(), self._note_progress, collected.read)
        return check(files, options, staged, Limits(), self._note_progress)

    def _arrange(self, manifest: Manifest) -> None:
        """Arrange a small set for training, so that its first job need not."""
        if manifest.n_in * sum(manifest.rows.values()) <= ARRANGED_BYTES:
            with contextlib.suppress(MemoryError):  # the set is whole without this
                self._files.data_layout(manifest.sha256)

    def _note_progress(self, stage: str, done: int, of: int | None) -> None:
        """Give a heartbeat if it is time."""
        if self._clock.monotonic() < self._next_heartbeat:
            return
        part = min(1.0, done / of) if of else 0.5
        is_writing = stage == WRITING
        begin, end = (WRITING_BEGINS, WRITING_ENDS) if is_writing else (0.0, WRITING_BEGINS)
        fraction = round(begin + part * (end - begin), 3)
        self._attempt.heartbeat({"stage": stage, "rows": done, "of": of, "fraction": fraction})
        self._next_heartbeat = self._clock.monotonic() + HEARTBEAT_SECONDS

    def _fail_unexpectedly(self, exc: Exception) -> DatasetState:
        logger.exception("the check failed")
        detail = f"The check met an unexpected error, {type(exc).__name__}: {exc}."
        return self._fail([Flaw("internal", detail, hint="Its log in `checks` says more.")])

    def _fail(
        self, flaws: Sequence[Flaw], report: Mapping[str, Any] = MappingProxyType({})
    ) -> DatasetState:
        errors = {"errors": [vars(flaw) for flaw in flaws]}
        self._attempt.fail(flaws[0].code, str(flaws[0]), {**errors, **report})
        return DatasetState.FAILED


def _lost() -> Flaw:
    detail = "The files that were sent are missing where all machines find them, or damaged there."
    return Flaw("upload_lost", detail, hint="Send them again.")


def _too_long() -> Flaw:
    detail = f"The check took more than {PROCESSOR_SECONDS} seconds of processor time."
    return Flaw("too_large", detail, hint="Send fewer or smaller images.")


def _too_much_memory() -> Flaw:
    detail = f"The check needs more than {MEMORY_BYTES // 1024**2} MiB of memory."
    hint = "Send fewer images, or pictures in a zip instead of one large array."
    return Flaw("too_large", detail, hint=hint)


def check_attempt(dataset: str, number: int) -> DatasetState:
    """Check a data set as the process of one attempt."""
    limit_check()
    # The launcher passes these in the environment, where no `ps` shows them.
    database = DriverConnector(engine_of(os.environ["MLP_DATABASE_URL"]))
    url = os.environ.get("MLP_SHARED_URL")
    shared = shared_folders(url, UPLOADS)
    uploads = Uploads(Path(os.environ["MLP_UPLOADS_DIR"]), shared)
    files = dataset_files_of(os.environ)
    quota = DatasetQuota(**json.loads(os.environ.get("MLP_DATASET_QUOTA", "{}")))
    attempt = CheckAttempt(database, files, uploads, dataset, number, quota)
    checker = Checker(attempt, files, waiting=waiting_for(url))
    return checker.run(checker.begin())


if __name__ == "__main__":
    sys.exit(run_attempt(check_attempt, logger))
