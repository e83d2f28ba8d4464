"""Jobs as the dispatcher uses them: claim the next one, watch those with workers, requeue."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from service.domain.job_state import FINAL, WITH_WORKER, State
from service.domain.room import UNLIMITED, Room, Sized
from service.store.deletion import delete_jobs, deleted_jobs, forget_deleted
from service.store.hosts import largest_memory
from service.store.sql.connector import Connector
from service.store.sql.transaction import Transaction
from service.store.sql.values import Row, in_list, now
from service.store.transitions import (
    JOBS,
    last_finish,
    lock_attempt,
    lock_statement,
    states,
    transition,
)

LOST = {
    State.RUNNING: State.QUEUED,
    State.PAUSING: State.PAUSED,
    State.CANCELLING: State.CANCELLED,
}
MAX_LOST_WORKERS = 5
"""Workers a job may lose in a row, with no checkpoint in between, before it fails."""
PRUNED_TOGETHER = 5
"""Finished jobs deleted in one transaction: no other process can write meanwhile."""


# `{waiting}` is the place where jobs that wait to be tried again are excluded, `{host}` that of a
# condition. These are the jobs with a worker here, and the first of those that may be started here.
# The plus keeps SQLite from the index of bytes, with which it would sort all jobs that are queued.
CONTENDERS = f"""
SELECT number, state, bytes FROM jobs WHERE state IN ({states(WITH_WORKER)}){{host}}
UNION ALL SELECT number, state, bytes FROM (
    SELECT number, state, bytes FROM jobs WHERE state = 'queued' AND +bytes <= :alone{{waiting}}
    ORDER BY number LIMIT 1
) AS first
"""  # noqa: S608  names of our own
# On engines that lock single rows, concurrent claims each take another row instead of waiting for
# the same one.
LOCK_OLDEST = lock_statement(
    """number = (
    SELECT number FROM jobs WHERE state = 'queued' AND +bytes <= :most{waiting}
    ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED
) AND state = 'queued'"""
)
TOO_LARGE = """
SELECT number, bytes FROM jobs WHERE state = 'queued' AND bytes > :most
AND (reason IS NULL OR CAST(reason AS TEXT) NOT LIKE :told) LIMIT 20
"""
NEEDS_MEMORY = "needs_memory"
LOCK_QUEUED = lock_statement("number = :number AND state = 'queued'")
START = "UPDATE jobs SET started_at = :at WHERE number = :number AND started_at IS NULL"
ACTIVE = f"""
SELECT id AS job, attempt, state, heartbeat, handle FROM jobs
WHERE state IN ({states(WITH_WORKER)}){{host}} ORDER BY number
"""  # noqa: S608  names of our own
OLDEST_QUEUED = "SELECT number FROM jobs WHERE state = 'queued' ORDER BY number LIMIT 1"
HERE = " AND host = :host"
ELSEWHERE = " AND (host IS NULL OR host <> :host)"
FIND = "SELECT number, attempt, state FROM jobs WHERE id = :id"
NAMED_KEYS = """
SELECT key FROM checkpoints WHERE job = :job UNION ALL SELECT key FROM snapshots WHERE job = :job
"""
FINISHED = "SELECT count(*) AS jobs FROM jobs WHERE finish_number <= :until"
FINISHED_COLUMNS = "id, owner, state, test_accuracy, finished_at, finish_number"
OLDEST_IN_STATE = f"""
SELECT {FINISHED_COLUMNS} FROM jobs WHERE state = :state AND finish_number <= :until
ORDER BY finish_number LIMIT :most
"""  # noqa: S608  names of our own
OLDEST_UNLEARNED = f"""
SELECT {FINISHED_COLUMNS} FROM jobs WHERE learned = FALSE AND finish_number <= :until
ORDER BY finish_number LIMIT :most
"""  # noqa: S608
# Neither an owner's newest model nor the most accurate one, which is the newest of equal ones. No
# owner is a case of its own: the index on owners serves only comparisons by themselves.
OLDEST_SURPASSED = f"""
SELECT {FINISHED_COLUMNS} FROM jobs WHERE learned = TRUE AND finish_number <= :until AND (EXISTS (
    SELECT 1 FROM jobs AS newer WHERE newer.owner = jobs.owner
    AND newer.learned = TRUE AND newer.finish_number > jobs.finish_number
) OR EXISTS (
    SELECT 1 FROM jobs AS newer WHERE newer.owner IS NULL AND jobs.owner IS NULL
    AND newer.learned = TRUE AND newer.finish_number > jobs.finish_number
)) AND (EXISTS (
    SELECT 1 FROM jobs AS better WHERE better.owner = jobs.owner
    AND better.learned = TRUE
    AND (better.test_accuracy, better.finish_number) > (jobs.test_accuracy, jobs.finish_number)
) OR EXISTS (
    SELECT 1 FROM jobs AS better WHERE better.owner IS NULL AND jobs.owner IS NULL
    AND better.learned = TRUE
    AND (better.test_accuracy, better.finish_number) > (jobs.test_accuracy, jobs.finish_number)
)) ORDER BY finish_number LIMIT :most
"""  # noqa: S608
MAX_NUMBER = 2**63 - 1


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


@dataclass(frozen=True)
class Elsewhere:
    """What the leader watches on behalf of all hosts."""

    active: list[Active]
    """The rows with a worker on another host, oldest first."""
    may_begin: bool
    """Whether a row may wait, which another host may claim at any moment."""


ONLY_HERE = Elsewhere([], may_begin=True)
"""What there is where no other host is; whether a row waits is not looked at."""


class Lost(NamedTuple):
    """The new state of a job that has lost its worker."""

    state: State
    lost_workers: int
    """How many workers it has lost in a row."""
    had_begun: bool
    """Whether the worker had given a heartbeat; otherwise its machine is to blame."""


def after_lost_worker(row: Row, *, counts: bool) -> Lost:
    """Return what becomes of a row that has lost one more worker.

    Args:
        row: with `lost_workers`, in a row before, and the `heartbeat` of this attempt.
        counts: whether this one is among the five in a row after which the row fails, if it had
            begun: a machine on which no worker can begin must not fail one row after another.

    """
    had_begun = row["heartbeat"] > 0
    counts = counts and had_begun
    lost = row["lost_workers"] + counts
    state = State.FAILED if counts and lost >= MAX_LOST_WORKERS else State.QUEUED
    return Lost(state, lost, had_begun)


@dataclass(frozen=True)
class FinishedJob:
    """A job that has ended, as far as it decides whether the job is kept."""

    id: str
    owner: str | None
    state: State
    test_accuracy: float | None
    """Accuracy after the last epoch, if the job has succeeded."""
    finished_at: datetime
    finish_number: int
    """Orders the jobs that have ended."""


class Queue:
    """The jobs as the dispatcher sees them."""

    def __init__(
        self, connector: Connector, host: str | None = None, room: Room = UNLIMITED
    ) -> None:
        """Create it.

        Args:
            connector: the database.
            host: on which claimed jobs are trained; None if there is only one host.
            room: the memory that jobs have there.

        """
        self._connector, self._host, self._room = connector, host, room

    @property
    def file(self) -> Path | None:
        """The file that holds the jobs; None if a database server holds them."""
        return self._connector.file

    def claim(self, waiting: Collection[str] = ()) -> Claim | None:
        """Take the oldest queued job for which there is room: see `Room`.

        Args:
            waiting: jobs that wait to be tried again.

        """
        listed, parameters = in_list("waiting", waiting)
        excluded = f" AND id NOT IN ({listed})" if waiting else ""
        contenders, lock = (it.replace("{waiting}", excluded) for it in (CONTENDERS, LOCK_OLDEST))
        with self._connector.write() as transaction:
            alone = self._room.alone
            found = rows_here(transaction, contenders, self._host, alone=alone, **parameters)
            most = self._largest(found)
            row = None if most < 0 else transaction.row(lock, most=most, **parameters)
            if row is None:
                return None
            attempt = row["attempt"] + 1
            transition(
                transaction,
                row,
                State.RUNNING,
                None,
                attempt=attempt,
                heartbeat=0,
                handle=None,
                host=self._host,
            )
            transaction.execute(START, number=row["number"], at=now())
        return Claim(row["id"], attempt)

    def _largest(self, contenders: Iterable[Row]) -> int:
        """Return the bytes of the largest job that may start here; -1 if no job may."""
        jobs: dict[bool, list[Sized]] = {True: [], False: []}
        for row in contenders:
            jobs[row["state"] == State.QUEUED].append(Sized(row["number"], row["bytes"]))
        return self._room.largest(jobs[False], jobs[True][0]) if jobs[True] else -1

    def explain_waiting(self) -> None:
        """Say in the rows of jobs that are too large for every host why they are not started."""
        with self._connector.read() as transaction:
            most = largest_memory(transaction) if self._host else self._room.alone
            found = [] if most is None else _too_large_rows(transaction, most)
        for job in found:
            with self._connector.write() as transaction:
                if row := transaction.row(LOCK_QUEUED, number=job["number"]):
                    transition(transaction, row, State.QUEUED, _too_large(job["bytes"], most))

    def active(self) -> list[Active]:
        """Return the jobs with a worker on this host, oldest first."""
        with self._connector.read() as transaction:
            return [_active(row) for row in rows_here(transaction, ACTIVE, self._host)]

    def elsewhere(self) -> Elsewhere:
        """Return the jobs of other hosts; none if there is only one host."""
        if self._host is None:
            return ONLY_HERE
        with self._connector.read() as transaction:
            found = [_active(row) for row in rows_elsewhere(transaction, ACTIVE, self._host)]
            return Elsewhere(found, bool(transaction.row(OLDEST_QUEUED)))

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
            lost = after_lost_worker(row, counts=counts)
            reason = {"code": code, "message": why}
            if (asked := LOST[State(row["state"])]) != State.QUEUED:  # to pause or to cancel
                lost = Lost(asked, row["lost_workers"], lost.had_begun)
                reason = row["reason"]
            count = lost.lost_workers
            transition(transaction, row, lost.state, reason, lost_workers=count, handle=None)
            if lost.state == State.QUEUED:  # another host may have a free slot
                transaction.notify(JOBS)
        return lost

    def named_artifacts(self, job: str) -> tuple[int, bool, set[str]] | None:
        """Return (attempt, final or not, keys that rows name) of a job; None without a job."""
        with self._connector.read() as transaction:
            row = transaction.row(FIND, id=job)
            if row is None:
                return None
            found = transaction.rows(NAMED_KEYS, job=row["number"])
        named = {artifact["key"] for artifact in found}
        return row["attempt"], State(row["state"]) in FINAL, named

    def last_finish(self) -> int:
        """Return the number of the job that ended last; 0 if none has ended."""
        with self._connector.read() as transaction:
            return last_finish(transaction)

    def expendable(
        self, keep: int, until: int = MAX_NUMBER, most: int = MAX_NUMBER
    ) -> list[FinishedJob]:
        """Return up to `most` finished jobs that go so that `keep` stay, the first to go first.

        Jobs that failed, were cancelled or learned nothing go before the others, and of each kind
        those that ended first. Two models of each owner always stay: the newest, which is `latest`,
        and the most accurate one. Jobs that ended after number `until` are not counted.
        """
        with self._connector.read() as transaction:
            return _expendable(transaction, keep, until, most)

    def prune(self, keep: int, until: int = MAX_NUMBER) -> list[FinishedJob]:
        """Delete the first few of the `expendable` jobs, and return them.

        Their artifacts are to be deleted next, which the dispatcher does.
        """
        if not self.expendable(keep, until, 1):
            return []
        with self._connector.write() as transaction:
            if gone := _expendable(transaction, keep, until, PRUNED_TOGETHER):
                delete_jobs(transaction, [job.id for job in gone])
        return gone

    def deleted(self) -> list[str]:
        """Return deleted jobs whose artifacts may still be there: at most a hundred."""
        with self._connector.read() as transaction:
            return deleted_jobs(transaction)

    def forget(self, deleted: Collection[str]) -> None:
        """Forget deleted jobs, because their artifacts are gone."""
        with self._connector.write() as transaction:
            forget_deleted(transaction, deleted)


def _too_large_rows(transaction: Transaction, most: int) -> list[Row]:
    """Return queued jobs that are larger, except those whose row says so."""
    return transaction.rows(TOO_LARGE, most=most, told=f'%"{NEEDS_MEMORY}"%')


def _too_large(needed: int, most: int | None) -> dict[str, str]:
    message = (
        f"The job needs {needed / 1e9:,.2f} GB of memory, and no host has more than "
        f"{(most or 0) / 1e9:,.2f} GB for it. It starts when one with more memory is there "
        "(MLP_JOB_MEMORY)."
    )
    return {"code": NEEDS_MEMORY, "message": message}


def rows_here(
    transaction: Transaction, statement: str, host: str | None, **values: object
) -> list[Row]:
    """Return the rows that a host has claimed; all if there is only one host.

    Args:
        transaction: to read in.
        statement: with the place `{host}` at the end of its condition.
        host: the host.
        values: further parameters of the statement.

    """
    return transaction.rows(statement.replace("{host}", HERE if host else ""), host=host, **values)


def rows_elsewhere(transaction: Transaction, statement: str, host: str) -> list[Row]:
    """Return the rows that other hosts have claimed; see `rows_here`."""
    return transaction.rows(statement.replace("{host}", ELSEWHERE), host=host)


def _active(row: Row) -> Active:
    return Active(**row | {"state": State(row["state"])})


def _expendable(transaction: Transaction, keep: int, until: int, most: int) -> list[FinishedJob]:
    [finished] = transaction.rows(FINISHED, until=until)
    most = min(most, finished["jobs"] - keep)
    if most <= 0:
        return []
    limits = {"until": until, "most": most}
    rows = transaction.rows(OLDEST_UNLEARNED, **limits)
    for state in (State.FAILED, State.CANCELLED):
        rows += transaction.rows(OLDEST_IN_STATE, state=state, **limits)
    rows = sorted(rows, key=lambda row: row["finish_number"])[:most]
    if len(rows) < most:
        rows += transaction.rows(OLDEST_SURPASSED, until=until, most=most - len(rows))
    return [FinishedJob(**row | {"state": State(row["state"])}) for row in rows]
