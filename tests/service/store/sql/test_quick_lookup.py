"""A look that waits for a commit at most, and never takes an old state for the present one."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from service.store.sql.quick_lookup import STATEMENTS, Glance

from tests.support.job_records import query


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a database with what a glance reads: a job of ada's with a checkpoint."""
    connection = sqlite3.connect(tmp_path / "a b.sqlite3", isolation_level=None)
    connection.execute("CREATE TABLE jobs (number, id, owner, state, finish_number)")
    connection.execute("CREATE TABLE checkpoints (number, job, key)")
    connection.execute("INSERT INTO jobs VALUES (1, 'job_1', 'ada', 'succeeded', 1)")
    connection.execute("INSERT INTO checkpoints VALUES (1, 1, 'first')")
    yield connection
    connection.close()


@pytest.fixture
def glance(tmp_path: Path) -> Iterator[Glance]:
    glance = Glance(tmp_path / "a b.sqlite3")
    yield glance
    glance.close()


def look(glance: Glance) -> str | None:
    return glance.newest_key("job_1", None, everything=True)


def test_a_commit_is_seen_whole_or_not_at_all(writer: sqlite3.Connection, glance: Glance) -> None:
    assert look(glance) == "first"
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO checkpoints VALUES (2, 1, 'second')")
    assert look(glance) == "first"
    writer.execute("COMMIT")
    assert look(glance) == "second"
    writer.execute("DELETE FROM jobs")
    assert look(glance) is None


def test_nothing_is_known_while_a_commit_is_under_way(
    writer: sqlite3.Connection, glance: Glance
) -> None:
    assert look(glance) == "first"
    writer.execute("BEGIN EXCLUSIVE")
    assert look(glance) is None
    writer.execute("ROLLBACK")
    assert look(glance) == "first"


def test_a_look_leaves_no_lock_behind(writer: sqlite3.Connection, glance: Glance) -> None:
    assert look(glance)
    writer.execute("PRAGMA busy_timeout=0")
    writer.execute("BEGIN EXCLUSIVE")
    writer.execute("COMMIT")


@pytest.mark.parametrize(
    ("ref", "owner", "everything", "key"),
    [
        ("job_1", "ada", False, "first"),
        ("latest", "ada", False, "first"),
        ("job_1", "eve", False, None),
        ("latest", "eve", False, None),
        ("job_1", None, False, None),
        ("latest", None, False, None),
        ("job_1", "eve", True, "first"),
        ("latest", None, True, "first"),
        ("job_2", None, True, None),
    ],
)
def test_only_what_the_owner_may_see_is_found(
    writer: sqlite3.Connection,
    glance: Glance,
    ref: str,
    owner: str | None,
    everything: bool,
    key: str | None,
) -> None:
    assert glance.newest_key(ref, owner, everything=everything) == key


def test_nothing_is_known_of_no_file_and_none_is_made(tmp_path: Path) -> None:
    assert look(Glance(tmp_path / "none.sqlite3")) is None
    assert not list(tmp_path.iterdir())
    assert look(Glance(None)) is None


def test_a_connection_that_failed_is_made_again(
    writer: sqlite3.Connection, glance: Glance, tmp_path: Path
) -> None:
    assert look(glance) == "first"
    writer.execute("ALTER TABLE checkpoints RENAME TO others")
    assert look(glance) is None
    writer.execute("ALTER TABLE others RENAME TO checkpoints")
    assert look(glance) == "first"
    with (tmp_path / "a b.sqlite3").open("r+b") as damaged:
        damaged.write(b"x" * 100)
    assert look(glance) is None


def test_who_comes_while_another_looks_does_not_wait(
    writer: sqlite3.Connection, glance: Glance
) -> None:
    with glance._lock:
        assert look(glance) is None
    assert look(glance)


@pytest.mark.parametrize("statement", STATEMENTS.values())
def test_no_row_but_the_one_meant_is_looked_at(database, statement: str) -> None:
    plan = query(database, f"EXPLAIN QUERY PLAN {statement}", ref="latest", owner="ada")
    steps = [row[-1] for row in plan]
    assert not [step for step in steps if step.startswith(("SCAN", "USE TEMP"))], steps
