"""Large evaluations as clients use them: queue, read, list, delete, and read what came of them."""

from collections.abc import Callable

from service.domain.errors import (
    Damaged,
    EvaluationNotFound,
    JobNotFound,
    TooManyEvaluations,
)
from service.domain.job_state import FINAL, State
from service.store.artifacts import Artifacts
from service.store.evaluation_rows import (
    COLUMNS,
    EVALUATIONS,
    OF_JOBS,
    EvaluationQuestion,
    EvaluationTask,
    evaluation_task,
    update_evaluation,
)
from service.store.ids import uuid7
from service.store.sql.connector import Connector
from service.store.sql.transaction import Transaction
from service.store.sql.values import Row, now
from service.store.transitions import states

MOST_OF_OWNER = 20
"""Most evaluations of an owner; each has up to 160 MB. A new one takes the place of the oldest that
has ended."""

# `{own}` is the place where a statement is narrowed to the jobs of one owner.
OWN = " AND jobs.owner = :owner"
LOCK_JOB = "SELECT number, owner FROM jobs WHERE id = :job{own}"
INSERT = """
INSERT INTO evaluation_tasks (id, job, key, state, attempt, lost_workers, heartbeat, options,
    rows_done, created_at)
VALUES (:id, :job, :key, 'queued', 0, 0, 0, :options, 0, :created_at)
"""
FIND_KEY = f"""
SELECT {COLUMNS} FROM {OF_JOBS} WHERE jobs.id = :job AND evaluation_tasks.key = :key
"""  # noqa: S608  names of our own
FIND = f"SELECT {COLUMNS} FROM {OF_JOBS} WHERE evaluation_tasks.id = :id{{own}}"  # noqa: S608
LIST = f"""
SELECT {COLUMNS} FROM {OF_JOBS} WHERE evaluation_tasks.number > 0{{own}}
ORDER BY evaluation_tasks.number DESC LIMIT 100
"""  # noqa: S608
OTHERS = f"""
SELECT evaluation_tasks.number, evaluation_tasks.state IN ({states(FINAL)}) AS ended
FROM {OF_JOBS} WHERE coalesce(jobs.owner, '') = :owner ORDER BY evaluation_tasks.number
"""  # noqa: S608
AGAIN = {
    "state": State.QUEUED,
    "reason": None,
    "lost_workers": 0,
    "rows_done": 0,
    "artifact": None,
    "finished_at": None,
}


