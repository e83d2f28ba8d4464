"""Jobs as clients use them: submit, read, list, cancel, pause, resume, delete."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from service.domain.errors import JobNotFound, NoLatestModel, WrongMove
from service.domain.job_state import WITH_WORKER, State
from service.domain.model_ref import START, ModelRef
from service.store.checkpoints import CheckpointRef, checkpoint_refs
from service.store.dataset_view import check_ready
from service.store.deletion import delete_jobs
from service.store.epoch_arrays import EpochArray, read_epoch_arrays
from service.store.idempotency import Made, find_answer, keep_answer
from service.store.ids import uuid7
from service.store.job_list import (
    ALL_JOBS,
    ORDERS,
    JobFilter,
    jobs_statement,
    labels_of,
)
from service.store.manifests import encode_manifest
from service.store.relabelling import Labels, relabel
from service.store.snapshots import Snapshot, snapshots_of, start_key
from service.store.sql.connector import Connector
from service.store.sql.transaction import Transaction
from service.store.sql.values import Row, in_list, now
from service.store.stored_job import (
    JOB_COLUMNS,
    EpochRecord,
    NewJob,
    Page,
    StoredEvent,
    StoredJob,
    stored_job,
)
from service.store.transitions import JOBS, lock_statement, transition

# The state that each action leads to, from each state that allows it.
ACTIONS: dict[str, dict[State, State]] = {
    "cancel": {
        State.QUEUED: State.CANCELLED,
        State.PAUSED: State.CANCELLED,
        State.RUNNING: State.CANCELLING,
        State.PAUSING: State.CANCELLING,
    },
    "pause": {State.QUEUED: State.PAUSED, State.RUNNING: State.PAUSING},
    "resume": {State.PAUSED: State.QUEUED, State.PAUSING: State.RUNNING},
}
# The states in which an action is already done, so that repeating it changes nothing.
DONE: dict[str, tuple[State, ...]] = {
    "cancel": (State.CANCELLING, State.CANCELLED),
    "pause": (State.PAUSING, State.PAUSED),
    "resume": (State.QUEUED, State.RUNNING),
}

# `{own}` is the place where a statement is narrowed to the jobs of one owner: see `_narrowed`.
INSERT = f"""
INSERT INTO jobs (id, owner, state, attempt, lost_workers, spec, spec_version, cost,
    batches_per_epoch, epochs_done, batches_done, bit_exact, heartbeat, event_count, created_at,
    title, search, dataset_sha256, manifest, bytes)
VALUES (:id, :owner, :state, 0, 0, :spec, :spec_version, :cost,
    :batches_per_epoch, 0, 0, :bit_exact, 0, 0, :created_at, :title, :search,
    :dataset_sha256, :manifest, :bytes)
