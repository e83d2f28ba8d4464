"""Large evaluations as a dispatcher uses them: claim the next one, watch those with a worker."""

from dataclasses import dataclass
from typing import Any

from service.domain.job_state import FINAL, State
from service.store.evaluation_rows import EVALUATIONS, lock_evaluation, move_evaluation
from service.store.queue import Lost
from service.store.sql.transaction import Transaction
from service.store.sql.values import Row
from service.store.transitions import states
from service.store.turns import TurnQueue

# `{waiting}` is the place where evaluations that wait to be tried again are excluded.
OLDEST_OF_OWNERS = """
SELECT (SELECT jobs.owner FROM jobs WHERE jobs.number = evaluation_tasks.job) AS owner,
    min(number) AS number
FROM evaluation_tasks WHERE state = 'queued' AND job IS NOT NULL{waiting}
GROUP BY owner ORDER BY number
"""
CLAIM = """
UPDATE evaluation_tasks SET state = 'running', attempt = attempt + 1, heartbeat = 0, handle = NULL,
    host = :host, rows_done = 0
WHERE number = :number AND state = 'queued' RETURNING id, attempt
"""
ACTIVE = """
SELECT id AS job, attempt, heartbeat, handle FROM evaluation_tasks
WHERE state = 'running' AND job IS NOT NULL{host} ORDER BY number
"""
# A worker that has just been started writes its handle first, and only then anything else.
DELETED = """
SELECT id, handle FROM evaluation_tasks WHERE job IS NULL ORDER BY number LIMIT 100
"""
FORGET = "DELETE FROM evaluation_tasks WHERE id = :id AND job IS NULL"
NAMED = "SELECT attempt, state, artifact FROM evaluation_tasks WHERE id = :id AND job IS NOT NULL"
COUNT_UNFINISHED = """
SELECT state, count(*) AS tasks FROM evaluation_tasks
WHERE state IN ('queued', 'running') AND job IS NOT NULL GROUP BY state
"""
QUEUE_ALL = f"""
UPDATE evaluation_tasks SET state = 'queued', handle = NULL, artifact = NULL, rows_done = 0,
    finished_at = NULL WHERE state NOT IN ({states([State.FAILED])})
"""  # noqa: S608  names of our own


@dataclass(frozen=True)
class Deleted:
    """A deleted evaluation whose files may still be there."""

    id: str
    handle: dict[str, Any] | None
    """The handle of the worker that it had when it was deleted."""


class EvaluationQueue(TurnQueue):
    """The large evaluations that wait for a worker or have one; owners are those of networks."""

    kind, oldest, taken, working = EVALUATIONS, OLDEST_OF_OWNERS, CLAIM, ACTIVE

    def _lock(self, transaction: Transaction, id_: str, attempt: int) -> Row | None:
        return lock_evaluation(transaction, id_, attempt)

    def _give_back(
        self, transaction: Transaction, row: Row, lost: Lost, reason: dict[str, str]
    ) -> None:
        count = lost.lost_workers
        move_evaluation(transaction, row, lost.state, lost_workers=count, reason=reason)

    def deleted(self) -> list[Deleted]:
        """Return deleted evaluations whose files may still be there: at most a hundred."""
        with self._connector.read() as transaction:
            return [Deleted(**row) for row in transaction.rows(DELETED)]

    def forget(self, id_: str) -> None:
        """Forget a deleted evaluation, because its files are gone."""
        with self._connector.write() as transaction:
            transaction.execute(FORGET, id=id_)

    def named(self, id_: str) -> tuple[int, bool, str | None] | None:
        """Return (attempt, ended or not, key of the file that counts); None if it is deleted."""
        with self._connector.read() as transaction:
            row = transaction.row(NAMED, id=id_)
        return (row["attempt"], State(row["state"]) in FINAL, row["artifact"]) if row else None

    def state_of(self, id_: str) -> State | None:
        """Return the state of an evaluation; None if it has been deleted."""
        with self._connector.read() as transaction:
            row = transaction.row(NAMED, id=id_)
        return State(row["state"]) if row else None

    def unfinished(self) -> dict[State, int]:
        """Return how many evaluations of all owners wait, and how many have a worker."""
        with self._connector.read() as transaction:
            found = transaction.rows(COUNT_UNFINISHED)
        counted = {State(row["state"]): row["tasks"] for row in found}
        return {state: counted.get(state, 0) for state in (State.QUEUED, State.RUNNING)}

    def queue_all(self) -> None:
        """Queue all again but those that failed, in a backup, which has none of their files."""
        with self._connector.write() as transaction:
            transaction.execute(QUEUE_ALL)
