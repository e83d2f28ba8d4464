"""Databases of older versions are brought to the newest schema, or left as they are."""

import json
import re
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from service.domain.baseline import Baseline
from service.domain.cost import WORKER_BYTES
from service.domain.errors import StoreBroken
from service.store.api_keys import ApiKeyStore
from service.store.datasets import DatasetStore
from service.store.jobs import JobStore
from service.store.sql.database import Database
from service.store.sql.migrate import MIGRATIONS, REVISIONS, is_outdated, migrate, migrations
from service.store.sql.schema import ONLY_IN_POSTGRESQL, metadata
from service.store.sql.sqlite import sqlite_url
from service.store.worker_handles import worker_handles
from tests.conftest import submit
from tests.support.engines import only_sqlite
from tests.support.job_records import content, query
from tests.support.postgresql_server import PostgresServer

TABLES = ("api_keys", "checkpoints", "epochs", "events", "idempotency_keys", "jobs", "snapshots")


def shape_of(path: Path) -> dict[str, object]:
    """Return everything that SQLite knows about the tables."""
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


def test_the_migrated_schema_is_that_of_the_code(database: Database) -> None:
    with database.alter() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, metadata)
    comments = ("add_table_comment", "modify_comment")  # they are for who reads the code
    other = [it for it in differences if kind_of(it) not in comments]
    found = sorted((kind_of(it), it[1].name) for it in other)
    assert found == [("remove_index", name) for name in ONLY_IN_POSTGRESQL if not database.file]


def kind_of(difference: Any) -> str:
    """Return what Alembic calls a difference; those of a column are in a list."""
    return str(difference[0][0] if isinstance(difference, list) else difference[0])


@only_sqlite
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
def test_a_database_may_be_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "jobs.sqlite3"
    migrate(sqlite_url(path))
    database = Database(sqlite_url(path))
    submit(JobStore(database))
    database.close()
    assert [file.relative_to(tmp_path) for file in tmp_path.glob("*/*")] == [
        Path(name) / "jobs.sqlite3"
    ]


@pytest.mark.parametrize("revision", REVISIONS)
def test_workers_are_found_in_a_database_of_every_schema(tmp_path: Path, revision: str) -> None:
    """They are asked to stop before the database is migrated."""
    path = tmp_path / "jobs.sqlite3"
    url = sqlite_url(path)
    command.upgrade(migrations(url), revision)
    states = {"jobs": "running"}
    states |= {"datasets": "checking"} if revision >= "0011" else {}
    states |= {"evaluation_tasks": "running"} if revision >= "0014" else {}
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, state in states.items():
            columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
            required = [name for _, name, _, not_null, *_ in columns if not_null]
            values = dict.fromkeys(required, "0")
            values |= {"state": state, "handle": json.dumps({"worker of": table})}
            marks = ", ".join("?" * len(values))
            statement = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})"
            connection.execute(statement, list(values.values()))
    database = Database(url)
    assert is_outdated(database) == (revision != REVISIONS[-1])
    assert worker_handles(database) == [{"worker of": table} for table in states]
    database.close()