RETURNING {JOB_COLUMNS}
"""  # noqa: S608  names of our own
FIND = "SELECT " + JOB_COLUMNS + " FROM jobs WHERE id = :id{own}"  # noqa: S608
PLACE = "SELECT number, title, best_accuracy FROM jobs WHERE id = :id{own}"
LOCK = lock_statement("id = :id{own}")
COUNT_AHEAD = "SELECT count(*) AS ahead FROM jobs WHERE state = 'queued' AND number < :number"
COUNT_QUEUED = "SELECT count(*) AS ahead FROM jobs WHERE state = 'queued'"
COUNT_BY_STATE = "SELECT state, count(*) AS jobs FROM jobs WHERE 1 = 1{own} GROUP BY state"
NEWS = "SELECT id, event_count, heartbeat, state FROM jobs WHERE id IN ({ids}){own}"
LAST_EPOCHS = "SELECT id, number, latest FROM jobs WHERE id IN ({ids}){own}"
# Without the number, PostgreSQL might first pass all the jobs that have not ended.
LATEST = """
SELECT id FROM jobs WHERE learned = TRUE AND finish_number > 0{own}
ORDER BY finish_number DESC LIMIT 1
"""
NEWEST_SUCCEEDED = """
SELECT id, state, test_accuracy FROM jobs WHERE state = 'succeeded' AND finish_number > 0{own}
ORDER BY finish_number DESC LIMIT 1
"""
NEWEST = """
SELECT id, state, test_accuracy FROM jobs WHERE number > 0{own} ORDER BY number DESC LIMIT 1
"""
EPOCHS = """
SELECT number AS epoch, train_loss, train_accuracy, test_loss, test_accuracy, seconds
FROM epochs WHERE job = :job AND number > :after ORDER BY number
"""
EVENTS = """
SELECT number, type, at, data FROM events WHERE job = :job AND number > :after ORDER BY number
"""
# Two statements: SQLite finds no index for a condition that a parameter may switch off.
NEWEST_KEY = """
SELECT key FROM checkpoints WHERE job = (SELECT number FROM jobs WHERE id = :id{own})
ORDER BY number DESC LIMIT 1
"""
NEWEST_KEY_OF_LATEST = """
SELECT key FROM checkpoints WHERE job = (
    SELECT number FROM jobs WHERE learned = TRUE AND finish_number > 0{own}
    ORDER BY finish_number DESC LIMIT 1
) ORDER BY number DESC LIMIT 1
"""
SNAPSHOT_KEY = """
SELECT key FROM snapshots
WHERE job = (SELECT number FROM jobs WHERE id = :id{own}) AND epoch = :epoch
"""
SNAPSHOT_KEY_OF_LATEST = """
SELECT key FROM snapshots WHERE job = (
    SELECT number FROM jobs WHERE learned = TRUE AND finish_number > 0{own}
    ORDER BY finish_number DESC LIMIT 1
) AND epoch = :epoch
"""
BEST_KEY = """
SELECT key FROM snapshots JOIN jobs ON jobs.number = snapshots.job
WHERE jobs.id = :id{own} AND snapshots.epoch = CAST(jobs.best ->> 'epoch' AS INTEGER)
"""
BEST_KEY_OF_LATEST = """
SELECT key FROM snapshots JOIN jobs ON jobs.number = snapshots.job WHERE jobs.number = (
    SELECT number FROM jobs WHERE learned = TRUE AND finish_number > 0{own}
    ORDER BY finish_number DESC LIMIT 1
) AND snapshots.epoch = CAST(jobs.best ->> 'epoch' AS INTEGER)
"""
ID = "SELECT id FROM jobs WHERE id = :id{own}"


@dataclass(frozen=True)
class Submission:
    """The result of a submission."""

    job: str
    answer: str
    replayed: bool
    """True if an earlier request with the same key submitted the job."""


@lru_cache
def _narrowed(statement: str, everything: bool) -> str:
    """Return a statement about all jobs, or about those of `:owner` only.

    These are two texts: SQLite finds no index for a condition that a parameter may switch off.
    """
    return statement.replace("{own}", "" if everything else " AND owner = :owner")


class JobStore:
    """The jobs as clients see them: all, or through `seen_by` those of one owner."""

    def __init__(
        self, connector: Connector, owner: str | None = None, *, everything: bool = True
    ) -> None:
        self._connector = connector
        self._owner, self._everything = owner, everything

    def seen_by(self, owner: str | None, *, everything: bool) -> "JobStore":
        """Return the view of `owner`, to whom the jobs submitted through it belong.

        Without `everything` the view has only the owner's jobs; for no owner (None) it has none.
        """
        return JobStore(self._connector, owner, everything=everything)

    def submit(
        self,
        job: NewJob,
        render: Callable[[StoredJob], str],
        key: str | None = None,
        body: bytes = b"",
    ) -> Submission:
        """Store a new queued job, with the answer that `render` makes of it.

        If the idempotency `key` was used before, it stores nothing and returns the first answer.

        Raises:
            KeyReused: the key was used with another body.
            DatasetNotFound: its data set has been deleted meanwhile.

        """
        twins = f"key {self._owner or ''} {key}" if key is not None else ""
        with self._connector.write(twins) as transaction:
            if key is not None and (first := find_answer(transaction, self._owner, key, body)):
                return Submission(*first, replayed=True)
            check_ready(
                transaction,
                self._owner,
                job.spec["dataset"],
                job.manifest.sha256,
                everything=self._everything,
            )
            row = _insert(transaction, self._owner, job)
            transaction.notify(JOBS)
            stored = _placed_job(transaction, row)
            answer = render(stored)
            if key is not None:
                made = Made(stored.owner, stored.id, stored.number)
                keep_answer(transaction, key, body, made, answer)
        return Submission(stored.id, answer, replayed=False)

    def replay(self, key: str, body: bytes) -> Submission | None:
        """Return the result of an earlier submission with the same key, if there was one.

        Raises:
            KeyReused: the key was used with another body.

        """
        with self._connector.read() as transaction:
            first = find_answer(transaction, self._owner, key, body)
        return Submission(*first, replayed=True) if first else None

    def get(self, id_: str) -> StoredJob:
        """Return the job, with its place in the queue."""
        with self._connector.read() as transaction:
            return _placed_job(transaction, self._find(transaction, id_))

    def page(self, limit: int, after: str | None = None, wanted: JobFilter = ALL_JOBS) -> Page:
        """Return up to `limit` of the jobs wanted, starting behind the job `after`."""
        statement = jobs_statement(
            wanted,
            beyond=after is not None,
            own=not self._everything,
            each_state=self._connector.file is None,
        )
        values: dict[str, Any] = {"limit": limit + 1, **wanted.patterns}
        with self._connector.read() as transaction:
            if after is not None:
                last = self._one(transaction, PLACE, after)
                values |= {"below": last["number"], "place": ORDERS[wanted.order].place(last)}
            found = transaction.rows(statement, owner=self._owner, **values)
        return Page([stored_job(row) for row in found[:limit]], has_more=len(found) > limit)

    def act(self, action: str, id_: str) -> StoredJob:
        """Cancel, pause or resume a job.

        Raises:
            WrongMove: its state does not allow the action; nothing has changed.

        """
        with self._connector.write() as transaction:
            row = self._lock(transaction, id_)
            state = State(row["state"])
            if state in ACTIONS[action]:
                message = f"A client asked to {action} the job."
                reason = None if action == "resume" else {"code": "user", "message": message}
                transition(transaction, row, ACTIONS[action][state], reason)
                transaction.notify(JOBS)
            elif state not in DONE[action]:
                raise WrongMove(action, row["state"], _allowed(state))
            return _placed_job(transaction, self._find(transaction, id_))

    def delete(self, id_: str) -> None:
        """Delete a job and all its rows; the dispatcher deletes its artifacts.

        Raises:
            WrongMove: a worker trains it; cancel it first.

        """
        with self._connector.write() as transaction:
            row = self._lock(transaction, id_)
            state = State(row["state"])
            if state in WITH_WORKER:
                raise WrongMove("delete", row["state"], _allowed(state))
            delete_jobs(transaction, [id_])

    def relabel(self, id_: str, change: Callable[[Labels], Labels]) -> StoredJob:
        """Give a job the labels that `change` makes of those it has, in any state."""
        with self._connector.write() as transaction:
            relabel(transaction, self._lock(transaction, id_), change)
            return _placed_job(transaction, self._find(transaction, id_))

    def epochs(self, id_: str, after: int = 0) -> list[EpochRecord]:
        """Return the finished epochs with numbers above `after`."""
        with self._connector.read() as transaction:
            job = self._find(transaction, id_)["number"]
            return transaction.rows(EPOCHS, job=job, after=after)

    def last_epochs(self, ids: Sequence[str]) -> dict[str, int]:
        """Return the number of the last finished epoch, or 0, of each job that exists."""
        with self._connector.read() as transaction:
            found = self._listed(transaction, LAST_EPOCHS, ids)
        return {row["id"]: row["latest"]["epoch"] if row["latest"] else 0 for row in found}

    def epoch_arrays(self, ids: Sequence[str], after: int = 0) -> dict[str, EpochArray]:
        """Return the epochs with numbers above `after` of the jobs that exist, in their order."""
        with self._connector.read() as transaction:
            found = self._listed(transaction, LAST_EPOCHS, ids)
            numbers = {row["id"]: row["number"] for row in found}
            arrays = read_epoch_arrays(transaction, list(numbers.values()), after)
        return {id_: arrays[numbers[id_]] for id_ in ids if id_ in numbers}

    def events(self, id_: str, after: int = 0) -> tuple[StoredJob, list[StoredEvent]]:
        """Return the job and its events with numbers above `after`, as of one moment."""
        with self._connector.read() as transaction:
            row = self._find(transaction, id_)
            found = transaction.rows(EVENTS, job=row["number"], after=after)
        return stored_job(row), [StoredEvent(**event) for event in found]

    def news(self, ids: Sequence[str]) -> dict[str, tuple[int, int, str]]:
        """Return (event count, heartbeat, state) of each job that still exists."""
        with self._connector.read() as transaction:
            found = self._listed(transaction, NEWS, ids)
        return {row["id"]: (row["event_count"], row["heartbeat"], row["state"]) for row in found}

    def counts(self) -> dict[State, int]:
        """Return how many jobs are in each state."""
        with self._connector.read() as transaction:
            found = self._rows(transaction, COUNT_BY_STATE)
        present = {row["state"]: row["jobs"] for row in found}
        return {state: present.get(state, 0) for state in State}

    def queue_length(self) -> int:
        """Return how many jobs are queued, whoever owns them."""
        with self._connector.read() as transaction:
            [counted] = transaction.rows(COUNT_QUEUED)
        return int(counted["ahead"])

    def latest(self) -> str:
        """Return the id of the newest job whose network has learned something.

        Raises:
            NoLatestModel: there is none yet; the error names the newest job there is.

        """
        with self._connector.read() as transaction:
            if found := self._rows(transaction, LATEST):
                return str(found[0]["id"])
            newest = self._rows(transaction, NEWEST_SUCCEEDED) or self._rows(transaction, NEWEST)
        raise NoLatestModel(**newest[0]) if newest else NoLatestModel()

    def network_key(self, ref: ModelRef) -> str | None:
        """Return the key of the network that a reference names; never wait.

        None also means that the database is busy, or that no row names such a network. SQLite takes
        a reader's lock, so a commit is seen either whole or not at all.
        """
        return _network_key(ref, self._connector.try_value(*self._key_lookup(ref)))

    async def find_network_key(self, ref: ModelRef) -> str | None:
        """Return what `network_key` does, also if the database is a server; it waits a little."""
        return _network_key(ref, await self._connector.find_value(*self._key_lookup(ref)))

    @property
    def finds_at_once(self) -> bool:
        """Whether `network_key` finds what there is; `find_network_key` always does."""
        return self._connector.finds_at_once

    def _key_lookup(self, ref: ModelRef) -> tuple[str, dict[str, Any]]:
        statement = _narrowed(_key_statement(ref), self._everything)
        return statement, {"id": ref.job, "owner": self._owner, "epoch": ref.at}

    def with_snapshots(self, id_: str) -> tuple[StoredJob, list[CheckpointRef], list[Snapshot]]:
        """Return the job, its checkpoints (newest first) and its snapshots (by epoch)."""
        with self._connector.read() as transaction:
            row = self._find(transaction, id_)
            snapshots = snapshots_of(transaction, row["number"], id_)
            return stored_job(row), checkpoint_refs(transaction, row), snapshots

    def with_checkpoints(self, id_: str) -> tuple[StoredJob, list[CheckpointRef]]:
        """Return the job and the checkpoints that count, newest first: at most two."""
        with self._connector.read() as transaction:
            row = self._find(transaction, id_)
            return stored_job(row), checkpoint_refs(transaction, row)

    def _find(self, transaction: Transaction, id_: str) -> Row:
        return self._one(transaction, FIND, id_)

    def _lock(self, transaction: Transaction, id_: str) -> Row:
        """Lock the job's row until the transaction ends; what is done to it is decided after."""
        return self._one(transaction, LOCK, id_)

    def _one(self, transaction: Transaction, statement: str, id_: str) -> Row:
        found = self._rows(transaction, statement, id=id_)
        if not found:
            raise JobNotFound(id_)
        return found[0]

    def _listed(self, transaction: Transaction, statement: str, ids: Sequence[str]) -> list[Row]:
        """Execute a statement about the jobs `{ids}`."""
        if not ids:
            return []
        listed, parameters = in_list("id", ids)
        return self._rows(transaction, statement.replace("{ids}", listed), **parameters)

    def _rows(self, transaction: Transaction, statement: str, **values: Any) -> list[Row]:
        """Execute a statement about jobs, narrowed to those in this view."""
        statement = _narrowed(statement, self._everything)
        return transaction.rows(statement, owner=self._owner, **values)


