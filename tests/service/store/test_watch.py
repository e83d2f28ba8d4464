"""A look that never waits, and never takes an old state for the present one."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.store.watch import Watch


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "a b.sqlite3", isolation_level=None)
    connection.execute("CREATE TABLE numbers (n)")
    yield connection
    connection.close()


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    watch = Watch(tmp_path / "a b.sqlite3")
    yield watch
    watch.close()


def test_the_version_changes_with_each_commit_and_not_before(
    writer: sqlite3.Connection, watch: Watch
) -> None:
    first = watch.look()
    assert first is not None
    assert watch.look() == first
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO numbers VALUES (1)")
    assert watch.look() == first
    writer.execute("COMMIT")
    second = watch.look()
    assert second not in (None, first)
    writer.execute("BEGIN")
    writer.execute("INSERT INTO numbers VALUES (2)")
    writer.execute("ROLLBACK")
    assert watch.look() == second


def test_nothing_is_known_while_a_commit_is_under_way(
    writer: sqlite3.Connection, watch: Watch
) -> None:
    first = watch.look()
    writer.execute("BEGIN EXCLUSIVE")
    assert watch.look() is None
    writer.execute("ROLLBACK")
    assert watch.look() == first


def test_a_look_leaves_no_lock_behind(writer: sqlite3.Connection, watch: Watch) -> None:
    watch.look()
    writer.execute("PRAGMA busy_timeout=0")
    writer.execute("BEGIN EXCLUSIVE")
    writer.execute("COMMIT")


def test_nothing_is_known_of_no_file_and_none_is_made(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "none.sqlite3")
    assert watch.look() is None
    assert not list(tmp_path.iterdir())
    assert Watch(None).look() is None


def test_a_connection_that_failed_is_made_again_and_compared_with_no_other(
    writer: sqlite3.Connection, watch: Watch, tmp_path: Path
) -> None:
    file = tmp_path / "a b.sqlite3"
    first = watch.look()
    with file.open("r+b") as damaged:
        whole = damaged.read(100)
        damaged.seek(0)
        damaged.write(b"x" * 100)
    assert watch.look() is None
    with file.open("r+b") as mended:
        mended.write(whole)
    assert watch.look() not in (None, first)


def test_who_comes_while_another_looks_does_not_wait(
    writer: sqlite3.Connection, watch: Watch
) -> None:
    with watch._lock:
        assert watch.look() is None
    assert watch.look()
