"""One process that makes one evaluation: `python -P -m service.work.evaluator EV --attempt N`.

There is one way to stop it: being killed, at any line. An evaluation that was lost is made again
from its beginning, with the same bits.
"""

import logging
import os
import sys
from collections.abc import Callable

import numpy as np

from service.domain.cost import FLOAT_BYTES, data_bytes
from service.domain.errors import (
    Damaged,
    DatasetDamaged,
    DatasetGone,
    EvaluationTooLarge,
    JobNotFound,
    NetworkDiverged,
    Replaced,
    StartUnknown,
    StoreBroken,
)
from service.domain.job_state import State
from service.inference.evaluate import Evaluation, evaluate
from service.inference.loaded_model import LoadedModel
from service.inference.model_cache import ModelCache
from service.inference.stored_rows import stored_rows
from service.store.artifacts import artifacts_at
from service.store.checkpoints import CheckpointStore
from service.store.damaged_datasets import CODE as FILES_DAMAGED
from service.store.damaged_datasets import DamagedDatasets
from service.store.dataset_files import DatasetFiles, dataset_files_of
from service.store.evaluation_attempts import EvaluationAttempt
from service.store.evaluation_rows import EvaluationQuestion
from service.store.jobs import JobStore
from service.store.sql.driver import DriverConnector
from service.store.sql.engine import engine_of
from service.work.attempt_process import run_attempt
from service.work.heartbeats import heartbeats
from service.work.process_handle import ProcessHandle
from service.work.process_limits import limit_memory, lower_priority

HEARTBEAT_SECONDS = 0.5
REASONS: dict[type[Exception], str] = {
    FileNotFoundError: "network_gone",
    JobNotFound: "network_gone",
    StartUnknown: "network_gone",
    Damaged: "network_damaged",
    DatasetDamaged: FILES_DAMAGED,
    DatasetGone: "dataset_gone",
    NetworkDiverged: "diverged",
    EvaluationTooLarge: "too_large",
    MemoryError: "out_of_memory",
}
"""Why there can be no such evaluation, so that another attempt would be in vain."""

logger = logging.getLogger("service.evaluator")


class Evaluator:
    """Makes one evaluation, and gives heartbeats meanwhile."""

    def __init__(
        self,
        attempt: EvaluationAttempt,
        jobs: JobStore,
        models: ModelCache,
        files: DatasetFiles,
        seconds: float = HEARTBEAT_SECONDS,
        limit: Callable[[int, int], None] = lambda *_: None,
    ) -> None:
        """Create it.

        Args:
            attempt: what it writes to.
            jobs: where the job of the network is.
            models: reads the network.
            files: of the data set.
            seconds: between two heartbeats.
            limit: limits the memory of this process, see `limit_memory`; called once it is known
                what the evaluation needs.

        """
        self._attempt, self._jobs, self._models, self._files = attempt, jobs, models, files
        self._seconds, self._limit = seconds, limit
        self._rows_done = 0

    def begin(self) -> EvaluationQuestion:
        """Take over the evaluation with a first heartbeat; return what is asked.

        Raises:
            Replaced: another attempt has it, or it has been deleted.
            StoreBroken: the database failed.

        """
        return self._attempt.begin(ProcessHandle.of(os.getpid()).as_record())

    def run(self, question: EvaluationQuestion) -> State:
        """Make the evaluation; return the state that it is left in.

        Raises:
            Replaced: another attempt has it, or it has been deleted; nothing more was changed.
            StoreBroken: the disk or the database failed; the next attempt may succeed.

        """
        # Arranging, redrawing and reading the images take long in different places, so a thread
        # says that the process lives.
        try:
            with heartbeats(self._give_heartbeat, self._seconds):
                return self._make(question)
        except tuple(REASONS) as exc:
            code = next(code for kind, code in REASONS.items() if isinstance(exc, kind))
            return self._fail(code, _message(exc))
        except (Replaced, StoreBroken):
            raise
        except Exception as exc:
            logger.exception("the evaluation failed")
            return self._fail("internal", f"{type(exc).__name__}: {exc}")

    def _make(self, question: EvaluationQuestion) -> State:
        job = self._jobs.get(question.checkpoint.job)
        model = self._models.read(job, question.checkpoint)
        self._limit_memory(question, model)
        found = self._evaluated(question, model)
        self._attempt.finish(question.rows, found.encoded())
        return State.SUCCEEDED

    def _limit_memory(self, question: EvaluationQuestion, model: LoadedModel) -> None:
        numbers = 2 * question.rows * model.network.sizes[-1]
        data = data_bytes(self._files.manifest(question.dataset_sha256).sizes)
        self._limit(2 * model.nbytes + FLOAT_BYTES * numbers, data)

    def _evaluated(self, question: EvaluationQuestion, model: LoadedModel) -> Evaluation:
        about = question.dataset_sha256, question.split, question.normalize
        rows = stored_rows(self._files, *about)
        labels = None if question.labels is None else np.array(question.labels, np.uint8)
        return evaluate(model, rows, labels, self._note)

    def _note(self, rows_done: int) -> None:
        self._rows_done = rows_done

    def _give_heartbeat(self) -> None:
        self._attempt.heartbeat(self._rows_done)

    def _fail(self, code: str, message: str) -> State:
        self._attempt.fail(code, message)
        return State.FAILED


def _message(exc: Exception) -> str:
    """Return an error for clients, without the names of files of this machine."""
    if isinstance(exc, FileNotFoundError):
        return (
            "The network is not kept any more, because its job has trained on: queue the "
            "evaluation of a newer one."
        )
    return str(exc) or "The worker ran out of memory."


def evaluate_attempt(task: str, number: int) -> State:
    """Make an evaluation as the process of one attempt."""
    lower_priority()
    # The launcher passes these in the environment, where no `ps` shows them.
    database = DriverConnector(engine_of(os.environ["MLP_DATABASE_URL"]))
    jobs = JobStore(database)
    networks = CheckpointStore(artifacts_at(os.environ["MLP_ARTIFACTS_URL"]))
    results = artifacts_at(os.environ["MLP_RESULTS_URL"])
    damaged = DamagedDatasets(database)
    files = dataset_files_of(os.environ, damaged.confirm)
    attempt = EvaluationAttempt(database, results, task, number)
    evaluator = Evaluator(attempt, jobs, ModelCache(jobs, networks), files, limit=limit_memory)
    return evaluator.run(evaluator.begin())


if __name__ == "__main__":
    sys.exit(run_attempt(evaluate_attempt, logger))
