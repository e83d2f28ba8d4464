"""The command `mlp-service jobs prune`."""

import json
import re
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from alembic import command

from service.store.files.local import LocalArtifacts
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.database import Database
from service.store.sql.migrate import migrations
from service.work import artifact_gc
from tests.support.command_line import run, usage_error
from tests.support.job_records import in_state, query, succeed


@dataclass
class Data:
    """A data directory with four finished jobs and one that runs."""

    directory: Path
    database: Database
    old: str
    best: str
    latest: str
    failed: str
    running: str

    def left(self) -> set[str]:
        return {job.id for job in JobStore(self.database).page(20).jobs}


@pytest.fixture
def data(tmp_path: Path, database: Database) -> Data:
    old, best, latest = (succeed(database, accuracy) for accuracy in (0.9, 0.98, 0.91))
    ids = [old, best, latest, in_state(database, "failed"), in_state(database, "running")]
    query(database, "UPDATE jobs SET owner = 'ada'")
    artifacts = LocalArtifacts(tmp_path / "jobs")
    for job in ids:
        artifacts.put(f"{job}/1/1-0.safetensors", bytes(1_500_000))
    return Data(tmp_path, database, *ids)


def test_a_dry_run_says_what_would_go_and_deletes_nothing(data: Data) -> None:
    before = (data.directory / "jobs.sqlite3").read_bytes()
    result = run("jobs", "prune", "--keep", "1", "--dry-run", "--data-dir", data.directory)
    assert result.exit_code == 0
    first, second = (line.split("\t") for line in result.stdout.splitlines())
    assert first[:4] == [data.failed, "ada", "failed", "-"]
    assert second[:4] == [data.old, "ada", "succeeded", "90.00%"]
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\dZ", second[4])
    assert second[5] == "1.5 MB"
    assert result.stderr == "2 jobs would be deleted, 3.0 MB; finished jobs to keep: 1.\n"
    assert (data.directory / "jobs.sqlite3").read_bytes() == before
    assert len(LocalArtifacts(data.directory / "jobs").folders()) == 5


def test_without_dry_run_what_was_foreseen_is_deleted_with_its_files(data: Data) -> None:
    options = ("--keep", "1", "--data-dir", data.directory)
    foreseen = run("jobs", "prune", "--dry-run", *options).stdout
    result = run("jobs", "prune", *options)
    assert (result.exit_code, result.stdout) == (0, foreseen)
    assert result.stderr == "2 jobs deleted, 3.0 MB; finished jobs to keep: 1.\n"
    stay = {data.best, data.latest, data.running}
    assert data.left() == stay == set(LocalArtifacts(data.directory / "jobs").folders())
    again = run("jobs", "prune", *options)
    assert (again.stdout, again.stderr) == (
        "",
        "Nothing to delete; finished jobs to keep: 1.\n",
    )


def test_more_jobs_than_one_transaction_deletes_are_deleted(data: Data) -> None:
    for _ in range(12):
        in_state(data.database, "cancelled")
    assert run("jobs", "prune", "--keep", "0", "--data-dir", data.directory).exit_code == 0
    assert data.left() == {data.best, data.latest, data.running}


def test_what_a_killed_command_leaves_is_deleted_by_the_next_server(data: Data) -> None:
    artifacts = LocalArtifacts(data.directory / "jobs")
    for _ in range(80):
        artifacts.put(f"{in_state(data.database, 'cancelled')}/1/1-0.safetensors", b"x")
    for _ in range(3):
        kill_while_it_prunes(data, artifacts)
    assert len(data.left()) > 3, "every command was killed before it was done"
    artifact_gc.collect_all(Queue(data.database), artifacts)
    rows = query(data.database, "SELECT id FROM jobs ORDER BY id")
    assert artifacts.folders() == [id_ for (id_,) in rows]


def kill_while_it_prunes(data: Data, artifacts: LocalArtifacts) -> None:
    """Let a command delete the files of some jobs, and kill it at whatever line it is."""
    before = len(artifacts.folders())
    options = ("jobs", "prune", "--keep", "0", "--data-dir", str(data.directory))
    process = subprocess.Popen([sys.executable, "-m", "service", *options])
    while len(artifacts.folders()) == before:
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.wait()


def test_json_is_one_line_for_each_job(data: Data) -> None:
    result = run(
        "jobs", "prune", "--keep", "3", "--dry-run", "--json", "--data-dir", data.directory
    )
    [record] = map(json.loads, result.stdout.splitlines())
    assert record.pop("finished_at").endswith("+00:00")
    assert record == {
        "id": data.failed,
        "owner": "ada",
        "state": "failed",
        "test_accuracy": None,
        "bytes": 1_500_000,
    }


def test_the_number_to_keep_may_be_the_servers_setting(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = usage_error(run("jobs", "prune", "--dry-run", "--data-dir", data.directory))
    assert "--keep" in message
    assert "MLP_KEEP_JOBS" in message
    monkeypatch.setenv("MLP_KEEP_JOBS", "3")
    result = run("jobs", "prune", "--dry-run", "--data-dir", data.directory)
    assert "1 job would be deleted" in result.stderr
    usage_error(run("jobs", "prune", "--keep", "-1", "--data-dir", data.directory))


def test_a_missing_or_older_database_is_left_alone(tmp_path: Path) -> None:
    options = ("--keep", "1", "--data-dir", tmp_path / "new")
    result = run("jobs", "prune", *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "has no database. Set --data-dir" in result.stderr
    assert not (tmp_path / "new").exists()
    url = f"sqlite:///{tmp_path / 'jobs.sqlite3'}"
    command.upgrade(migrations(url), "0005")
    before = (tmp_path / "jobs.sqlite3").read_bytes()
    result = run("jobs", "prune", "--keep", "1", "--data-dir", tmp_path)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "earlier version" in result.stderr
    assert (tmp_path / "jobs.sqlite3").read_bytes() == before


def test_a_damaged_database_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite3").write_bytes(bytes(range(256)) * 32)
    result = run("jobs", "prune", "--keep", "1", "--data-dir", tmp_path)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "not a database" in result.stderr


def test_jobs_can_be_pruned_while_others_write(data: Data) -> None:
    with closing(Database(data.database.url)) as other, other.read():
        result = run("jobs", "prune", "--keep", "3", "--dry-run", "--data-dir", data.directory)
    assert "1 job would be deleted" in result.stderr
