"""Uploaded data sets as a dispatcher uses them: claim the next one, watch those being checked."""

from collections.abc import Callable

from service.domain.dataset_state import DatasetState
from service.domain.job_state import FINAL, State
from service.store.dataset_rows import DATASETS, FILES_OF, delete_dataset, lock_check, move_dataset
from service.store.queue import Lost, rows_here
from service.store.sql.transaction import Transaction
from service.store.sql.values import Row
from service.store.transitions import states
from service.store.turns import TurnQueue

DRY_RUN = "dry-run-"
"""The beginning of the names of data sets that live until their report has been read.

The host whose server waits for it follows, if there are several: another one may check it.
"""
ENDED = {DatasetState.READY: State.SUCCEEDED, DatasetState.FAILED: State.FAILED}
"""What the last states of data sets are to a dispatcher."""
LEFTOVERS_TOGETHER = 100

# `{waiting}` is the place where data sets that wait to be tried again are excluded.
OLDEST_OF_OWNERS = """
SELECT owner, min(number) AS number FROM datasets WHERE state = 'queued'{waiting}
GROUP BY owner ORDER BY number
"""
CLAIM = """
UPDATE datasets SET state = 'checking', attempt = attempt + 1, heartbeat = 0, handle = NULL,
    host = :host, progress = NULL
WHERE number = :number AND state = 'queued' RETURNING id, attempt
"""
ACTIVE = """
SELECT id AS job, attempt, heartbeat, handle FROM datasets
WHERE state = 'checking'{host} ORDER BY number
"""
LOCK_RECEIVING = """
UPDATE datasets SET heartbeat = heartbeat WHERE state = 'receiving'{host}
RETURNING number, id, sha256
"""
LOCK_RECEIVING_ON_LOST_HOSTS = """
UPDATE datasets SET heartbeat = heartbeat
WHERE state = 'receiving' AND host NOT IN (SELECT id FROM hosts) RETURNING number, id, sha256
"""
STATE = "SELECT state FROM datasets WHERE id = :id"
ATTEMPT = "SELECT attempt FROM datasets WHERE id = :id AND state = 'checking'"
# A job that is not final keeps the files of its data set, whoever deletes the row of the set.
NEEDED = f"""
EXISTS (SELECT 1 FROM jobs WHERE jobs.dataset_sha256 = {{sha256}}
    AND jobs.state NOT IN ({states(FINAL)}))
"""  # noqa: S608  names of our own
LEFTOVERS = f"""
SELECT name FROM dataset_leftovers
WHERE substr(name, 1, 3) = 'ds_' OR NOT {NEEDED.format(sha256="substr(dataset_leftovers.name, 8)")}
ORDER BY name LIMIT :most
"""  # noqa: S608
IS_NAMED = """
SELECT number FROM datasets WHERE sha256 = :sha256 AND state IN ('checking', 'ready') LIMIT 1
"""
IS_NEEDED = f"SELECT 1 AS needed WHERE {NEEDED.format(sha256=':sha256')}"
FORGET = "DELETE FROM dataset_leftovers WHERE name = :name"

COUNT_BY_STATE = """
SELECT state, count(*) AS sets, coalesce(sum(disk_bytes), 0) AS bytes FROM datasets GROUP BY state
"""
LOCK_DRY_RUNS = """
UPDATE datasets SET heartbeat = heartbeat
WHERE substr(name, 1, length(:beginning)) = :beginning RETURNING number, id, sha256
"""
LOCK_DRY_RUNS_OF_LOST_HOSTS = """
UPDATE datasets SET heartbeat = heartbeat
WHERE substr(name, 1, 8) = 'dry-run-' AND substr(name, 9, 16) NOT IN (SELECT id FROM hosts)
RETURNING number, id, sha256
"""


def dry_runs_of(host: str | None) -> str:
    """Return how the names of a server's dry runs begin; None if there is only one server."""
    return f"{DRY_RUN}{host}-" if host else DRY_RUN


