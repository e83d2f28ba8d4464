"""The commands that open the database work on PostgreSQL and a bucket, too."""

import json

import pytest

from service.store.artifacts import artifacts_at
from service.store.jobs import JobStore
from service.store.sql.database import Database
from tests.support.command_line import run
from tests.support.job_records import in_state, succeed


@pytest.fixture
def database(postgres_url: str, bucket_url: str, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setenv("MLP_DATABASE_URL", postgres_url)
    monkeypatch.setenv("MLP_ARTIFACTS_URL", bucket_url)
    return Database(postgres_url)


def test_keys_are_made_listed_and_revoked(database: Database) -> None:
    made = run("keys", "create", "--owner", "ada")
    id_ = made.stdout.split("_")[1]
    assert run("keys", "list").stdout.split("\t")[:3] == [id_, "-", "ada"]
    assert run("keys", "revoke", id_).exit_code == 0
    assert "\trevoked 20" in run("keys", "list").stdout
    database.close()


def test_pruning_deletes_the_files_in_the_bucket(database: Database, bucket_url: str) -> None:
    kept, failed = succeed(database), in_state(database, "failed")
    artifacts = artifacts_at(bucket_url)
    for job in (kept, failed):
        artifacts.put(f"{job}/1/1-0.safetensors", bytes(1000))
    shown = run("jobs", "prune", "--keep", "1", "--dry-run", "--json")
    assert [json.loads(line)["bytes"] for line in shown.stdout.splitlines()] == [1000]
    assert artifacts.folders() == sorted([kept, failed])
    assert run("jobs", "prune", "--keep", "1").exit_code == 0
    assert [*artifacts.keys(failed)] == []
    assert [*artifacts.keys(kept)] == [f"{kept}/1/1-0.safetensors"]
    assert [job.id for job in JobStore(database).page(9).jobs] == [kept]
    database.close()


def test_pruning_without_the_bucket_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = in_state(database, "failed")
    monkeypatch.delenv("MLP_ARTIFACTS_URL")
    result = run("jobs", "prune", "--keep", "0")
    assert result.exit_code == 1
    assert "set MLP_ARTIFACTS_URL" in result.stderr
    assert JobStore(database).get(failed)
    database.close()


def test_an_empty_database_is_named_by_its_setting(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    monkeypatch.setenv("MLP_DATABASE_URL", postgres_url.rpartition("/")[0] + "/postgres")
    result = run("keys", "list")
    assert (result.exit_code, result.stderr) == (
        1,
        "MLP_DATABASE_URL has no database. Set MLP_DATABASE_URL to that of the server.\n",
    )
