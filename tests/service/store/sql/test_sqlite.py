"""A worker's own way to the database keeps what SQLAlchemy's does."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlp_client.job_state import State
from service.domain.errors import StoreBroken, StoreFull
from service.store.attempts import SUCCEEDED, Attempt
from service.store.jobs import JobStore
from service.store.sql import sqlite as module
from service.store.sql.database import Database
from service.store.sql.schema import metadata
from service.store.sql.sqlite import PRAGMAS, Link, sqlite_url
from tests.support.job_records import DONE, claimed, content, epoch, query, saved, told

BEAT = "UPDATE jobs SET beat = beat + 1"


@pytest.fixture
def link(database_url: str) -> Iterator[Link]:
    link = Link(database_url)
    yield link
    link.close()


def beats(database: Database) -> int:
    [(beat,)] = query(database, "SELECT beat FROM jobs")
    return int(beat)


def test_an_attempt_goes_its_way_over_a_link(
    database: Database, jobs: JobStore, link: Link
) -> None:
    attempt = claimed(database, epochs=2, seed=7)
    attempt = Attempt(link, attempt.job, attempt.number)
    handle, environment = {"pid": 7}, {"numpy": "2"}
    task = attempt.begin(handle, environment)
    assert (task.spec["seed"], task.checkpoints) == (7, [])
    assert attempt.heartbeat((1, 0), [epoch(1)]) == State.RUNNING
    assert attempt.commit(saved(attempt, 1), []) == (State.RUNNING, [])
    assert attempt.begin(handle, environment).checkpoints == [saved(attempt, 1)]
    attempt.warn("code", "message", bit_exact=False)
    attempt.end(SUCCEEDED, DONE, saved(attempt, 2), [epoch(2, accuracy=0.8)], "f" * 64)
    job, events = jobs.events(attempt.job)
    assert (job.state, job.reason and job.reason.code) == ("succeeded", DONE[0])
    assert (job.weights_sha256, job.bit_exact) == ("f" * 64, False)
    assert (job.metrics.best, job.metrics.final) == (
        told(epoch(1)),
        told(epoch(2, accuracy=0.8)),
    )
    assert job.finished_at
    assert job.created_at < job.finished_at < events[-1].at
    assert jobs.with_checkpoints(attempt.job)[1] == [saved(attempt, 2)]


def test_what_a_link_writes_is_what_sqlalchemy_would(database: Database, link: Link) -> None:
    """Times and JSON are the same text, so that both read and compare them alike."""
    [attempt, other] = [claimed(database), claimed(database)]
    attempt.end(SUCCEEDED, DONE, None, [epoch(1)])
    Attempt(link, other.job, other.number).end(SUCCEEDED, DONE, None, [epoch(1)])
    table = metadata.tables["jobs"]
    with database.read() as connection:
        found = [dict(row) for row in connection.execute(table.select()).mappings()]
    differ = {name for name in found[0] if found[0][name] != found[1][name]}
    assert differ <= {"number", "id", "created_at", "started_at", "finished_at", "finish_number"}
    times = query(database, "SELECT created_at, finished_at FROM jobs")
    assert {len(time) for row in times for time in row} == {26}


@pytest.mark.parametrize("pragma", PRAGMAS)
def test_the_pragmas_are_in_force(link: Link, pragma: str) -> None:
    name, value = pragma.split("=")
    with link.write():
        [(found,)] = link.exec_driver_sql(f"PRAGMA {name}").fetchall()
        [(busy,)] = link.exec_driver_sql("PRAGMA busy_timeout").fetchall()
    assert {"delete": "DELETE", 3: "EXTRA", 1: "ON"}[found] == value
    assert busy == 30_000


def test_an_exception_rolls_back(database: Database, link: Link) -> None:
    claimed(database)
    before = content(database)

    def fail() -> None:
        with link.write():
            link.exec_driver_sql(BEAT)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert content(database) == before
    with link.write():
        link.exec_driver_sql(BEAT)
    assert beats(database) == 1


def test_a_lock_that_is_never_released_is_broken(
    database: Database, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.05)
    claimed(database)
    with database.write(), pytest.raises(StoreBroken, match="locked"), link.write():
        pass
    with link.write():
        link.exec_driver_sql(BEAT)
    assert beats(database) == 1


def test_a_full_database_is_full_and_works_again(database: Database, link: Link) -> None:
    claimed(database)

    def fill() -> None:
        with link.write():
            [(pages,)] = link.exec_driver_sql("PRAGMA page_count").fetchall()
            link.exec_driver_sql(f"PRAGMA max_page_count={pages}")
            link.exec_driver_sql(BEAT)
            link.exec_driver_sql("CREATE TABLE more AS SELECT randomblob(1000000)")

    with pytest.raises(StoreFull):
        fill()
    with link.write():
        link.exec_driver_sql(BEAT)
    assert beats(database) == 1


def test_a_database_that_can_not_be_opened_is_broken(tmp_path: Path) -> None:
    with pytest.raises(StoreBroken, match="unable to open"), Link(f"sqlite:///{tmp_path}").write():
        pass


def test_another_kind_of_database_is_refused() -> None:
    with pytest.raises(StoreBroken, match="SQLite only"):
        Link("postgresql://host/jobs")


def test_a_link_finds_a_file_whatever_signs_its_path_has(tmp_path: Path) -> None:
    path = tmp_path / "50% of a #path?.sqlite3"
    sqlite3.connect(path).close()
    link = Link(sqlite_url(path))
    with link.write():
        link.exec_driver_sql("CREATE TABLE here (x)")
    link.close()
    assert path.stat().st_size


def test_a_worker_imports_no_more_than_it_needs() -> None:
    """It starts in a third of the time, which is all of a short job's."""
    program = "import sys, service.work.worker; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    heavy = {"sqlalchemy", "pydantic", "structlog", "subprocess", "asyncio", "argparse"}
    assert not heavy & set(ran.stdout.split())
