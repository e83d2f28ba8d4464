import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, func, select, update

from service.domain.errors import StoreBroken
from service.store.jobs import JobStore
from service.store.sql import connector as module
from service.store.sql import sqlite
from service.store.sql.database import Database
from service.store.sql.migrate import REVISIONS, migrate
from service.store.sql.schema import jobs as table
from service.store.sql.schema import metadata
from service.store.sql.sqlite import sqlite_url
from tests.conftest import submit
from tests.support.job_records import query

TABLES = ("api_keys", "checkpoints", "epochs", "events", "idempotency_keys", "jobs")
COUNT = select(func.count()).select_from(table)


def shape_of(path: Path) -> dict[str, object]:
    """All that SQLite itself can tell of the tables."""
    connection = sqlite3.connect(path)
    found: dict[str, object] = {}
    for name in TABLES:
        found[name] = connection.execute(f"PRAGMA table_xinfo({name})").fetchall()
        found[f"{name} keys"] = connection.execute(f"PRAGMA foreign_key_list({name})").fetchall()
        listed = connection.execute(f"PRAGMA index_list({name})").fetchall()
        for _, index, *kind in listed:
            columns = connection.execute(f"PRAGMA index_info({index})").fetchall()
            found[index] = (kind, columns)
        sql = connection.execute(f"SELECT sql FROM sqlite_master WHERE name = '{name}'").fetchone()
        found[f"{name} counts"] = "AUTOINCREMENT" in sql[0]
    connection.close()
    return found


# --- Pragmas ---


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "delete"), ("synchronous", 3), ("foreign_keys", 1), ("busy_timeout", 30000)],
)
def test_the_pragmas_are_in_force_on_every_connection(
    database: Database, pragma: str, value: object
) -> None:
    with database.read() as first, database.read() as second, database.read() as third:
        for connection in (first, second, third):
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value


def test_a_database_waits_as_long_as_it_is_told(database_url: str) -> None:
    hasty = Database(database_url, busy_seconds=5)
    with hasty.read() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 5000
    hasty.close()


def test_the_file_of_a_database_is_known() -> None:
    assert Database("sqlite:////a/b.sqlite3").file == Path("/a/b.sqlite3")