class EvaluationTasks:
    """The large evaluations that a client sees: all, or those of one owner's jobs."""

    def __init__(
        self,
        connector: Connector,
        artifacts: Artifacts,
        wake: Callable[[], None],
        owner: str | None = None,
        *,
        everything: bool = True,
    ) -> None:
        """Create it.

        Args:
            connector: the database.
            artifacts: the files with what networks have said.
            wake: wakes the dispatcher of evaluations.
            owner: whose jobs may be seen.
            everything: whether those of all others may be seen, too.

        """
        self._connector, self._artifacts, self._wake = connector, artifacts, wake
        self._owner, self._everything = owner or "", everything

    def seen_by(self, owner: str | None, *, everything: bool) -> "EvaluationTasks":
        """Return the view of `owner`."""
        arguments = self._connector, self._artifacts, self._wake, owner
        return EvaluationTasks(*arguments, everything=everything)

    def submit(
        self, question: EvaluationQuestion, check: Callable[[], object] = lambda: None
    ) -> EvaluationTask:
        """Queue an evaluation, or return the one with this question.

        That is queued again if it has failed, or if the file with its result is lost.

        Args:
            question: what is asked.
            check: called before an evaluation is queued, for the first time or again; what it
                raises keeps it from that.

        Raises:
            JobNotFound: the job of the network has been deleted.
            TooManyEvaluations: too many others wait.

        """
        job, key = question.checkpoint.job, question.key
        lost, is_needed = self._look(job, key)
        if is_needed:
            check()
        with self._connector.write(EVALUATIONS) as transaction:
            known = transaction.row(FIND_KEY, job=job, key=key)
            if known is None:
                self._insert(transaction, question)
            # A worker may have finished it since the file was looked for.
            elif known["state"] == State.FAILED or (lost and known["artifact"] == lost):
                options = question.as_record()
                update_evaluation(transaction, known, options=options, **AGAIN)
            found = transaction.row(FIND_KEY, job=job, key=key)
            transaction.notify(EVALUATIONS)
        self._wake()
        return evaluation_task(found or {})

    def _insert(self, transaction: Transaction, question: EvaluationQuestion) -> None:
        job = question.checkpoint.job
        row = transaction.row(self._narrowed(LOCK_JOB), job=job, owner=self._owner)
        if row is None:
            raise JobNotFound(job)
        _make_room(transaction, row["owner"] or "")
        transaction.execute(
            INSERT,
            id=f"ev_{uuid7().hex}",
            job=row["number"],
            key=question.key,
            options=question.as_record(),
            created_at=now(),
        )

    def get(self, id_: str) -> EvaluationTask:
        """Return an evaluation.

        Raises:
            EvaluationNotFound: there is none of this id.

        """
        with self._connector.read() as transaction:
            return evaluation_task(self._found(transaction, id_))

    def tasks(self) -> list[EvaluationTask]:
        """Return the newest evaluations, the newest first."""
        with self._connector.read() as transaction:
            rows = transaction.rows(self._narrowed(LIST), owner=self._owner)
        return [evaluation_task(row) for row in rows]

    def delete(self, id_: str) -> None:
        """Delete an evaluation in whatever state; the dispatcher deletes its files.

        Raises:
            EvaluationNotFound: there is none of this id.

        """
        with self._connector.write(EVALUATIONS) as transaction:
            update_evaluation(transaction, self._found(transaction, id_), job=None)
        self._wake()

    def result(self, job: str, key: str) -> bytes | None:
        """Return what a network said about some images, as its worker has written it.

        Who may ask is decided by who may see the network. None means that there is no such
        evaluation, that it is not done, or that its file is lost.
        """
        with self._connector.read() as transaction:
            row = transaction.row(FIND_KEY, job=job, key=key)
        return None if row is None or row["state"] != State.SUCCEEDED else self._content(row)

    def _look(self, job: str, key: str) -> tuple[str | None, bool]:
        """Return the file with a result, if it is lost or damaged, and whether to queue."""
        with self._connector.read() as transaction:
            row = transaction.row(FIND_KEY, job=job, key=key)
        if row is None or row["state"] == State.FAILED:
            return None, True
        if row["state"] != State.SUCCEEDED or self._content(row) is not None:
            return None, False
        return str(row["artifact"]), True

    def _content(self, row: Row) -> bytes | None:
        try:
            return self._artifacts.get(row["artifact"], row["size"], row["sha256"])
        except (FileNotFoundError, Damaged):
            return None

    def _found(self, transaction: Transaction, id_: str) -> Row:
        row = transaction.row(self._narrowed(FIND), id=id_, owner=self._owner)
        if row is None:
            raise EvaluationNotFound(id_)
        return row

    def _narrowed(self, statement: str) -> str:
        return statement.replace("{own}", "" if self._everything else OWN)


def _make_room(transaction: Transaction, owner: str) -> None:
    """Let the oldest evaluations of an owner go that have ended, so that there is room for one.

    Raises:
        TooManyEvaluations: there are as many that have not ended.

    """
    others = transaction.rows(OTHERS, owner=owner)
    surplus = len(others) - MOST_OF_OWNER + 1
    ended = [row for row in others if row["ended"]]
    if surplus > len(ended):
        raise TooManyEvaluations(MOST_OF_OWNER)
    for row in ended[: max(surplus, 0)]:
        update_evaluation(transaction, row, job=None)
