"""Upgrades that are killed anywhere, and backups that are taken while jobs train."""

import hashlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory

from service import preparation
from service.settings import Settings
from service.store.backup import backup
from service.store.files.local import LocalArtifacts
from service.store.sql.database import Database
from service.store.sql.migrate import MIGRATIONS, migrate
from service.work import drain
from service.work.process_handle import ProcessHandle
from tests.support.campaign import Campaign
from tests.support.evaluation_harness import EvaluationHarness
from tests.support.job_records import query
from tests.support.ledger import Ledger, freeze
from tests.support.originals import original_of
from tests.support.server_process import Server
from tests.support.stored_datasets import DatasetHarness

JOBS, EPOCHS = 50, 20
MIGRATE = """
import sys
from alembic import command, config
from service.store.sql.migrate import migrate
print("ready", flush=True)
migrate(sys.argv[1])
"""
FILE = b"a checkpoint"
SHA256 = hashlib.sha256(FILE).hexdigest()
COUNTED = ("jobs", "epochs", "checkpoints", "events", "idempotency_keys")


def config(path: Path) -> Config:
    config = Config(attributes={"url": f"sqlite:///{path}"})
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


REVISIONS = [script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()]
HEAD = REVISIONS[0]


@pytest.fixture(scope="module", params=[None, *reversed(REVISIONS)])
def old(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of each released schema with data in it; the first one does not exist yet."""
    path = tmp_path_factory.mktemp("old") / "jobs.sqlite3"
    if request.param is not None:
        command.upgrade(config(path), "0001")
        with closing(sqlite3.connect(path)) as connection:
            add_data(connection)
            connection.commit()
        command.upgrade(config(path), request.param)
    return path


def add_data(connection: sqlite3.Connection) -> None:
    """Fill the first schema, by its own column names."""
    empty = {"spec": "{}", "spec_version": 1, "cost": "{}", "batches_per_epoch": 9, "attempt": 1}
    empty |= {"losses": 0, "epochs_done": 3, "batches_done": 0, "bit_exact": 1, "beat": 5}
    at = "2026-01-02 03:04:05.000000"
    for number in range(1, JOBS + 1):
        row = {**empty, "number": number, "id": f"job_{number}", "event_count": 1, "created_at": at}
        insert(connection, "jobs", **row, **end(number))
        insert(connection, "events", job=number, number=1, type="state", at=at, data="{}")
        key = {"attempt": 1, "epochs_done": 3, "batches_done": 0, "key": f"job_{number}/1/3-0"}
        insert(connection, "checkpoints", job=number, **key, size=len(FILE), sha256=SHA256)
        answer = {"body_sha256": "1" * 64, "job": f"job_{JOBS - number}", "answer": "{}"}
        insert(connection, "idempotency_keys", key=f"key {number}", **answer, created_at=at)
        names = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds")
        for epoch in range(1, EPOCHS + 1):
            insert(connection, "epochs", job=number, number=epoch, **dict.fromkeys(names, 0.5))


def second(number: int) -> int:
    """Return the second at which a job ended: not in the order of jobs, and some are equal."""
    return 7 * number % 20


def end(number: int) -> dict[str, Any]:
    """Return where a job is in its life: all have succeeded but the last, which is trained."""
    if number == JOBS:
        return {"state": "running", "handle": '{"pid": 7}'}
    at = f"2026-01-02 04:05:{second(number):02}.000000"
    return {"state": "succeeded", "finished_at": at}


def insert(connection: sqlite3.Connection, table: str, **values: Any) -> None:
    marks = ", ".join("?" * len(values))
    names = ", ".join(values)
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", [*values.values()])


def state(path: Path) -> tuple[str | None, list[int]]:
    """Return the schema's revision and how many rows there are; check that the file is whole."""
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        if not connection.execute("SELECT name FROM sqlite_master").fetchall():
            return None, []
        counts = [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in COUNTED
        ]
        [[revision]] = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return revision, counts


@pytest.mark.parametrize("old", REVISIONS, indirect=True)
def test_an_upgrade_numbers_jobs_and_keys_in_the_order_of_their_times(
    old: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(old, tmp_path))
    migrate(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        ends = connection.execute("SELECT number, finish_number FROM jobs").fetchall()
        keys = connection.execute("SELECT key, job_number FROM idempotency_keys").fetchall()
    order = sorted(range(1, JOBS), key=lambda number: (second(number), number))
    assert dict(ends) == {number: place for place, number in enumerate(order, 1)} | {JOBS: None}
    # The job of the last key has been deleted: such keys come first.
    assert dict(keys) == {f"key {number}": JOBS - number for number in range(1, JOBS + 1)}


def migrating(path: Path) -> subprocess.Popen[str]:
    """Start a process that migrates; return it just before it does."""
    program = [sys.executable, "-c", MIGRATE, f"sqlite:///{path}"]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def test_an_upgrade_killed_anywhere_is_complete_or_has_not_begun(
    old: Path, tmp_path: Path, campaign: Campaign
) -> None:
    chance, seconds = random.Random(11), 0.3
    path = tmp_path / "jobs.sqlite3"
    before = state(old) if old.exists() else (None, [])
    after = Counter[str | None]()
    with campaign.cases(f"databases damaged by killed upgrades from {before[0]}") as case:
        for number in range(campaign.of(2, 100)):
            path.unlink(missing_ok=True)
            Path(f"{path}-journal").unlink(missing_ok=True)
            if old.exists():
                shutil.copy(old, path)
            process = migrating(path)
            started = time.monotonic()
            if number:
                time.sleep(chance.uniform(0, seconds))
                process.kill()
            process.communicate()
            seconds = seconds if number else time.monotonic() - started
            with case():
                found = state(path) if path.exists() else (None, [])
                after[found[0]] += 1
                assert found == before or found[0] == HEAD, "half-way"
                migrate(f"sqlite:///{path}")
                assert state(path) == (HEAD, before[1] or [0] * len(COUNTED)), "all rows are kept"
    measured = ", ".join(f"{count} at {revision}" for revision, count in after.items())
    what = f"schemas found after the kills of upgrades from {before[0]}"
    campaign.figure(what, target="none", measured=measured, met=True)


def test_two_servers_that_migrate_concurrently_migrate_once(old: Path, tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite3"
    if old.exists():
        shutil.copy(old, path)
    before = state(old)[1] if old.exists() else [0] * len(COUNTED)
    with ThreadPoolExecutor(2) as pool:
        processes = list(pool.map(migrating, [path, path]))
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0, 0]
    assert state(path) == (HEAD, before)


@pytest.mark.parametrize("stopped", [False, True], ids=["obedient", "stopped"])
def test_workers_of_the_previous_version_exit_before_the_schema_changes(
    server: Server, datasets_dir: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    job = server.submit(preset="mlp-relu", epochs=500)
    server.wait_for_progress(job, 0.001)
    [worker] = server.workers()
    server.kill()
    if stopped:
        freeze(worker)
    database = server.data_dir / "jobs.sqlite3"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0002'")
    left = []
    monkeypatch.setattr(drain, "DRAIN_SECONDS", 5 if not stopped else 1)
    monkeypatch.setattr(preparation, "migrate", lambda _: left.append(server.workers()))
    settings = Settings(data_dir=server.data_dir, datasets_dir=datasets_dir)
    preparation.prepare(settings)
    assert left == [[]]
    row = Ledger(server.data_dir).row(job)
    assert (row["state"], row["lost_workers"]) == ("queued", 0)


def test_checkers_and_evaluators_of_the_previous_version_end_before_the_schema_changes(
    tmp_path: Path, datasets_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = EvaluationHarness(tmp_path)
    sets = DatasetHarness(made.database, tmp_path)
    checked = sets.send("letters")
    evaluation = made.tasks.submit(made.question(made.train()))
    workers = [subprocess.Popen(["sleep", "600"], start_new_session=True) for _ in range(2)]
    handles = [ProcessHandle.of(worker.pid).as_record() for worker in workers]
    sets.attempt().begin(handles[0])
    made.attempt().begin(handles[1])
    query(made.database, "UPDATE alembic_version SET version_num = '0014'")
    ends: list[int | None] = []
    monkeypatch.setattr(preparation, "migrate", lambda _: ends.extend(it.poll() for it in workers))
    try:
        preparation.prepare(Settings(data_dir=tmp_path, datasets_dir=datasets_dir))
        assert ends == [-signal.SIGTERM] * 2
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    for table, id_ in (("datasets", checked.id), ("evaluation_tasks", evaluation.id)):
        row = f"SELECT state, lost_workers, handle FROM {table} WHERE id = :id"
        assert query(made.database, row, id=id_) == [("queued", 0, None)]
    made.close()


def test_workers_keep_running_if_the_schema_is_the_newest(
    server: Server, datasets_dir: Path
) -> None:
    job = server.submit(preset="mlp-relu", epochs=500)
    server.wait_for_progress(job, 0.001)
    workers = server.workers()
    server.kill()
    preparation.prepare(Settings(data_dir=server.data_dir, datasets_dir=datasets_dir))
    assert server.workers() == workers


def remake(connection: sa.Connection) -> None:
    """Recreate the table of jobs, as later migrations may have to on SQLite."""
    operations = Operations(MigrationContext.configure(connection))
    with operations.batch_alter_table("jobs", recreate="always") as batch:
        batch.add_column(sa.Column("more", sa.Text()))


@pytest.mark.parametrize("old", ["0001"], indirect=True)
def test_a_recreated_table_keeps_the_rows_that_refer_to_it(old: Path, tmp_path: Path) -> None:
    altered, enforced = (Path(shutil.copy(old, tmp_path / name)) for name in ("one", "two"))
    database = Database(f"sqlite:///{altered}")
    with database.alter() as connection:
        remake(connection)
    database.close()
    assert state(altered)[1] == state(old)[1]

    engine = sa.create_engine(f"sqlite:///{enforced}")
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys=ON")
        remake(connection)
        connection.commit()
    engine.dispose()
    assert state(enforced)[1][1:4] == [0, 0, 0], "this is what foreign keys would do"


# --- Backup ---

JOB = {"preset": "linear", "batch_size": 128, "seed": 3}


def back_up(server: Server, destination: Path) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "service", "backup", str(destination)]
    program += ["--data-dir", str(server.data_dir)]
    return subprocess.run(program, capture_output=True, text=True)


def check(copy: Path, acknowledged: list[str]) -> None:
    """Check that a copy has all jobs, all files that its rows name, and no worker."""
    Ledger(copy).check_checkpoints()
    with closing(sqlite3.connect(copy / "jobs.sqlite3")) as connection:
        rows = connection.execute("SELECT id, state, handle FROM jobs").fetchall()
        of_rows = "SELECT key FROM checkpoints UNION SELECT key FROM snapshots"
        named = {key for (key,) in connection.execute(of_rows)}
    assert {job for job, _, _ in rows} >= set(acknowledged)
    assert {state for _, state, _ in rows} <= {"queued", "succeeded"}
    assert {handle for _, _, handle in rows} == {None}
    files = {str(path.relative_to(copy / "jobs")) for path in (copy / "jobs").glob("*/*/*")}
    assert files == named


@pytest.mark.parametrize("old", REVISIONS, indirect=True)
def test_a_backup_between_upgrade_and_first_start_has_the_new_schema(
    old: Path, tmp_path: Path
) -> None:
    artifacts, before = LocalArtifacts(tmp_path / "jobs"), state(old)
    for number in range(1, JOBS + 1):
        artifacts.put(f"job_{number}/1/3-0", FILE)
    copied = backup(original_of(f"sqlite:///{old}", artifacts, tmp_path), tmp_path / "copy")
    assert (copied.jobs, copied.checkpoints, copied.lost) == (JOBS, JOBS, [])
    assert state(old) == before
    revision, counts = state(tmp_path / "copy" / "jobs.sqlite3")
    assert revision == HEAD
    assert sum(counts) == sum(before[1]) + 1, "the running job is queued again, which is an event"
    check(tmp_path / "copy", [f"job_{number}" for number in range(1, JOBS + 1)])


def test_a_backup_under_load_is_complete_and_its_jobs_end_with_the_same_bytes(
    server: Server, tmp_path: Path, datasets_dir: Path, campaign: Campaign
) -> None:
    spec = JOB | {"epochs": campaign.of(20, 200)}
    acknowledged = [server.submit(**JOB, epochs=1)]
    server.wait(acknowledged[0], "succeeded")
    running = [server.submit(**spec), server.submit(**spec)]
    for job in running:
        server.wait_for_progress(job, 0.05)
    acknowledged += [*running, server.submit(**JOB, epochs=1)]
    for number in range(campaign.of(1, 20)):
        done = back_up(server, tmp_path / f"copy-{number}")
        assert (done.returncode, done.stderr) == (0, "")
        check(tmp_path / f"copy-{number}", acknowledged)
        acknowledged.append(server.submit(**JOB, epochs=1))
    workers = sorted(server.workers())
    copy = Server(tmp_path / "copy-0", datasets_dir).start()
    try:
        ended = [copy.wait(job, "succeeded", "failed", seconds=280) for job in running]
        assert sorted(server.workers()) == workers or server.job(running[0])["state"] != "running"
        originals = [server.wait(job, "succeeded", "failed", seconds=280) for job in running]
    finally:
        copy.stop()
    same = [job["weights_sha256"] for job in ended] == [job["weights_sha256"] for job in originals]
    campaign.figure(
        "jobs of a restored backup with the bytes of the original, of 2",
        target="2",
        measured=2 if same else "fewer",
        met=same,
    )
    assert same
    assert [(job["attempt"], job["lost_workers"]) for job in originals] == [(1, 0)] * 2
    assert [(job["attempt"], job["lost_workers"]) for job in ended] == [(2, 0)] * 2
    assert all(job["bit_exact"] for job in ended)
