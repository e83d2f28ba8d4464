"""What the dispatcher does with jobs: claim the next one, watch those with workers, requeue."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, bindparam, delete, exists, or_, select
from sqlalchemy.sql.dml import ReturningUpdate

from service.domain.job_state import FINAL, WITH_WORKER, State
from service.store.guards import HOLD, hold_by, in_state
from service.store.sql.connector import Database
from service.store.sql.schema import checkpoints, jobs
from service.store.transitions import hold, move, now

LOST = {
    State.RUNNING: State.QUEUED,
    State.PAUSING: State.PAUSED,
    State.CANCELLING: State.CANCELLED,
}
MAX_LOSSES = 5
"""Workers a job may lose in a row, with no checkpoint in between, before it fails."""
PRUNED_AT_ONCE = 5
"""Finished jobs deleted in one transaction: nobody else can write meanwhile."""


@dataclass(frozen=True)
class Claim:
    """A job that is the dispatcher's to start."""

    job: str
    attempt: int


@dataclass(frozen=True)
class Active:
    """A job that has, or should have, a worker."""

    job: str
    attempt: int
    state: State
    beat: int
    handle: dict[str, Any] | None


class Lost(NamedTuple):
    """Where a job is that has lost its worker."""

    state: State
    losses: int
    """Workers it has lost in a row."""


WORKERS = (
    select(jobs.c.id, jobs.c.attempt, jobs.c.state, jobs.c.beat, jobs.c.handle)
    .where(in_state(WITH_WORKER))
    .order_by(jobs.c.number)
)


QUEUED = select(jobs.c.number).where(jobs.c.state == State.QUEUED)


def _first_of(queued: Select[tuple[int]]) -> ReturningUpdate[Any]:
    first = queued.order_by(jobs.c.number).limit(1).with_for_update(skip_locked=True)
    return HOLD.where(jobs.c.number == first.scalar_subquery(), jobs.c.state == State.QUEUED)


OLDEST = _first_of(QUEUED)
PLACE = select(jobs.c.number, jobs.c.attempt, jobs.c.state).where(jobs.c.id == bindparam("of"))
NAMED = select(checkpoints.c.key).where(checkpoints.c.job == bindparam("of"))


class Queue:
    """The jobs as the dispatcher sees them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def file(self) -> Path | None:
        """The file in which all of this is kept; None if a database server keeps it."""
        return self._database.file

    def claim(self, waiting: Collection[str] = ()) -> Claim | None:
        """Take the oldest queued job that is not among those `waiting` to be tried again."""
        which = _first_of(QUEUED.where(jobs.c.id.not_in(waiting))) if waiting else OLDEST
        with self._database.write() as connection:
            row = hold_by(connection, which)
            if row is None:
                return None
            attempt, started = row["attempt"] + 1, row["started_at"] or now()
            values = {"attempt": attempt, "beat": 0, "handle": None, "started_at": started}
            move(connection, row, State.RUNNING, None, **values)
        return Claim(row["id"], attempt)

    def active(self) -> list[Active]:
        """Return the jobs with a worker, oldest first."""
        with self._database.read() as connection:
            return [
                Active(id_, attempt, State(state), beat, handle)
                for id_, attempt, state, beat, handle in connection.execute(WORKERS)
            ]

    def lose(
        self,
        job: str,
        attempt: int,
        why: str,
        *,
        code: str = "worker_lost",
        counts: bool = True,
    ) -> Lost | None:
        """Take the job away from a worker that is gone; return where it is now.

        None means that the worker had finished, or that another attempt is under way.
        With `counts` the loss of a running job is one of the five in a row after which it fails.
        `code` and `why` become the reason, unless a client had asked for a pause or an end.
        """
        with self._database.write() as connection:
            row = hold(connection, job, attempt)
            if row is None:
                return None
            losses, to = row["losses"], LOST[State(row["state"])]
            reason = row["reason"]  # a client's, unless nobody had asked for anything
            if to == State.QUEUED:
                losses += counts
                reason = {"code": code, "message": why}
                to = State.FAILED if counts and losses >= MAX_LOSSES else to
            move(connection, row, to, reason, losses=losses, handle=None)
        return Lost(to, losses)

    def named_artifacts(self, job: str) -> tuple[int, bool, set[str]] | None:
        """Return (attempt, final or not, keys that rows name) of a job; None if it is gone."""
        with self._database.read() as connection:
            row = connection.execute(PLACE, {"of": job}).one_or_none()
            if row is None:
                return None
            number, attempt, state = row
            named = set(connection.scalars(NAMED, {"of": number}))
        return attempt, State(state) in FINAL, named

    def prune(self, keep: int) -> list[str]:
        """Forget finished jobs beyond the newest `keep`, oldest first and a few at once.

        Their ids are returned: their artifacts are to go next. Of each owner the job that succeeded
        last stays, for it is the model `latest`.
        """
        with self._database.read() as connection:
            if not _expired(connection, keep):
                return []
        with self._database.write() as connection:
            ids = _expired(connection, keep)
            connection.execute(delete(jobs).where(jobs.c.id.in_(ids)))
        return ids


def _expired(connection: Connection, keep: int) -> list[str]:
    """Return the oldest of the finished jobs beyond the newest `keep`, but no model `latest`."""
    end = jobs.c.finish_number
    newest_first = select(end).where(end.is_not(None)).order_by(end.desc())
    oldest_kept = connection.scalar(newest_first.offset(keep - 1).limit(1))
    if oldest_kept is None:
        return []
    newer = jobs.alias("newer")
    outdone = exists().where(
        newer.c.owner.is_not_distinct_from(jobs.c.owner),
        newer.c.state == State.SUCCEEDED,
        newer.c.finish_number > end,
    )
    query = select(jobs.c.id).where(end < oldest_kept)
    query = query.where(or_(jobs.c.state != State.SUCCEEDED, outdone))
    return list(connection.scalars(query.order_by(end).limit(PRUNED_AT_ONCE)))
