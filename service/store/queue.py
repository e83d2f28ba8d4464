"""Jobs as the dispatcher uses them: claim the next one, watch those with workers, requeue."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from service.domain.job_state import FINAL, WITH_WORKER, State
from service.store.sql.connector import Connector
from service.store.sql.transaction import Transaction
from service.store.sql.values import in_list, now
from service.store.transitions import lock_attempt, lock_statement, states, transition

LOST = {
    State.RUNNING: State.QUEUED,
    State.PAUSING: State.PAUSED,
    State.CANCELLING: State.CANCELLED,
}
MAX_LOST_WORKERS = 5
"""Workers a job may lose in a row, with no checkpoint in between, before it fails."""
PRUNED_TOGETHER = 5
"""Finished jobs deleted in one transaction: no other process can write meanwhile."""


# `{waiting}` is the place where jobs that wait to be tried again are excluded. On engines that lock
# single rows, concurrent claims each take another row instead of waiting for the same one.
LOCK_OLDEST = lock_statement(
    """number = (
    SELECT number FROM jobs WHERE state = 'queued'{waiting}
    ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED
) AND state = 'queued'"""
)
START = "UPDATE jobs SET started_at = :at WHERE number = :number AND started_at IS NULL"
ACTIVE = f"""
SELECT id AS job, attempt, state, heartbeat, handle FROM jobs
WHERE state IN ({states(WITH_WORKER)}) ORDER BY number
"""  # noqa: S608  names of our own
# Workers are asked to leave before a migration, so these columns exist in every schema.
HANDLES = f"SELECT handle FROM jobs WHERE state IN ({states(WITH_WORKER)})"  # noqa: S608
FIND = "SELECT number, attempt, state FROM jobs WHERE id = :id"
NAMED_KEYS = "SELECT key FROM checkpoints WHERE job = :job"
OLDEST_KEPT = """
SELECT finish_number AS oldest FROM jobs WHERE finish_number IS NOT NULL
ORDER BY finish_number DESC LIMIT 1 OFFSET :newer
"""
EXPIRED = """
SELECT id FROM jobs WHERE finish_number < :oldest_kept AND (state <> 'succeeded' OR EXISTS (
    SELECT 1 FROM jobs AS newer
    WHERE (newer.owner = jobs.owner OR (newer.owner IS NULL AND jobs.owner IS NULL))
    AND newer.state = 'succeeded' AND newer.finish_number > jobs.finish_number
)) ORDER BY finish_number LIMIT :most
"""
DELETE = "DELETE FROM jobs WHERE id IN ({ids})"


@dataclass(frozen=True)
class Claim:
    """A job that the dispatcher has claimed and must start."""

    job: str
    attempt: int


@dataclass(frozen=True)
class Active:
    """A job that has, or should have, a worker."""

    job: str
    attempt: int
    state: State
    heartbeat: int
    handle: dict[str, Any] | None


class Lost(NamedTuple):
    """The new state of a job that has lost its worker."""

    state: State
    lost_workers: int
    """How many workers it has lost in a row."""


class Queue:
    """The jobs as the dispatcher sees them."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    @property
    def file(self) -> Path | None:
        """The file that holds the jobs; None if a database server holds them."""
        return self._connector.file

    def claim(self, waiting: Collection[str] = ()) -> Claim | None:
        """Take the oldest queued job that is not among those `waiting` to be tried again."""
        listed, parameters = in_list("waiting", waiting)
        excluded = f" AND id NOT IN ({listed})" if waiting else ""
        with self._connector.write() as transaction:
            row = transaction.row(LOCK_OLDEST.replace("{waiting}", excluded), **parameters)
            if row is None:
                return None
            attempt = row["attempt"] + 1
            transition(
                transaction, row, State.RUNNING, None, attempt=attempt, heartbeat=0, handle=None
            )
            transaction.execute(START, number=row["number"], at=now())
        return Claim(row["id"], attempt)

    def active(self) -> list[Active]:
        """Return the jobs with a worker, oldest first."""
        with self._connector.read() as transaction:
            found = transaction.rows(ACTIVE)
        return [Active(**row | {"state": State(row["state"])}) for row in found]

    def handles(self) -> list[dict[str, Any] | None]:
        """Return the handles of all workers, also from a database that is not migrated yet."""
        with self._connector.read() as transaction:
            return [row["handle"] for row in transaction.rows(HANDLES)]

    def lose(
        self,
        job: str,
        attempt: int,
        why: str,
        *,
        code: str = "worker_lost",
        counts: bool = True,
    ) -> Lost | None:
        """Take the job away from a worker that has died or must not continue; return its new state.

        None means that the worker had finished, or that another attempt is under way.
        With `counts` the worker of a running job is one of the five in a row after which it fails.
        `code` and `why` become the reason, unless a client had asked to pause or cancel the job.
        """
        with self._connector.write() as transaction:
            row = lock_attempt(transaction, job, attempt)
            if row is None:
                return None
            lost_workers, to = row["lost_workers"], LOST[State(row["state"])]
            reason = row["reason"]  # the client's, if one asked to pause or cancel
            if to == State.QUEUED:
                lost_workers += counts
                reason = {"code": code, "message": why}
                to = State.FAILED if counts and lost_workers >= MAX_LOST_WORKERS else to
            transition(transaction, row, to, reason, lost_workers=lost_workers, handle=None)
        return Lost(to, lost_workers)

    def named_artifacts(self, job: str) -> tuple[int, bool, set[str]] | None:
        """Return (attempt, final or not, keys that rows name) of a job; None without a job."""
        with self._connector.read() as transaction:
            row = transaction.row(FIND, id=job)
            if row is None:
                return None
            found = transaction.rows(NAMED_KEYS, job=row["number"])
        named = {checkpoint["key"] for checkpoint in found}
        return row["attempt"], State(row["state"]) in FINAL, named

    def prune(self, keep: int) -> list[str]:
        """Delete finished jobs beyond the newest `keep`, oldest first, a few in one call.

        Returns their ids: their artifacts are to be deleted next. The job of each owner that
        succeeded last stays, because it is the model `latest`.
        """
        with self._connector.read() as transaction:
            if not _expired(transaction, keep):
                return []
        with self._connector.write() as transaction:
            if ids := _expired(transaction, keep):
                listed, parameters = in_list("id", ids)
                transaction.execute(DELETE.replace("{ids}", listed), **parameters)
        return ids


def _expired(transaction: Transaction, keep: int) -> list[str]:
    """Return the oldest of the finished jobs beyond the newest `keep`, but no model `latest`."""
    found = transaction.row(OLDEST_KEPT, newer=keep - 1)
    if found is None:
        return []
    rows = transaction.rows(EXPIRED, oldest_kept=found["oldest"], most=PRUNED_TOGETHER)
    return [row["id"] for row in rows]
