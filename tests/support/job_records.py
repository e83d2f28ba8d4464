"""Jobs, epochs and checkpoints, brought to where a test needs them."""

import re
import sqlite3
from contextlib import closing
from dataclasses import asdict
from typing import Any

import psycopg2

from mlp_client.job_state import State
from mlp_core import Epoch
from service.domain.baseline import Baseline
from service.store.attempts import FAILED, STOPPED, SUCCEEDED, Attempt
from service.store.checkpoints import CheckpointRef
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.snapshots import NewSnapshot
from service.store.sql.database import Database
from service.store.sql.schema import metadata
from service.store.stored_job import EpochRecord
from tests.conftest import submit

HANDLE = {"boot_id": "boot", "pid_namespace": "space", "pid": 7, "start_ticks": 9}
ENVIRONMENT = {"arithmetic": 1, "numpy": "2", "blas": ["openblas"]}
DONE = ("epochs_done", "all epochs are done")
BAD = ("diverged", "the loss is not finite")
BASELINE = Baseline(0.1135, 10_000)
"""That of MNIST's test set."""
SHUTDOWN = ("shutdown", "asked to leave")

DEFAULT_SPEC = {
    "preset": None,
    "name": "",
    "tags": [],
    "metadata": {},
    "dataset": "mnist",
    "hidden": [128],
    "activation": "relu",
    "initialization": "he_normal",
    "initial_bias": 0.01,
    "epochs": 50,
    "batch_size": 64,
    "learning_rate": 0.1,
    "optimizer": {"type": "sgd", "momentum": 0.0, "nesterov": False},
    "l2": 0.0,
    "schedule": "constant",
    "augmentation": None,
    "class_weights": None,
    "seed": 1,
}
"""The values of fields that are not given, written out a second time."""


def epoch(number: int, *, loss: float = 0.5, accuracy: float = 0.9, seconds: float = 2.0) -> Epoch:
    return Epoch(
        number=number,
        train_loss=loss,
        train_accuracy=accuracy,
        test_loss=loss,
        test_accuracy=accuracy,
        seconds=seconds,
    )


def stored_epoch(epoch: Epoch) -> EpochRecord:
    """Return an epoch as clients read it."""
    values = asdict(epoch)
    return {"epoch": values.pop("number"), **values}


def saved(attempt: Attempt, epochs_done: int, batches_done: int = 0) -> CheckpointRef:
    key = f"{attempt.job}/{attempt.number}/{epochs_done}-{batches_done}.safetensors"
    return CheckpointRef(attempt.job, attempt.number, epochs_done, batches_done, key, 1, "0" * 64)


def claimed(database: Database, **fields: Any) -> Attempt:
    """A new job that is claimed, before the first heartbeat of its worker."""
    return claim(database, submit(JobStore(database), **fields))


def claim(database: Database, job: str) -> Attempt:
    """Claim a job that is queued, whatever else is."""
    others = [row.id for row in JobStore(database).page(100).jobs if row.id != job]
    claim = Queue(database).claim(others)
    assert claim is not None
    assert claim.job == job
    return Attempt(database, job, claim.attempt)


def started(database: Database, **fields: Any) -> Attempt:
    attempt = claimed(database, **fields)
    attempt.begin(HANDLE, ENVIRONMENT)
    return attempt


def restarted(database: Database, job: str) -> Attempt:
    """Claim a job that is queued and begin its next attempt."""
    attempt = claim(database, job)
    attempt.begin(HANDLE, ENVIRONMENT)
    return attempt


def in_state(database: Database, state: State | str) -> str:
    """Submit a job and bring it to `state` in the usual way; return its id."""
    jobs, state = JobStore(database), State(state)
    if state in (State.QUEUED, State.PAUSED, State.CANCELLED):
        job = submit(jobs)
        if state != State.QUEUED:
            jobs.act("pause" if state == State.PAUSED else "cancel", job)
        return job
    attempt = started(database)
    if state in (State.PAUSING, State.CANCELLING):
        jobs.act("pause" if state == State.PAUSING else "cancel", attempt.job)
    elif state in (State.SUCCEEDED, State.FAILED):
        if state == State.SUCCEEDED:
            finish(attempt)
        else:
            attempt.end(FAILED, BAD)
    return attempt.job


def succeed(database: Database, accuracy: float = 0.9, **fields: Any) -> str:
    attempt = started(database, **fields)
    finish(attempt, accuracy, saved(attempt, 1))
    return attempt.job


def finish(attempt: Attempt, accuracy: float = 0.9, saved: CheckpointRef | None = None) -> None:
    """End an attempt whose network has this accuracy on the test set."""
    attempt.end(SUCCEEDED, DONE, saved, [epoch(1, accuracy=accuracy)], "f" * 64, BASELINE)


def stop(attempt: Attempt) -> State:
    return attempt.end(STOPPED, SHUTDOWN)


def content(database: Database) -> bytes:
    """Everything that the database holds: the bytes of its file, or all rows that a server has."""
    if file := database.file:
        return file.read_bytes()
    rows = {name: query(database, f"SELECT * FROM {name}") for name in metadata.tables}
    return repr(rows).encode()


def query(database: Database, statement: str, **parameters: object) -> list[Any]:
    """Query the database with the driver alone, without the code under test."""
    if file := database.file:
        with closing(sqlite3.connect(file, timeout=30)) as connection, connection:
            return connection.execute(statement, parameters).fetchall()
    with closing(psycopg2.connect(database.url)) as connection, connection:
        cursor = connection.cursor()
        escaped = statement.replace("%", "%%")
        cursor.execute(re.sub(r"(?<!\w):([a-z]\w*)", r"%(\1)s", escaped), parameters)
        return cursor.fetchall() if cursor.description else []


def taken(attempt: Attempt, number: int, *, planned: bool = False, **record: Any) -> NewSnapshot:
    """Return a snapshot of an epoch, whose file is not written."""
    key = f"{attempt.job}/{attempt.number}/after-{number}.safetensors"
    file = CheckpointRef(attempt.job, attempt.number, number, 0, key, 7, "a" * 64)
    return NewSnapshot(epoch(number, **record), planned, file)


def sized(database: Database, *sizes: int, owner: str | None = None) -> list[str]:
    """Submit jobs whose workers take so many bytes."""
    jobs = JobStore(database).seen_by(owner, everything=owner is None)
    ids = [submit(jobs) for _ in sizes]
    for id_, size in zip(ids, sizes, strict=True):
        query(database, "UPDATE jobs SET bytes = :size WHERE id = :id", size=size, id=id_)
    return ids
