"""The server's connector: transactions over a pool of connections."""

import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine

from mlp_client.job_state import State
from service.domain.errors import StoreBroken
from service.store.jobs import JobStore
from service.store.sql import database as module
from service.store.sql.database import Database
from service.store.sql.driver import DriverConnector
from service.store.sql.migrate import migrate
from tests.conftest import submit
from tests.support.engines import only_sqlite
from tests.support.job_records import query

COUNT = "SELECT count(*) AS jobs FROM jobs"


# --- Connections ---


@only_sqlite
@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "delete"), ("synchronous", 3), ("foreign_keys", 1), ("busy_timeout", 30000)],
)
def test_the_pragmas_are_in_force_on_every_connection(
    database: Database, pragma: str, value: object
) -> None:
    with database.read() as first, database.read() as second, database.read() as third:
        for transaction in (first, second, third):
            assert list((transaction.row(f"PRAGMA {pragma}") or {}).values()) == [value]


@only_sqlite
def test_a_database_waits_for_its_patience(database_url: str) -> None:
    hasty = Database(database_url, patience=5)
    with hasty.read() as transaction:
        assert transaction.row("PRAGMA busy_timeout") == {"timeout": 5000}
    hasty.close()


def test_the_file_of_a_database_is_known() -> None:
    assert Database("sqlite:////a/b.sqlite3").file == Path("/a/b.sqlite3")


@only_sqlite
def test_a_new_connection_waits_for_a_long_write(database_url: str) -> None:
    holder = sqlite3.connect(database_url.removeprefix("sqlite:///"), check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(0.2, holder.rollback)
    release.start()
    database = Database(database_url)
    with database.read() as transaction:
        assert transaction.row(COUNT) == {"jobs": 0}
    release.join()
    holder.close()
    database.close()


# --- Transactions ---


def test_a_write_is_committed_at_its_end(database: Database) -> None:
    submit(JobStore(database))
    assert query(database, "SELECT count(*) FROM jobs") == [(1,)]


def test_an_exception_rolls_a_write_back_and_is_not_changed(database: Database) -> None:
    submit(JobStore(database))

    def fail() -> None:
        with database.write() as transaction:
            transaction.execute("DELETE FROM jobs")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert query(database, "SELECT count(*) FROM jobs") == [(1,)]


@only_sqlite
def test_a_write_holds_the_lock_from_its_beginning(database: Database) -> None:
    other = sqlite3.connect(database.url.removeprefix("sqlite:///"), timeout=0)
    with database.write(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()


@only_sqlite
def test_a_read_takes_no_write_lock(database: Database) -> None:
    other = sqlite3.connect(database.url.removeprefix("sqlite:///"), timeout=0)
    with database.read() as transaction:
        transaction.row(COUNT)
        other.execute("BEGIN IMMEDIATE")
    other.close()


def test_writers_of_one_name_wait_for_each_other(database: Database) -> None:
    """In SQLite, deferred transactions would fail here: each holds a lock that the other needs."""
    submit(JobStore(database))

    def add(_: int) -> None:
        with database.write("adding") as transaction:
            [row] = transaction.rows("SELECT lost_workers FROM jobs")
            time.sleep(0.002)
            more = row["lost_workers"] + 1
            transaction.execute("UPDATE jobs SET lost_workers = :more", more=more)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(add, range(24)))
    assert query(database, "SELECT lost_workers FROM jobs") == [(24,)]


def test_a_read_sees_one_moment(database: Database) -> None:
    jobs = JobStore(database)
    submit(jobs)
    writer = threading.Thread(target=submit, args=(jobs,))
    with database.read() as transaction:
        before = transaction.row(COUNT)
        writer.start()
        time.sleep(0.05)
        assert transaction.row(COUNT) == before == {"jobs": 1}
    writer.join()
    assert query(database, "SELECT count(*) FROM jobs") == [(2,)]


# --- Altering tables ---


@only_sqlite
def test_foreign_keys_are_off_only_while_tables_are_altered(database: Database) -> None:
    def enforced(way: str) -> bool:
        if way == "alter":
            with database.alter() as connection:
                return bool(connection.exec_driver_sql("PRAGMA foreign_keys").scalar())
        with getattr(database, way)() as transaction:
            return bool(transaction.row("PRAGMA foreign_keys")["foreign_keys"])

    ways = ("write", "alter", "write", "read")
    assert [enforced(way) for way in ways] == [True, False, True, True]
    with pytest.raises(ZeroDivisionError), database.alter():
        raise ZeroDivisionError
    assert enforced("write")


@only_sqlite
def test_a_change_that_breaks_references_is_rolled_back(database: Database) -> None:
    submit(JobStore(database))
    with pytest.raises(StoreBroken, match="refer to missing rows"), database.alter() as connection:
        connection.exec_driver_sql("DELETE FROM jobs")
    assert query(database, "SELECT count(*) FROM jobs") == [(1,)]


# --- Broken databases ---


def garbage(folder: Path) -> str:
    (folder / "garbage").write_bytes(bytes(range(256)) * 32)
    return f"sqlite:///{folder / 'garbage'}"


def directory(folder: Path) -> str:
    return f"sqlite:///{folder}"


def missing(folder: Path) -> str:
    return f"sqlite:///{folder / 'no' / 'folder'}"


def truncated(folder: Path) -> str:
    migrate(f"sqlite:///{folder / 'short'}")
    data = (folder / "short").read_bytes()
    (folder / "short").write_bytes(data[: len(data) // 2 + 100])
    return f"sqlite:///{folder / 'short'}"


@pytest.mark.parametrize("broken", [garbage, directory, missing, truncated])
def test_a_database_that_cannot_be_used_is_broken(
    tmp_path: Path, broken: Callable[[Path], str]
) -> None:
    database = Database(broken(tmp_path))
    with pytest.raises(StoreBroken, match="the database failed"):
        JobStore(database).counts()
    with pytest.raises(StoreBroken, match="the database failed"):
        submit(JobStore(database))
    database.close()


@only_sqlite
def test_a_database_that_cannot_be_written_is_broken_for_writers_only(database: Database) -> None:
    with closing(DriverConnector(database.engine, read_only=True)) as locked:
        assert JobStore(locked).counts()[State.QUEUED] == 0
        with pytest.raises(StoreBroken, match="readonly"):
            submit(JobStore(locked))


@only_sqlite
def test_a_lock_that_is_never_released_is_broken(database_url: str) -> None:
    database = Database(database_url, patience=0.05)
    with database.write(), pytest.raises(StoreBroken, match="locked"):
        submit(JobStore(database))
    submit(JobStore(database))
    database.close()


def test_a_pool_without_a_free_connection_is_broken(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(dialect: str, **options: Any) -> Engine:
        few = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.05}
        return create_engine(dialect, **options | few)

    monkeypatch.setattr(module, "create_engine", small)
    database = Database(database_url)
    with database.read(), pytest.raises(StoreBroken, match="the database failed"):
        JobStore(database).counts()
    database.close()