def test_columns_are_renamed_in_place_and_keep_their_values(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite3"
    url = sqlite_url(path)
    command.upgrade(migrations(url), "0004")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO jobs (id, state, attempt, losses, spec, spec_version, cost, beat, "
            "batches_per_epoch, epochs_done, batches_done, bit_exact, event_count, created_at) "
            "VALUES ('job_1', 'queued', 4, 3, '{}', 1, '{}', 17, 1, 0, 0, 1, 0, '2026-01-01')"
        )
        connection.execute(
            "INSERT INTO idempotency_keys (owner, key, body_sha256, job, answer, created_at) "
            "VALUES ('', 'key', 'sha', 'job_1', '{\"losses\":3}', '2026-01-01')"
        )
    migrate(url)
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT id, attempt, lost_workers, heartbeat FROM jobs")
        assert found.fetchall() == [("job_1", 4, 3, 17)]
        answers = connection.execute("SELECT answer FROM idempotency_keys").fetchall()
    assert answers == [('{"losses":3}',)], "an answer is sent again unchanged"


def test_jobs_that_succeeded_before_are_judged_by_their_last_epoch(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite3"
    url = sqlite_url(path)
    command.upgrade(migrations(url), "0005")
    accuracies = {"good": [0.3, 0.98], "spoilt": [0.95, 0.098], "ones": [0.1135], "running": [0.9]}
    with closing(sqlite3.connect(path)) as connection, connection:
        for number, (id_, of_epochs) in enumerate(accuracies.items(), start=1):
            state = "running" if id_ == "running" else "succeeded"
            connection.execute(
                "INSERT INTO jobs (number, id, state, attempt, lost_workers, spec, spec_version, "
                "cost, heartbeat, batches_per_epoch, epochs_done, batches_done, bit_exact, "
                "event_count, created_at, finish_number) "
                "VALUES (?, ?, ?, 1, 0, '{}', 1, '{}', 1, 1, 1, 0, 1, 0, '2026-01-01', ?)",
                [number, id_, state, number if state == "succeeded" else None],
            )
            connection.executemany(
                "INSERT INTO epochs VALUES (?, ?, 1, 0.5, 1, ?, 1)",
                [(number, epoch, value) for epoch, value in enumerate(of_epochs, start=1)],
            )
        connection.execute(
            "INSERT INTO api_keys (id, owner, secret_sha256, scopes, created_at) "
            "VALUES ('abc', 'ada', 'sha', '[\"read\"]', '2026-01-01 00:00:00.000000')"
        )
    migrate(url)
    found = query_of(path, "SELECT id, learned, test_accuracy FROM jobs ORDER BY number")
    assert found == [
        ("good", 1, 0.98),
        ("spoilt", 0, 0.098),
        ("ones", 0, 0.1135),
        ("running", None, None),
    ]
    with closing(Database(url)) as database:
        assert JobStore(database).latest() == "good"
        [key] = ApiKeyStore(database).all()
    assert (key.id, key.name, key.models_of, key.last_used_at) == ("abc", None, None, None)


def test_the_migration_judges_as_the_service_does(dataset_store: DatasetStore) -> None:
    text = (MIGRATIONS / "versions" / "0006_learned_and_named_keys.py").read_text()
    [threshold] = re.findall(r">= ([0-9.]+)", text)
    labels = dataset_store.open("mnist").test.labels
    assert float(threshold) == pytest.approx(Baseline.of(labels).least, abs=1e-9)


def test_jobs_of_before_are_found_and_sorted_like_new_ones(
    tmp_path: Path, jobs: JobStore, database: Database
) -> None:
    specs: list[dict[str, Any]] = [
        {"name": "Größe", "tags": ["A b", "c"], "hidden": [64, 32], "activation": "tanh"},
        {"preset": "linear"},
        {},
    ]
    made = [jobs.get(submit(jobs, **spec)) for spec in specs]
    best = [json.dumps({"epoch": 3, "test_accuracy": 0.93}), None, None]
    path = tmp_path / "older.sqlite3"
    url = sqlite_url(path)
    command.upgrade(migrations(url), "0007")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO jobs (id, state, attempt, lost_workers, spec, spec_version, cost, "
            "heartbeat, batches_per_epoch, epochs_done, batches_done, bit_exact, event_count, "
            "created_at, best) "
            "VALUES (?, 'paused', 1, 0, ?, 1, '{}', 1, 1, 1, 0, 1, 0, '2026-01-01', ?)",
            [(job.id, json.dumps(job.spec), of) for job, of in zip(made, best, strict=True)],
        )
    migrate(url)
    columns = "SELECT title, search FROM jobs ORDER BY number"
    assert query_of(path, columns) == query(database, columns)
    assert query_of(path, "SELECT best_accuracy FROM jobs ORDER BY number") == [
        (0.93,),
        (None,),
        (None,),
    ]


def query_of(path: Path, statement: str) -> list[object]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def test_a_migrated_database_is_left_alone(database: Database) -> None:
    submit(JobStore(database))
    before = content(database)
    migrate(database.url)
    assert content(database) == before


def test_a_database_of_a_newer_version_is_left_alone(database: Database) -> None:
    query(database, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreBroken, match=r"schema that this version does not know.*9999"):
        migrate(database.url)
    assert query(database, "SELECT version_num FROM alembic_version") == [("9999",)]


def test_concurrent_processes_migrate_once(tmp_path: Path) -> None:
    url, go = f"sqlite:///{tmp_path / 'jobs.sqlite3'}", tmp_path / "go"
    code = (
        "import sys, time, alembic.command, alembic.config; from pathlib import Path\n"
        "from service.store.sql.migrate import migrate\n"
        "while not Path(sys.argv[2]).exists(): time.sleep(0.01)\n"
        "migrate(sys.argv[1])"
    )
    command = [sys.executable, "-W", "error", "-c", code, url, str(go)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    time.sleep(0.8)
    go.touch()
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert set(shape_of(tmp_path / "jobs.sqlite3")) >= set(TABLES)


def garbage(folder: Path) -> str:
    (folder / "garbage").write_bytes(bytes(range(256)) * 32)
    return f"sqlite:///{folder / 'garbage'}"


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


def test_old_events_get_numbers_in_the_order_in_which_they_happened(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite3"
    url = sqlite_url(path)
    command.upgrade(migrations(url), "0007")
    happened = [(2, 1, "late clock"), (1, 1, "a"), (1, 2, "b"), (2, 2, "c"), (1, 3, "d")]
    with closing(sqlite3.connect(path)) as connection, connection:
        for number in (1, 2):
            connection.execute(
                "INSERT INTO jobs (number, id, state, attempt, lost_workers, spec, spec_version, "
                "cost, heartbeat, batches_per_epoch, epochs_done, batches_done, bit_exact, "
                "event_count, created_at) "
                "VALUES (?, ?, 'queued', 1, 0, '{}', 1, '{}', 1, 1, 1, 0, 1, 2, '2026-01-01')",
                [number, f"job_{number}"],
            )
        for job, number, what in happened:
            at = "2026-12-31" if what == "late clock" else "2026-01-01"
            connection.execute(
                "INSERT INTO events (job, number, type, at, data) VALUES (?, ?, 'state', ?, ?)",
                [job, number, at, json.dumps({"what": what})],
            )
    migrate(url)
    found = query_of(path, "SELECT seq, job, number, data FROM events ORDER BY seq")
    expected = [
        (seq, job, number, json.dumps({"what": what}))
        for seq, (job, number, what) in enumerate(happened, start=1)
    ]
    assert found == expected
    with closing(Database(url)) as database:
        JobStore(database).delete("job_2")
        assert query(database, "SELECT seq, job, type FROM events ORDER BY seq") == [
            (2, 1, "state"), (3, 1, "state"), (5, 1, "state"), (6, None, "deleted")
        ]  # fmt: skip


@pytest.mark.parametrize("ended", [False, True])
def test_jobs_of_before_know_the_memory_that_they_take(
    tmp_path: Path, postgres: PostgresServer, ended: bool
) -> None:
    for url in (sqlite_url(tmp_path / "old.sqlite3"), postgres.url(postgres.create())):
        command.upgrade(migrations(url), "0017")
        with closing(Database(url)) as database:
            query(
                database,
                "INSERT INTO jobs (id, state, attempt, lost_workers, spec, spec_version, cost, "
                "heartbeat, batches_per_epoch, epochs_done, batches_done, bit_exact, event_count, "
                "created_at) VALUES ('job_1', :state, 1, 0, '{}', 1, :cost, 1, 1, 1, 0, TRUE, 2, "
                "'2026-01-01')",
                state="failed" if ended else "queued",
                cost='{"bytes": 1000}',
            )
            migrate(url)
            expected = 0 if ended else 1000 + WORKER_BYTES
            assert query(database, "SELECT bytes FROM jobs") == [(expected,)]
