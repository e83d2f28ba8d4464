"""The command `mlp-service backup`."""

import shutil
from pathlib import Path

import pytest

from tests.support.command_line import run, usage_error


@pytest.fixture
def data(tmp_path: Path, empty_database: Path) -> Path:
    """A data directory without jobs."""
    directory = tmp_path / "data"
    directory.mkdir()
    shutil.copy(empty_database, directory / "jobs.sqlite3")
    return directory


def test_the_data_directory_is_copied_and_counted(tmp_path: Path, data: Path) -> None:
    result = run("backup", tmp_path / "copy", "--data-dir", data)
    assert (result.exit_code, result.stderr) == (0, "")
    counts = "0 jobs, 0 checkpoints, 0 snapshots, 0.0 MB"
    assert result.stdout == f"Copied {data} to {tmp_path}/copy: {counts}\n"
    assert (tmp_path / "copy" / "jobs.sqlite3").exists()


def test_an_existing_destination_is_refused(tmp_path: Path, data: Path) -> None:
    (tmp_path / "copy").mkdir()
    result = run("backup", tmp_path / "copy", "--data-dir", data)
    assert result.exit_code == 1
    assert result.stderr.startswith("No backup was made: ")
    assert "exists" in result.stderr
    assert list((tmp_path / "copy").iterdir()) == []


def test_a_destination_inside_the_data_directory_is_refused(data: Path) -> None:
    message = usage_error(run("backup", data / "copy", "--data-dir", data))
    assert "the backup can't be inside" in message
    assert not (data / "copy").exists()