def test_a_new_connection_waits_for_a_long_write(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver's own patience is made short: ours must count from the first statement on."""
    short = create_engine(database_url, connect_args={"timeout": 0.0})
    monkeypatch.setattr(module, "create_engine", lambda url, **_: short)
    holder = sqlite3.connect(database_url.removeprefix("sqlite:///"), check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(0.2, holder.rollback)
    release.start()
    database = Database(database_url)
    with database.read() as connection:
        assert connection.scalar(COUNT) == 0
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
        with database.write() as connection:
            connection.execute(table.delete())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert query(database, "SELECT count(*) FROM jobs") == [(1,)]


def test_a_write_holds_the_lock_from_its_beginning(database: Database) -> None:
    other = sqlite3.connect(database.url.removeprefix("sqlite:///"), timeout=0)
    with database.write(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()


def test_a_read_takes_no_write_lock(database: Database) -> None:
    other = sqlite3.connect(database.url.removeprefix("sqlite:///"), timeout=0)
    with database.read() as connection:
        connection.scalar(COUNT)
        other.execute("BEGIN IMMEDIATE")
    other.close()


def test_readers_that_become_writers_wait_for_each_other(database: Database) -> None:
    """As deferred transactions they would fail at once: each holds what the other waits for."""
    submit(JobStore(database))

    def add(_: int) -> None:
        with database.write() as connection:
            losses = connection.scalar(select(table.c.lost_workers))
            time.sleep(0.002)
            connection.execute(update(table).values(losses=losses + 1))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(add, range(24)))
    assert query(database, "SELECT losses FROM jobs") == [(24,)]


def test_a_read_sees_one_moment(database: Database) -> None:
    jobs = JobStore(database)
    submit(jobs)
    writer = threading.Thread(target=submit, args=(jobs,))
    with database.read() as connection:
        before = connection.scalar(COUNT)
        writer.start()
        time.sleep(0.05)
        assert connection.scalar(COUNT) == before == 1
    writer.join()
    assert query(database, "SELECT count(*) FROM jobs") == [(2,)]


# --- Migrations ---


def test_the_migrated_schema_is_that_of_the_code(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_sqlite_sees_no_difference_between_migrated_and_made(
    database: Database, tmp_path: Path
) -> None:
    made = tmp_path / "made.sqlite3"
    engine = create_engine(f"sqlite:///{made}")
    metadata.create_all(engine)
    engine.dispose()
    migrated = shape_of(Path(database.url.removeprefix("sqlite:///")))
    assert migrated == shape_of(made)
    assert migrated["jobs counts"] is True


def test_a_migration_starts_from_nothing_and_makes_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "jobs.sqlite3"
    migrate(f"sqlite:///{path}")
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    connection.close()
    assert found == [(REVISIONS[-1],)]


@pytest.mark.parametrize("name", ["a?b%c", "a#b", "50%20 + é"])
def test_a_database_may_lie_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "jobs.sqlite3"
    migrate(sqlite_url(path))
    database = Database(sqlite_url(path))
    submit(JobStore(database))
    database.close()
    assert [file.relative_to(tmp_path) for file in tmp_path.glob("*/*")] == [
        Path(name) / "jobs.sqlite3"
    ]


def test_foreign_keys_are_off_only_while_tables_are_altered(database: Database) -> None:
    def enforced(way: str) -> bool:
        with getattr(database, way)() as connection:
            return bool(connection.exec_driver_sql("PRAGMA foreign_keys").scalar())

    ways = ("write", "alter", "write", "read")
    assert [enforced(way) for way in ways] == [True, False, True, True]
    with pytest.raises(ZeroDivisionError), database.alter():
        raise ZeroDivisionError
    assert enforced("write")


def test_rows_that_refer_to_nothing_are_not_altered(database: Database) -> None:
    submit(JobStore(database))
    with pytest.raises(StoreBroken, match="refer to nothing"), database.alter() as connection:
        connection.execute(table.delete())
    assert query(database, "SELECT count(*) FROM jobs") == [(1,)]


def test_a_migrated_database_is_left_alone(database: Database) -> None:
    submit(JobStore(database))
    path = Path(database.url.removeprefix("sqlite:///"))
    before = path.read_bytes()
    migrate(database.url)
    assert path.read_bytes() == before


def test_a_database_of_a_newer_version_is_left_alone(database: Database) -> None:
    query(database, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreBroken, match=r"can't be upgraded by this version: .*9999"):
        migrate(database.url)
    assert query(database, "SELECT version_num FROM alembic_version") == [("9999",)]


def test_processes_that_migrate_at_once_migrate_once(tmp_path: Path) -> None:
    url, go = f"sqlite:///{tmp_path / 'jobs.sqlite3'}", tmp_path / "go"
    code = (
        "import sys, time, alembic.command, alembic.config; from pathlib import Path\n"
        "from service.store.sql.connector import migrate\n"
        "while not Path(sys.argv[2]).exists(): time.sleep(0.01)\n"
        "migrate(sys.argv[1])"
    )
    command = [sys.executable, "-W", "error", "-c", code, url, go]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    time.sleep(0.8)
    go.touch()
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert set(shape_of(tmp_path / "jobs.sqlite3")) >= set(TABLES)


# --- What is broken says so ---


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


def test_a_database_that_cannot_be_written_is_broken_for_writers_only(database: Database) -> None:
    path = database.url.removeprefix("sqlite:///")
    locked = Database(f"sqlite:///file:{path}?mode=ro&uri=true")
    assert JobStore(locked).counts()["queued"] == 0
    with pytest.raises(StoreBroken, match="readonly"):
        submit(JobStore(locked))
    locked.close()


def test_a_garbage_file_is_not_migrated(tmp_path: Path) -> None:
    url = garbage(tmp_path)
    before = (tmp_path / "garbage").read_bytes()
    with pytest.raises(StoreBroken, match="not a database"):
        migrate(url)
    assert (tmp_path / "garbage").read_bytes() == before


def test_a_folder_that_cannot_be_made_is_broken(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreBroken, match="file"):
        migrate(f"sqlite:///{tmp_path / 'file' / 'jobs.sqlite3'}")


def test_a_lock_that_is_never_released_is_broken(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PRAGMAS", ("busy_timeout=50",))
    database = Database(database_url)
    with database.write(), pytest.raises(StoreBroken, match="locked"):
        submit(JobStore(database))
    submit(JobStore(database))
    database.close()


def test_to_wait_in_vain_for_a_connection_is_broken(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = create_engine(database_url, pool_size=1, max_overflow=0, pool_timeout=0.05)
    monkeypatch.setattr(module, "create_engine", lambda url, **_: small)
    database = Database(database_url)
    with database.read(), pytest.raises(StoreBroken, match="the database failed"):
        JobStore(database).counts()
    database.close()