def _key_statement(ref: ModelRef) -> str:
    """Return the statement that finds the key of a network, or the id of the job to begin with."""
    if ref.at is None:
        return NEWEST_KEY_OF_LATEST if ref.is_latest else NEWEST_KEY
    if ref.at == "best":
        return BEST_KEY_OF_LATEST if ref.is_latest else BEST_KEY
    if ref.at == START:
        return LATEST if ref.is_latest else ID
    return SNAPSHOT_KEY_OF_LATEST if ref.is_latest else SNAPSHOT_KEY


def _network_key(ref: ModelRef, found: str | None) -> str | None:
    """Return the key of a network from what `_key_statement` has found."""
    return start_key(found) if found and ref.at == START else found


def _insert(transaction: Transaction, owner: str | None, job: NewJob) -> Row:
    id_, given = f"job_{uuid7()}", dict(vars(job))
    labels = labels_of(id_, job.spec, given.pop("network"))
    data = {"dataset_sha256": job.manifest.sha256, "manifest": encode_manifest(job.manifest)}
    values = {"id": id_, "owner": owner, "state": State.QUEUED, **given, **labels, **data}
    [row] = transaction.rows(INSERT, **values, bit_exact=True, created_at=now())
    # The event changes nothing else in the row that is returned.
    transition(transaction, row | {"event_count": 0}, State.QUEUED, None)
    return row


def _placed_job(transaction: Transaction, row: Row) -> StoredJob:
    """Return the job with its place in the queue."""
    if row["state"] != State.QUEUED:
        return stored_job(row)
    [counted] = transaction.rows(COUNT_AHEAD, number=row["number"])
    return stored_job(row, counted["ahead"] + 1)


def _allowed(state: State) -> list[str]:
    allowed = [action for action, moves in ACTIONS.items() if state in moves]
    return allowed if state in WITH_WORKER else [*allowed, "delete"]
