"""The rows of `evaluation_tasks`: evaluations that are too large for one answer.

A row without a job is to be deleted with its files: the deletion of a job empties that column.
"""

import hashlib
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

from service.domain.job_state import FINAL, State
from service.store.checkpoints import CheckpointRef
from service.store.sql.transaction import Transaction
from service.store.sql.values import Row, now

EVALUATIONS = "evaluations"
"""What transactions serialize that decide by the rows of several evaluations, and what dispatchers
are notified of."""
COLUMNS = """
evaluation_tasks.number, evaluation_tasks.id, jobs.owner AS owner, evaluation_tasks.state,
evaluation_tasks.reason, evaluation_tasks.options, evaluation_tasks.rows_done,
evaluation_tasks.artifact, evaluation_tasks.size, evaluation_tasks.sha256,
evaluation_tasks.created_at, evaluation_tasks.finished_at
"""
OF_JOBS = "evaluation_tasks JOIN jobs ON jobs.number = evaluation_tasks.job"
LOCK_ATTEMPT = """
UPDATE evaluation_tasks SET heartbeat = heartbeat
WHERE id = :id AND attempt = :attempt AND state = 'running' AND job IS NOT NULL
RETURNING number, id, heartbeat, lost_workers, options
"""
UPDATE_ROW = "UPDATE evaluation_tasks SET {columns} WHERE number = :locked"


@dataclass(frozen=True)
class EvaluationQuestion:
    """Which network is asked about which images."""

    ref: str
    """The network, as an address names it."""
    checkpoint: CheckpointRef
    dataset: str
    """The name of the data set, which may be another one's by now."""
    dataset_ref: str | None
    """The data set, as an address names it; None for the one on which the network was trained."""
    dataset_sha256: str
    split: str
    normalize: str
    labels: list[int] | None
    """The network's label for each label of the data set; None if they are the same."""
    rows: int
    flops: float

    @property
    def key(self) -> str:
        """What tells the question from all others about a job."""
        decides = self.checkpoint.sha256, self.dataset_sha256, self.split, self.normalize
        return evaluation_key(*decides)

    def as_record(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        return cls(**record | {"checkpoint": CheckpointRef(**record["checkpoint"])})


@dataclass(frozen=True)
class EvaluationTask:
    """An evaluation that waits for a worker, has one, or is done."""

    id: str
    owner: str | None
    state: State
    reason: dict[str, str] | None
    question: EvaluationQuestion
    rows_done: int
    created_at: datetime
    finished_at: datetime | None


def evaluation_key(checkpoint_sha256: str, dataset_sha256: str, split: str, normalize: str) -> str:
    """Return what tells a question from all others about a job: 64 characters."""
    decides = "\n".join((checkpoint_sha256, dataset_sha256, split, normalize))
    return hashlib.sha256(decides.encode()).hexdigest()


def evaluation_task(row: Row) -> EvaluationTask:
    """Return the task in a row with the `COLUMNS`."""
    return EvaluationTask(
        id=row["id"],
        owner=row["owner"],
        state=State(row["state"]),
        reason=row["reason"],
        question=EvaluationQuestion.from_record(row["options"]),
        rows_done=row["rows_done"],
        created_at=row["created_at"],
        finished_at=row["finished_at"],
    )


def lock_evaluation(transaction: Transaction, id_: str, attempt: int) -> Row | None:
    """Lock a task's row until the transaction ends, if this attempt still works on it."""
    return transaction.row(LOCK_ATTEMPT, id=id_, attempt=attempt)


def update_evaluation(transaction: Transaction, row: Row, **values: Any) -> None:
    """Change a row that this transaction has locked."""
    columns = ", ".join(f"{name} = :{name}" for name in values)
    transaction.execute(UPDATE_ROW.format(columns=columns), locked=row["number"], **values)


def move_evaluation(transaction: Transaction, row: Row, to: State, **values: Any) -> None:
    """Move a row that this transaction has locked to the state `to`."""
    if to in FINAL:
        values |= {"finished_at": now()}
    update_evaluation(transaction, row, state=to, handle=None, **values)
