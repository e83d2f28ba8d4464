"""The command `mlp-service move`."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.command_line import run, usage_error


@pytest.fixture
def source(tmp_path: Path, empty_database: Path) -> Path:
    """A data directory without jobs."""
    (tmp_path / "source").mkdir()
    shutil.copy(empty_database, tmp_path / "source" / "jobs.sqlite3")
    return tmp_path / "source"


def test_a_move_there_and_back_says_what_it_did(
    source: Path,
    postgres_url: str,
    bucket_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLP_DATABASE_URL", postgres_url)
    monkeypatch.setenv("MLP_ARTIFACTS_URL", bucket_url)
    there = run("move", "--from", source)
    assert (there.exit_code, there.stdout) == (
        0,
        "Moved 0 rows, 0 files (0.0 MB) and 0 data sets.\n",
    )
    assert "Copying all rows, and comparing them." in there.stderr
    back = run("move", "--to", tmp_path / "back", "--json")
    numbers = {"rows": 0, "files": 0, "bytes": 0, "datasets": 0, "lost": []}
    assert json.loads(back.stdout) == numbers
    assert (tmp_path / "back" / "jobs.sqlite3").exists()


def test_a_move_without_a_shared_database_says_which_setting_is_missing(source: Path) -> None:
    result = run("move", "--from", source)
    assert result.exit_code == 1
    assert result.stderr.startswith("Not moved: ")
    assert "set MLP_DATABASE_URL to postgresql://" in result.stderr


@pytest.mark.parametrize("options", [(), ("--from", "a", "--to", "b")])
def test_one_direction_is_needed(options: tuple[str, ...]) -> None:
    assert "give either --from or --to" in usage_error(run("move", *options))


def test_commands_refuse_a_database_into_which_a_move_was_interrupted(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(source / "jobs.sqlite3")) as connection, connection:
        connection.execute("INSERT INTO unfinished_move VALUES (1, '/srv/mlp')")
    monkeypatch.setenv("MLP_DATA_DIR", str(source))
    for command in (("keys", "list"), ("jobs", "prune", "--keep", "1"), ("backup", "copy")):
        result = run(*command)
        assert result.exit_code == 1
        assert "a move of /srv/mlp to this place was interrupted" in result.stderr
