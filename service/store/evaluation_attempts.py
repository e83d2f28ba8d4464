"""Everything a worker writes about its one large evaluation: begin, heartbeat, finish, fail.

Every write is guarded by the attempt's number: a worker that has been replaced by another, or whose
evaluation has been deleted, gets `Replaced`, and has changed nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from service.domain.errors import Replaced
from service.domain.job_state import State
from service.store.artifacts import Artifacts
from service.store.evaluation_rows import (
    EvaluationQuestion,
    lock_evaluation,
    move_evaluation,
    update_evaluation,
)
from service.store.sql.connector import Connector
from service.store.sql.transaction import Transaction
from service.store.sql.values import Row

RESULT = "logits.safetensors"


class EvaluationAttempt:
    """One attempt at one large evaluation."""

    def __init__(self, connector: Connector, artifacts: Artifacts, task: str, number: int) -> None:
        """Create it; nothing happens before `begin`.

        Args:
            connector: the database.
            artifacts: where the result is to go.
            task: the id of the evaluation.
            number: of the attempt.

        """
        self._connector, self._artifacts = connector, artifacts
        self.task, self.number = task, number

    def begin(self, handle: dict[str, Any]) -> EvaluationQuestion:
        """Write the first heartbeat, with the handle by which the dispatcher finds this process.

        Raises:
            Replaced: another attempt has the evaluation, or it has been deleted.

        """
        with self._locked() as (transaction, row):
            update_evaluation(transaction, row, handle=handle, heartbeat=row["heartbeat"] + 1)
        return EvaluationQuestion.from_record(row["options"])

    def heartbeat(self, rows_done: int) -> None:
        """Record that the worker is alive, and how many images the network has read.

        Raises:
            Replaced: another attempt has the evaluation, or it has been deleted.

        """
        with self._locked() as (transaction, row):
            heartbeat = row["heartbeat"] + 1
            update_evaluation(transaction, row, rows_done=rows_done, heartbeat=heartbeat)

    def finish(self, rows: int, result: bytes) -> None:
        """Write the result durably, and make it count.

        Raises:
            Replaced: another attempt has the evaluation, or it has been deleted.
            StoreBroken: the database or the file can't be written.

        """
        with self._locked():
            pass  # a worker that has been replaced writes no file
        key = f"{self.task}/{self.number}/{RESULT}"
        sha256 = self._artifacts.put(key, result)
        done = {"rows_done": rows, "lost_workers": 0, "reason": None}
        file = {"artifact": key, "size": len(result), "sha256": sha256}
        with self._locked() as (transaction, row):
            move_evaluation(transaction, row, State.SUCCEEDED, **done, **file)

    def fail(self, code: str, message: str) -> None:
        """Record that there can be no such evaluation, and why.

        Raises:
            Replaced: another attempt has the evaluation, or it has been deleted.

        """
        with self._locked() as (transaction, row):
            reason = {"code": code, "message": message}
            move_evaluation(transaction, row, State.FAILED, reason=reason)

    @contextmanager
    def _locked(self) -> Iterator[tuple[Transaction, Row]]:
        """Lock the row for one transaction, if it is still this attempt's."""
        with self._connector.write() as transaction:
            row = lock_evaluation(transaction, self.task, self.number)
            if row is None:
                raise Replaced(self.task, self.number, "evaluation")
            yield transaction, row
