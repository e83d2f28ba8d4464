"""SQLite's addresses, and what its dialect leaves out."""

import sqlite3
from pathlib import Path

import pytest

from service.domain.errors import StoreBroken
from service.store.sql.engine import engine_of, is_there
from service.store.sql.sqlite import SQLite, sqlite_url


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///jobs.sqlite3", "jobs.sqlite3"),
        ("sqlite:////var/lib/mlp/jobs.sqlite3", "/var/lib/mlp/jobs.sqlite3"),
        ("sqlite:////a%3Fb/c%20d.sqlite3?timeout=5", "/a?b/c d.sqlite3"),
    ],
)
def test_a_url_names_a_file(url: str, file: str) -> None:
    assert engine_of(url).file == Path(file)


@pytest.mark.parametrize("name", ["/a/b", "/a?b%c", "/a#b", "/50%20 + é", "a b:c@d"])
def test_the_url_of_a_file_names_it(name: str) -> None:
    assert engine_of(sqlite_url(Path(name))).file == Path(name)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "is not a database URL"),
        ("/var/lib/jobs.sqlite3", "is not a database URL"),
        (
            "mysql://me:secret@host/jobs",
            "has the scheme mysql, but only sqlite and postgresql are supported",
        ),
        ("sqlite://", "does not name a file"),
        ("sqlite:///", "does not name a file"),
        ("sqlite:///:memory:", "does not name a file"),
        ("sqlite://host/jobs", "does not name a file"),
    ],
)
def test_an_address_that_names_no_file_is_refused_and_not_shown(url: str, why: str) -> None:
    with pytest.raises(StoreBroken, match=f"MLP_DATABASE_URL {why}.*sqlite:////var") as refused:
        engine_of(url)
    assert "secret" not in str(refused.value)


def test_a_library_that_lacks_an_operator_of_the_statements_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.37.2")
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 37, 2))
    with pytest.raises(StoreBroken, match=r"SQLite 3\.37\.2.*needs 3\.38 or newer; install"):
        engine_of("sqlite:///jobs.sqlite3")
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 38, 0))
    assert engine_of("sqlite:///jobs.sqlite3").file == Path("jobs.sqlite3")


def test_looking_for_a_database_makes_none(tmp_path: Path) -> None:
    assert not is_there(f"sqlite:///{tmp_path / 'jobs.sqlite3'}")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "jobs.sqlite3").touch()
    assert is_there(f"sqlite:///{tmp_path / 'jobs.sqlite3'}")


def test_a_statement_is_translated_by_leaving_out_the_locks_of_single_rows() -> None:
    engine = SQLite("sqlite:///jobs.sqlite3")
    assert engine.translate("SELECT 1 FOR UPDATE SKIP LOCKED").strip() == "SELECT 1"
    assert engine.translate("SELECT 1") == "SELECT 1"