class DatasetQueue(TurnQueue):
    """The data sets that wait for a checker or have one."""

    kind, oldest, taken, working = DATASETS, OLDEST_OF_OWNERS, CLAIM, ACTIVE

    def _lock(self, transaction: Transaction, id_: str, attempt: int) -> Row | None:
        return lock_check(transaction, id_, attempt)

    def _give_back(
        self, transaction: Transaction, row: Row, lost: Lost, reason: dict[str, str]
    ) -> None:
        if reason["code"] == "worker_lost":
            reason = reason | {"code": "checker_lost"}
        to, count = DatasetState(lost.state), lost.lost_workers
        move_dataset(transaction, row, to, lost_workers=count, reason=reason, handle=None)

    def interrupt(self) -> list[str]:
        """Fail all data sets that this host was receiving, because nobody receives them any more.

        Only a server that has just started may call it, before it serves. Returns their ids.
        """
        with self._connector.write(DATASETS) as transaction:
            return _interrupt(transaction, rows_here(transaction, LOCK_RECEIVING, self._host))

    def interrupt_lost(self) -> list[str]:
        """Fail the data sets that lost hosts were receiving, and delete their dry runs.

        The leader calls it. Returns the ids of those that have failed.
        """
        if self._host is None:
            return []
        with self._connector.write(DATASETS) as transaction:
            for row in transaction.rows(LOCK_DRY_RUNS_OF_LOST_HOSTS):
                delete_dataset(transaction, row)
            return _interrupt(transaction, transaction.rows(LOCK_RECEIVING_ON_LOST_HOSTS))

    def delete_dry_runs(self) -> None:
        """Delete the dry runs that this server has left; only one that has just started may."""
        with self._connector.write(DATASETS) as transaction:
            for row in transaction.rows(LOCK_DRY_RUNS, beginning=dry_runs_of(self._host)):
                delete_dataset(transaction, row)

    def counts(self) -> dict[DatasetState, tuple[int, int]]:
        """Return how many uploaded data sets of all owners are in each state, and their bytes."""
        with self._connector.read() as transaction:
            found = transaction.rows(COUNT_BY_STATE)
        counted = {DatasetState(row["state"]): (row["sets"], row["bytes"]) for row in found}
        return {state: counted.get(state, (0, 0)) for state in DatasetState}

    def attempt_of(self, id_: str) -> int | None:
        """Return the attempt that checks a data set; None if there is none."""
        with self._connector.read() as transaction:
            row = transaction.row(ATTEMPT, id=id_)
        return row["attempt"] if row else None

    def state_of(self, id_: str) -> State | None:
        """Return whether a data set has ended, and how; None if it has been deleted."""
        with self._connector.read() as transaction:
            row = transaction.row(STATE, id=id_)
        return ENDED.get(row["state"], State.QUEUED) if row else None

    def leftovers(self) -> tuple[list[str], list[str]]:
        """Return what is to be deleted: data sets by their ids, and files by their digests.

        Files that a job needs are left out until it ends. There are at most a hundred together.
        """
        with self._connector.read() as transaction:
            found = [row["name"] for row in transaction.rows(LEFTOVERS, most=LEFTOVERS_TOGETHER)]
        digests = [name.removeprefix(FILES_OF) for name in found if name.startswith(FILES_OF)]
        return [name for name in found if not name.startswith(FILES_OF)], digests

    def forget(self, id_: str) -> None:
        """Forget what was sent, and what attempts have built, because it is gone."""
        with self._connector.write(DATASETS) as transaction:
            transaction.execute(FORGET, name=id_)

    def forget_files(self, sha256: str, hide: Callable[[str], object]) -> None:
        """Forget the files of a digest, after `hide` has taken them away.

        If something names them again, they stay, and are left again with that. Nothing can begin to
        name them meanwhile: transactions that name files run alone as well, and see to it that the
        files are there.
        """
        with self._connector.write(DATASETS) as transaction:
            if transaction.row(IS_NEEDED, sha256=sha256):
                return
            if not transaction.row(IS_NAMED, sha256=sha256):
                hide(sha256)
            transaction.execute(FORGET, name=f"{FILES_OF}{sha256}")


def _interrupt(transaction: Transaction, found: list[Row]) -> list[str]:
    """Fail locked data sets that were being received; return their ids."""
    reason = {
        "code": "upload_interrupted",
        "message": "The service was stopped before all of it had arrived; send it again.",
    }
    for row in found:
        move_dataset(transaction, row, DatasetState.FAILED, reason=reason)
    return [row["id"] for row in found]
