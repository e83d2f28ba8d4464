"""How much is being trained, for the metrics: what jobs have done between two looks."""

import threading
from dataclasses import dataclass

from service.domain.job_state import WITH_WORKER
from service.store.sql.connector import Connector
from service.store.sql.transaction import Transaction
from service.store.sql.values import Row, in_list, now
from service.store.transitions import states

MAX_FOLLOWED = 1000
"""Most unfinished jobs whose progress is remembered; of more, the oldest are forgotten."""

NEWEST = "SELECT max(number) AS number, max(finish_number) AS finish_number FROM jobs"
PROGRESS = f"""
SELECT number, batches_per_epoch, epochs_done, batches_done, lost_workers, finish_number, spec
FROM jobs WHERE state IN ({states(WITH_WORKER)}) OR finish_number > :last_finish{{followed}}
"""  # noqa: S608  names of our own
QUEUED_SINCE = """
SELECT at FROM events WHERE type = 'state' AND job = (
    SELECT number FROM jobs WHERE state = 'queued' ORDER BY number LIMIT 1
) ORDER BY number DESC LIMIT 1
"""


@dataclass(frozen=True)
class Done:
    """What has been done so far; numbers only grow."""

    epochs: int = 0
    images: int = 0
    lost_workers: int = 0


@dataclass(frozen=True)
class _Seen:
    """The progress of a job when it was last looked at."""

    epochs: int
    batches: int
    """Number of batches in all epochs so far."""
    lost_workers: int


class TrainingActivity:
    """Adds up the progress of jobs between two looks at the database.

    Sums over the rows would shrink whenever a job is deleted, and a monitor would take that for a
    restart of the server.
    """

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._lock = threading.Lock()
        self._done = Done()
        self._seen: dict[int, _Seen] | None = None
        self._first_number = self._last_finish = 0

    def queue_age(self) -> float:
        """Return for how many seconds the first job of the queue has waited; 0 without one."""
        with self._connector.read() as transaction:
            since = transaction.row(QUEUED_SINCE)
        return max(0.0, (now() - since["at"]).total_seconds()) if since else 0.0

    def update(self) -> Done:
        """Look at the jobs; return what has been done since the first look."""
        with self._lock, self._connector.read() as transaction:
            if self._seen is None:
                newest = transaction.row(NEWEST) or {}
                self._first_number = newest["number"] or 0
                self._last_finish = newest["finish_number"] or 0
                self._seen = {}
            rows = self._rows(transaction)
            for deleted in self._seen.keys() - {row["number"] for row in rows}:
                del self._seen[deleted]
            for row in rows:
                self._add(row, self._seen)
            return self._done

    def _rows(self, transaction: Transaction) -> list[Row]:
        """Return the jobs that may have made progress."""
        followed = list(self._seen or ())
        listed, parameters = in_list("followed", followed)
        condition = f" OR number IN ({listed})" if followed else ""
        statement = PROGRESS.replace("{followed}", condition)
        return transaction.rows(statement, last_finish=self._last_finish, **parameters)

    def _add(self, row: Row, seen: dict[int, _Seen]) -> None:
        number, per_epoch = row["number"], row["batches_per_epoch"]
        batches = row["epochs_done"] * per_epoch + row["batches_done"]
        now_seen = _Seen(row["epochs_done"], batches, row["lost_workers"])
        # A job from before the first look has done an unknown part of its work before it.
        before = seen.pop(number, now_seen if number <= self._first_number else _Seen(0, 0, 0))
        self._done = Done(
            self._done.epochs + max(0, now_seen.epochs - before.epochs),
            self._done.images + max(0, batches - before.batches) * row["spec"]["batch_size"],
            self._done.lost_workers + max(0, now_seen.lost_workers - before.lost_workers),
        )
        if row["finish_number"] is None:
            seen[number] = now_seen
            if len(seen) > MAX_FOLLOWED:
                del seen[next(iter(seen))]
        else:
            self._last_finish = max(self._last_finish, row["finish_number"])
