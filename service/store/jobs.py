"""What clients do with jobs: submit, read, list, cancel, pause, resume, delete."""

import secrets
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Select,
    bindparam,
    delete,
    false,
    func,
    insert,
    select,
    true,
    union_all,
)
from sqlalchemy.engine import RowMapping
from sqlalchemy.sql.dml import ReturningUpdate

from mlp_client.records import Cost, Epoch, Event, Job, Links, Metrics, Progress, Reason
from mlp_client.spec import SPEC_VERSION, Spec, StoredSpec
from service.domain.errors import JobNotFound, NoneSucceeded, WrongMove
from service.domain.job_state import WITH_WORKER, State
from service.store.checkpoints import CheckpointRef
from service.store.guards import HOLD, hold_by, in_state
from service.store.idempotency import find_twin, keep_key
from service.store.sql.connector import Database
from service.store.sql.schema import epochs, events, jobs
from service.store.transitions import checkpoint_refs, move, now

# What each action makes of each state that allows it. A state that is already where the action
# leads is left alone, so that repeating a done action is harmless.
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
DONE: dict[str, tuple[State, ...]] = {
    "cancel": (State.CANCELLING, State.CANCELLED),
    "pause": (State.PAUSING, State.PAUSED),
    "resume": (State.QUEUED, State.RUNNING),
}
Columns = Mapping[str, Sequence[float]]
Statement = TypeVar("Statement", Select[Any], Delete, ReturningUpdate[Any])


@dataclass(frozen=True)
class Page:
    jobs: list[Job]
    has_more: bool


@dataclass(frozen=True)
class Submission:
    job: str
    answer: str
    replayed: bool
    """True if an earlier request with the same key made the job."""


