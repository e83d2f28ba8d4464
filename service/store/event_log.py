"""The events of all jobs in one order: what has happened since an event, for everybody at once.

`seq` numbers the events in the order in which they become visible, so a reader that has seen number
n will never find a new event below it: `Transaction.execute_last` inserts them.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.domain.job_state import WITH_WORKER
from service.store.sql.connector import Connector
from service.store.sql.transaction import Transaction
from service.store.sql.values import in_list
from service.store.stored_job import JOB_COLUMNS, StoredJob, stored_job
from service.store.transitions import states

KEPT_EVENTS = 5000
"""How many numbers back a reader may be; who is further behind reads the jobs themselves."""
JOB_EVENTS = ("state", "change")
"""The types of events after which the job itself is read."""

NEWEST = "SELECT max(seq) AS seq FROM events"
SINCE = """
SELECT events.seq, events.type, events.at, events.data, jobs.id AS job, jobs.owner
FROM events LEFT JOIN jobs ON jobs.number = events.job
WHERE events.seq > :after AND events.seq <= :until ORDER BY events.seq LIMIT :most
"""
# A queued job with its place, as it is read by itself: a new job is shown before anybody asks.
JOBS = f"""
SELECT {JOB_COLUMNS}, CASE WHEN state = 'queued' THEN (
    SELECT 1 + count(*) FROM jobs AS ahead
    WHERE ahead.state = 'queued' AND ahead.number < jobs.number
) END AS queue_position FROM jobs WHERE id IN ({{ids}})
"""  # noqa: S608  names of our own
ACTIVE = f"""
SELECT {JOB_COLUMNS} FROM jobs WHERE state IN ({states(WITH_WORKER)}) ORDER BY number
"""  # noqa: S608
NEWEST_KEPT = """
SELECT jobs.id, max(snapshots.epoch) AS epoch
FROM jobs JOIN snapshots ON snapshots.job = jobs.number WHERE jobs.id IN ({ids}) GROUP BY jobs.id
"""


@dataclass(frozen=True)
class LoggedEvent:
    """An event of any job; the events of a deleted job are gone, except for its deletion."""

    seq: int
    job: str
    owner: str | None
    type: str
    at: datetime
    data: dict[str, Any]


@dataclass(frozen=True)
class Logged:
    """Some events in their order, and the jobs after them."""

    events: list[LoggedEvent]
    jobs: dict[str, StoredJob]
    """The jobs that an event of JOB_EVENTS is about, by id."""


class EventLog:
    """Reads the events of all jobs; who may see which is decided by their owners."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    def newest(self) -> int:
        """Return the number of the newest event; 0 if there is none."""
        with self._connector.read() as transaction:
            found = transaction.row(NEWEST)
        return (found and found["seq"]) or 0

    def between(self, after: int, until: int, most: int) -> Logged:
        """Return up to `most` events with numbers above `after`, up to `until`."""
        with self._connector.read() as transaction:
            return _between(transaction, after, until, most)

    def news(self, after: int, most: int) -> tuple[Logged, list[StoredJob]]:
        """Return up to `most` events above `after`, and all jobs with a worker, as of one moment.

        The jobs have no place in the queue.
        """
        with self._connector.read() as transaction:
            logged = _between(transaction, after, 2**62, most)
            active = [stored_job(row) for row in transaction.rows(ACTIVE)]
        return logged, active

    def newest_kept(self, ids: Collection[str]) -> dict[str, int]:
        """Return the newest epoch whose network is kept, for those jobs that have any."""
        if not ids:
            return {}
        listed, parameters = in_list("id", ids)
        with self._connector.read() as transaction:
            rows = transaction.rows(NEWEST_KEPT.replace("{ids}", listed), **parameters)
        return {row["id"]: row["epoch"] for row in rows}


def _between(transaction: Transaction, after: int, until: int, most: int) -> Logged:
    rows = transaction.rows(SINCE, after=after, until=until, most=most)
    for row in rows:
        if row["job"] is None:  # its deletion knows what there was
            row |= {name: row["data"][name] for name in ("id", "owner")}
            row["job"] = row.pop("id")
    events = [LoggedEvent(**row) for row in rows]
    changed = {event.job for event in events if event.type in JOB_EVENTS}
    return Logged(events, _jobs(transaction, changed) if changed else {})


def _jobs(transaction: Transaction, ids: Collection[str]) -> dict[str, StoredJob]:
    listed, parameters = in_list("id", ids)
    rows = transaction.rows(JOBS.replace("{ids}", listed), **parameters)
    return {row["id"]: stored_job(row, row.pop("queue_position")) for row in rows}
