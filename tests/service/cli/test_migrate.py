"""The command `mlp-service migrate`."""

import json
from contextlib import closing
from pathlib import Path

from alembic import command

from service.preparation import lock_data_dir
from service.store.sql.migrate import REVISIONS, migrations
from service.store.sql.sqlite import sqlite_url
from tests.support.command_line import run


def test_a_database_is_made_and_then_left_alone(tmp_path: Path) -> None:
    first, second = (run("migrate", "--data-dir", tmp_path / "data") for _ in range(2))
    assert (first.exit_code, second.exit_code) == (0, 0)
    applied = ", ".join(REVISIONS)
    assert first.stdout == f"Brought the database to schema {REVISIONS[-1]}: applied {applied}.\n"
    assert second.stdout == f"The database has had schema {REVISIONS[-1]} already.\n"


def test_json_names_what_was_applied_to_an_older_database(tmp_path: Path) -> None:
    command.upgrade(migrations(sqlite_url(tmp_path / "jobs.sqlite3")), "0014")
    result = run("migrate", "--json", "--data-dir", tmp_path)
    newer = [revision for revision in REVISIONS if revision > "0014"]
    assert json.loads(result.stdout) == {"schema": REVISIONS[-1], "applied": newer}


def test_a_database_that_a_server_uses_is_left_to_it(tmp_path: Path) -> None:
    with closing(lock_data_dir(tmp_path)):
        result = run("migrate", "--data-dir", tmp_path)
    assert result.exit_code == 1
    assert "another server or host uses the data directory" in result.stderr
    assert not (tmp_path / "jobs.sqlite3").exists()