class JobStore:
    """The jobs as clients see them: all, or through `seen_by` those of one owner."""

    def __init__(
        self,
        database: Database,
        owner: str | None = None,
        seen: Sequence[ColumnElement[bool]] = (),
    ) -> None:
        self._database = database
        self._owner = owner
        self._seen = seen  # every statement about jobs carries this condition

    def seen_by(self, owner: str | None, *, everything: bool) -> "JobStore":
        """Return the store as `owner` knows it: what is submitted there is the owner's.

        Without `everything` the jobs of others do not exist there; nobody (None) has none at all.
        """
        if everything:
            return JobStore(self._database, owner)
        own = false() if owner is None else jobs.c.owner == owner
        return JobStore(self._database, owner, [own])

    def submit(
        self,
        spec: Spec,
        cost: Cost,
        batches_per_epoch: int,
        render: Callable[[Job], str],
        key: str | None = None,
        body: bytes = b"",
    ) -> Submission:
        """Store a new queued job, and the answer that `render` makes of it.

        With an idempotency `key` seen before, nothing is stored and the first answer comes back.

        Raises:
            KeyReused: the key was used with another body.

        """
        with self._database.write() as connection:
            if key is not None and (twin := find_twin(connection, self._owner, key, body)):
                return Submission(*twin, replayed=True)
            row = _insert(connection, self._owner, spec, cost, batches_per_epoch)
            answer = render(_placed_job(connection, row))
            if key is not None:
                keep_key(connection, key, body, row, answer)
        return Submission(row["id"], answer, replayed=False)

    def replay(self, key: str, body: bytes) -> Submission | None:
        """Return what an earlier submission with the same key was answered, if there was one.

        Raises:
            KeyReused: the key was used with another body.

        """
        with self._database.read() as connection:
            twin = find_twin(connection, self._owner, key, body)
        return Submission(*twin, replayed=True) if twin else None

    def get(self, id_: str) -> Job:
        """Return the job, with its place in the queue."""
        with self._database.read() as connection:
            return _placed_job(connection, self._find(connection, id_))

    def page(self, limit: int, after: str | None = None, states: Sequence[State] = ()) -> Page:
        """Return up to `limit` jobs, newest first, from the one behind `after`."""
        with self._database.read() as connection:
            below = None if after is None else self._find(connection, after)["number"]
            query = _newest(limit + 1, states, below, self._seen)
            found = connection.execute(query).mappings().all()
        return Page([_job(row) for row in found[:limit]], has_more=len(found) > limit)

    def act(self, action: str, id_: str) -> Job:
        """Cancel, pause or resume a job.

        Raises:
            WrongMove: its state does not allow the action; nothing has changed.

        """
        asked = {"code": "user", "message": f"a client asked to {action}"}
        with self._database.write() as connection:
            held = hold_by(connection, self._own(ALLOWING[action]), held_id=id_)
            if held is not None:
                reason = None if action == "resume" else asked
                move(connection, held, ACTIONS[action][State(held["state"])], reason)
            row = self._find(connection, id_)
            if held is None and row["state"] not in DONE[action]:
                raise WrongMove(action, row["state"], _allowed(State(row["state"])))
            return _placed_job(connection, row)

    def delete(self, id_: str) -> None:
        """Forget a job and everything known about it.

        Raises:
            WrongMove: a worker trains it; cancel it first.

        """
        with self._database.write() as connection:
            gone = connection.execute(self._own(FORGET), {"of": id_})
            if gone.rowcount == 0:
                row = self._find(connection, id_)
                raise WrongMove("delete", row["state"], _allowed(State(row["state"])))

    def epochs(self, id_: str, after: int = 0) -> list[Epoch]:
        """Return the finished epochs with numbers above `after`."""
        with self._database.read() as connection:
            job = self._find(connection, id_)["number"]
            query = select(epochs).where(epochs.c.job == job, epochs.c.number > after)
            found = connection.execute(query.order_by(epochs.c.number)).mappings().all()
        # Made outside of the transaction: no worker can commit while it lasts.
        return [
            Epoch(epoch=row["number"], **{name: row[name] for name in EPOCH_VALUES})
            for row in found
        ]

    def epoch_columns(self, id_: str, last: int) -> Columns:
        """Return the finished epochs up to `last` as columns, named as the fields of `Epoch`.

        Ten thousand objects would take a tenth of a second.
        """
        values = [epochs.c[name] for name in EPOCH_VALUES]
        with self._database.read() as connection:
            job = self._find(connection, id_)["number"]
            query = select(epochs.c.number, *values)
            query = query.where(epochs.c.job == job, epochs.c.number <= last)
            found = connection.execute(query.order_by(epochs.c.number)).all()
        columns = zip(*found, strict=True) if found else [()] * (1 + len(values))
        return dict(zip(("epoch", *EPOCH_VALUES), columns, strict=True))

    def events(self, id_: str, after: int = 0) -> tuple[Job, list[Event]]:
        """Return the job and its events with numbers above `after`, as of one moment."""
        with self._database.read() as connection:
            row = self._find(connection, id_)
            query = select(events).where(events.c.job == row["number"], events.c.number > after)
            found = connection.execute(query.order_by(events.c.number)).mappings().all()
        return _job(row), [Event(**_without_job(event)) for event in found]

    def news(self, ids: Sequence[str]) -> dict[str, tuple[int, int, str]]:
        """Return (event count, beat, state) of each job that is still there."""
        columns = (jobs.c.id, jobs.c.event_count, jobs.c.beat, jobs.c.state)
        with self._database.read() as connection:
            found = connection.execute(select(*columns).where(jobs.c.id.in_(ids), *self._seen))
            return {id_: (count, beat, state) for id_, count, beat, state in found}

    def counts(self) -> dict[State, int]:
        """Return how many jobs are in each state."""
        with self._database.read() as connection:
            count = select(jobs.c.state, func.count()).where(*self._seen)
            found = connection.execute(count.group_by(jobs.c.state))
            present: dict[str, int] = dict(found.all())
        return {state: present.get(state, 0) for state in State}

    def latest_succeeded(self) -> str:
        """Return the id of the job that succeeded last.

        Raises:
            NoneSucceeded: there is none yet.

        """
        query = select(jobs.c.id).where(jobs.c.state == State.SUCCEEDED, *self._seen)
        with self._database.read() as connection:
            id_ = connection.scalar(query.order_by(jobs.c.finish_number.desc()).limit(1))
        if id_ is None:
            raise NoneSucceeded
        return str(id_)

    def newest_key(self, ref: str) -> str | None:
        """Return the key of the newest checkpoint of a job, by its id or `latest`; see `Glance`."""
        return self._database.glance.newest_key(ref, self._owner, everything=not self._seen)

    def with_checkpoints(self, id_: str) -> tuple[Job, list[CheckpointRef]]:
        """Return the job and the checkpoints that count, newest first: at most two."""
        with self._database.read() as connection:
            row = self._find(connection, id_)
            return _job(row), checkpoint_refs(connection, row)

    def _find(self, connection: Connection, id_: str) -> RowMapping:
        row = connection.execute(self._own(FIND), {"of": id_}).mappings().one_or_none()
        if row is None:
            raise JobNotFound(id_)
        return row

    def _own(self, statement: Statement) -> Statement:
        """Keep the statement to the jobs that are seen; as it is, it is known to SQLAlchemy."""
        return statement.where(*self._seen) if self._seen else statement


