"""A worker's connector keeps what the server's does, and a quick look-up does not wait."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlp_client.job_state import State
from service.domain.errors import StoreBroken, StoreFull
from service.store.attempts import SUCCEEDED, Attempt
from service.store.jobs import JobStore
from service.store.sql.database import Database
from service.store.sql.driver import DriverConnector
from service.store.sql.engine import engine_of
from service.store.sql.sqlite import PRAGMAS, SQLite, sqlite_url
from tests.support.engines import only_sqlite
from tests.support.job_records import DONE, claimed, content, epoch, query, saved, stored_epoch

HEARTBEAT = "UPDATE jobs SET heartbeat = heartbeat + 1"


@pytest.fixture
def driver(database_url: str) -> Iterator[DriverConnector]:
    driver = DriverConnector(engine_of(database_url))
    yield driver
    driver.close()


def heartbeats(database: Database) -> int:
    [(heartbeat,)] = query(database, "SELECT heartbeat FROM jobs")
    return int(heartbeat)


# --- Transactions ---


def test_an_attempt_runs_over_the_driver(
    database: Database, jobs: JobStore, driver: DriverConnector
) -> None:
    attempt = claimed(database, epochs=2, seed=7)
    attempt = Attempt(driver, attempt.job, attempt.number)
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
    assert (job.best, job.latest) == (stored_epoch(epoch(1)), stored_epoch(epoch(2, accuracy=0.8)))
    assert job.finished_at
    assert job.created_at < job.finished_at < events[-1].at
    assert jobs.with_checkpoints(attempt.job)[1] == [saved(attempt, 2)]


@only_sqlite
@pytest.mark.parametrize("pragma", PRAGMAS)
def test_the_pragmas_are_in_force(driver: DriverConnector, pragma: str) -> None:
    name, value = pragma.split("=")
    with driver.write() as transaction:
        [found] = transaction.rows(f"PRAGMA {name}")
        [busy] = transaction.rows("PRAGMA busy_timeout")
    assert {"delete": "DELETE", 3: "EXTRA", 1: "ON"}[found[name]] == value
    assert busy == {"timeout": 30_000}


def test_an_exception_rolls_back(database: Database, driver: DriverConnector) -> None:
    claimed(database)
    before = content(database)

    def fail() -> None:
        with driver.write() as transaction:
            transaction.execute(HEARTBEAT)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert content(database) == before
    with driver.write() as transaction:
        transaction.execute(HEARTBEAT)
    assert heartbeats(database) == 1


@only_sqlite
def test_a_lock_that_is_never_released_is_broken(database: Database) -> None:
    driver = DriverConnector(database.engine, patience=0.05)
    claimed(database)
    with database.write(), pytest.raises(StoreBroken, match="locked"), driver.write():
        pass
    with driver.write() as transaction:
        transaction.execute(HEARTBEAT)
    assert heartbeats(database) == 1
    driver.close()


@only_sqlite
def test_a_full_database_is_full_and_works_again(
    database: Database, driver: DriverConnector
) -> None:
    claimed(database)

    def fill() -> None:
        with driver.write() as transaction:
            [found] = transaction.rows("PRAGMA page_count")
            transaction.execute(f"PRAGMA max_page_count={found['page_count']}")
            transaction.execute(HEARTBEAT)
            transaction.execute("CREATE TABLE more AS SELECT randomblob(1000000)")

    with pytest.raises(StoreFull):
        fill()
    with driver.write() as transaction:
        transaction.execute(HEARTBEAT)
    assert heartbeats(database) == 1


def test_a_database_that_cannot_be_opened_is_broken(tmp_path: Path) -> None:
    driver = DriverConnector(engine_of(f"sqlite:///{tmp_path}"))
    with pytest.raises(StoreBroken, match="unable to open"), driver.write():
        pass


def test_a_file_is_found_whatever_characters_its_path_has(tmp_path: Path) -> None:
    path = tmp_path / "50% of a #path?.sqlite3"
    sqlite3.connect(path).close()
    driver = DriverConnector(engine_of(sqlite_url(path)))
    with driver.write() as transaction:
        transaction.execute("CREATE TABLE here (x INTEGER)")
    driver.close()
    assert path.stat().st_size


def test_a_worker_imports_no_more_than_it_needs() -> None:
    """It starts in a third of the time that it needs with these modules."""
    program = "import sys, service.work.worker; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    heavy = {"sqlalchemy", "pydantic", "structlog", "subprocess", "asyncio", "argparse"}
    assert not heavy & set(ran.stdout.split())


# --- Quick look-ups ---

NEWEST = "SELECT key FROM checkpoints WHERE job = :job ORDER BY number DESC LIMIT 1"


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "a b.sqlite3", isolation_level=None)
    connection.execute("CREATE TABLE checkpoints (number, job, key)")
    connection.execute("INSERT INTO checkpoints VALUES (1, 1, 'first')")
    yield connection
    connection.close()


@pytest.fixture
def reader(tmp_path: Path, writer: sqlite3.Connection) -> Iterator[DriverConnector]:
    engine = SQLite(sqlite_url(tmp_path / "a b.sqlite3"))
    reader = DriverConnector(engine, patience=0.005, read_only=True)
    yield reader
    reader.close()


def look_up(reader: DriverConnector) -> object:
    return reader.try_value(NEWEST, {"job": 1})


def test_a_commit_is_seen_whole_or_not_at_all(
    writer: sqlite3.Connection, reader: DriverConnector
) -> None:
    assert look_up(reader) == "first"
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO checkpoints VALUES (2, 1, 'second')")
    assert look_up(reader) == "first"
    writer.execute("COMMIT")
    assert look_up(reader) == "second"
    writer.execute("DELETE FROM checkpoints")
    assert look_up(reader) is None


def test_a_look_up_during_a_commit_finds_nothing(
    writer: sqlite3.Connection, reader: DriverConnector
) -> None:
    assert look_up(reader) == "first"
    writer.execute("BEGIN EXCLUSIVE")
    assert look_up(reader) is None
    writer.execute("ROLLBACK")
    assert look_up(reader) == "first"


def test_a_look_up_leaves_no_lock_behind(
    writer: sqlite3.Connection, reader: DriverConnector
) -> None:
    assert look_up(reader)
    writer.execute("PRAGMA busy_timeout=0")
    writer.execute("BEGIN EXCLUSIVE")
    writer.execute("COMMIT")


def test_a_look_up_without_a_file_finds_nothing_and_makes_none(tmp_path: Path) -> None:
    engine = SQLite(sqlite_url(tmp_path / "none.sqlite3"))
    assert look_up(DriverConnector(engine, patience=0.005, read_only=True)) is None
    assert not list(tmp_path.iterdir())


def test_a_connection_that_failed_is_opened_again(
    writer: sqlite3.Connection, reader: DriverConnector, tmp_path: Path
) -> None:
    assert look_up(reader) == "first"
    writer.execute("ALTER TABLE checkpoints RENAME TO others")
    assert look_up(reader) is None
    writer.execute("ALTER TABLE others RENAME TO checkpoints")
    assert look_up(reader) == "first"
    with (tmp_path / "a b.sqlite3").open("r+b") as damaged:
        damaged.write(b"x" * 100)
    assert look_up(reader) is None


def test_a_look_up_does_not_wait_for_another_thread(
    writer: sqlite3.Connection, reader: DriverConnector
) -> None:
    inside, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with reader.read():
            inside.set()
            leave.wait(30)

    other = threading.Thread(target=stay)
    other.start()
    assert inside.wait(30)
    assert look_up(reader) is None
    leave.set()
    other.join()
    assert look_up(reader)