# Made once: to put a statement together takes longer than to execute it.
INSERT = insert(jobs).returning(jobs)
FIND = select(jobs).where(jobs.c.id == bindparam("of"))
ALLOWING = {
    action: HOLD.where(jobs.c.id == bindparam("held_id"), in_state(list(moves)))
    for action, moves in ACTIONS.items()
}
IDLE = [state for state in State if state not in WITH_WORKER]
FORGET = delete(jobs).where(jobs.c.id == bindparam("of"), in_state(IDLE))
AHEAD = select(func.count()).where(jobs.c.state == State.QUEUED, jobs.c.number < bindparam("of"))
EPOCH_VALUES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds")


def _newest(
    limit: int, states: Sequence[State], below: int | None, seen: Sequence[ColumnElement[bool]]
) -> Select[Any]:
    """Select jobs, newest first, with numbers `below` the given one.

    Each state is looked up by itself: its newest are the end of its part of the index, while those
    of several states together would have to be sorted, or searched for among all jobs.
    """
    order = jobs.c.number.desc()
    kinds = [jobs.c.state == state for state in dict.fromkeys(states)] or [true()]
    pages = [select(jobs.c.number).where(kind, *seen) for kind in kinds]
    if below is not None:
        pages = [page.where(jobs.c.number < below) for page in pages]
    newest = [select(page.order_by(order).limit(limit).subquery()) for page in pages]
    return select(jobs).where(jobs.c.number.in_(union_all(*newest))).order_by(order).limit(limit)


def _insert(
    connection: Connection, owner: str | None, spec: Spec, cost: Cost, batches_per_epoch: int
) -> RowMapping:
    values = {
        "id": f"job_{_uuid7()}",
        "state": State.QUEUED,
        "attempt": 0,
        "losses": 0,
        "spec": spec.model_dump(mode="json"),
        "spec_version": SPEC_VERSION,
        "cost": cost.model_dump(mode="json"),
        "batches_per_epoch": batches_per_epoch,
        "epochs_done": 0,
        "batches_done": 0,
        "bit_exact": True,
        "beat": 0,
        "event_count": 0,
        "created_at": now(),
        "owner": owner,
    }
    row = connection.execute(INSERT, values).mappings().one()
    move(connection, row, State.QUEUED, None)  # but for the count of events, the row stays as it is
    return row


def _position(connection: Connection, number: int) -> int:
    return int(connection.scalar(AHEAD, {"of": number}) or 0) + 1


def _allowed(state: State) -> list[str]:
    allowed = [action for action, moves in ACTIONS.items() if state in moves]
    return allowed if state in WITH_WORKER else [*allowed, "delete"]


def _without_job(event: RowMapping) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "job"}


def _placed_job(connection: Connection, row: RowMapping) -> Job:
    """Return the job with its place in the queue."""
    queued = row["state"] == State.QUEUED
    return _job(row, position=_position(connection, row["number"]) if queued else None)


def _job(row: RowMapping, position: int | None = None) -> Job:
    base, spec = f"/v1/jobs/{row['id']}", StoredSpec(**row["spec"])
    latest = row["latest"] and Epoch(**row["latest"])
    done = row["state"] == State.SUCCEEDED
    return Job(
        id=row["id"],
        owner=row["owner"],
        state=State(row["state"]),
        reason=row["reason"] and Reason(**row["reason"]),
        attempt=row["attempt"],
        lost_workers=row["losses"],
        spec=spec,
        spec_version=row["spec_version"],
        cost=Cost(**row["cost"]),
        progress=_progress(row, spec),
        queue_position=position,
        metrics=Metrics(
            latest=latest,
            best=row["best"] and Epoch(**row["best"]),
            final=latest if done else None,
        ),
        weights_sha256=row["weights_sha256"],
        bit_exact=row["bit_exact"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        links=Links(
            self=base,
            epochs=f"{base}/epochs",
            events=f"{base}/events",
            curves=f"{base}/curves.png",
            weights=f"/v1/models/{row['id']}/layers/1/weights.png",
            predict=f"/v1/models/{row['id']}/predict",
        ),
    )


def _progress(row: RowMapping, spec: StoredSpec) -> Progress:
    per_epoch = row["batches_per_epoch"]
    done = row["epochs_done"] + row["batches_done"] / per_epoch
    seconds = row["latest"]["seconds"] if row["latest"] else row["cost"]["seconds"] / spec.epochs
    running = row["state"] == State.RUNNING
    return Progress(
        epochs_done=row["epochs_done"],
        epochs=spec.epochs,
        batches_done=row["batches_done"],
        batches_per_epoch=per_epoch,
        fraction=min(1.0, done / spec.epochs),
        eta_seconds=round(max(0.0, spec.epochs - done) * seconds, 1) if running else None,
    )


def _uuid7() -> uuid.UUID:
    """Return a time-ordered UUID (RFC 9562, version 7); `uuid.uuid7` comes with Python 3.14."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    return uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62)
