import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.work.launchers import lock_watchdog as module
from service.work.launchers.lock_watchdog import LOOKS, FrozenHolders, end_frozen_holders
from service.work.process import ProcessHandle
from tests.support.ledger import sqlite_locks
from tests.support.server_process import eventually

# Each takes a lock in its own way and says so.
LOCKS = {
    "shared": "c.execute('BEGIN'); c.execute('SELECT * FROM sqlite_master').fetchall()",
    "reserved": "c.execute('BEGIN IMMEDIATE')",
    "exclusive": "c.execute('BEGIN EXCLUSIVE')",
    "pending": "c.execute('BEGIN IMMEDIATE'); c.execute('CREATE TABLE new (a)'); "
    "print('held', flush=True); c.execute('COMMIT')",
}
HOLDER = """
import sqlite3, sys, time
c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
{lock}
print("held", flush=True)
while True:
    time.sleep({nap})
"""
Hold = Callable[..., ProcessHandle]


@pytest.fixture
def path(database_url: str) -> Path:
    return Path(database_url.removeprefix("sqlite:///"))


@pytest.fixture
def hold(path: Path) -> Iterator[Hold]:
    """Start a process that is named like a worker and holds a lock of the database."""
    holders = []

    def start(lock: str, *, file: Path = path, name: str = "service.work.worker", nap: float = 60):
        code = HOLDER.format(lock=LOCKS[lock], nap=nap)
        command = [sys.executable, "-c", code, str(file), name]
        holder = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        holders.append(holder)
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        return ProcessHandle.of(holder.pid)

    yield start
    for holder in holders:
        holder.kill()
        holder.communicate()


def stop(handle: ProcessHandle) -> None:
    os.kill(handle.pid, signal.SIGSTOP)
    status = Path(f"/proc/{handle.pid}/stat")
    eventually(lambda: ") T " in status.read_text(), "the process to be stopped")


@pytest.mark.parametrize("lock", ["shared", "reserved", "exclusive"])
def test_a_stopped_worker_that_holds_a_lock_is_named_at_the_second_look(
    path: Path, hold: Hold, lock: str
) -> None:
    holder = hold(lock)
    stop(holder)
    holders = FrozenHolders(path)
    assert [holders.look(), holders.look()] == [[], [holder]]


def test_a_worker_that_waits_for_a_reader_to_commit_and_is_stopped_is_named(
    path: Path, hold: Hold
) -> None:
    """It holds the pending lock, which keeps new readers out."""
    hold("shared", name="a backup")
    writer = hold("pending")
    eventually(lambda: "pending" in sqlite_locks(writer.pid), "it to wait for the reader")
    stop(writer)
    holders = FrozenHolders(path)
    assert [holders.look(), holders.look()] == [[], [writer]], "and not the reader"


def test_a_worker_that_runs_between_two_looks_is_not_frozen(path: Path, hold: Hold) -> None:
    holder, holders = hold("exclusive", nap=0.001), FrozenHolders(path)
    for _ in range(LOOKS + 2):
        assert holders.look() == []
        before = module._pulse(holder.pid)
        eventually(lambda before=before: module._pulse(holder.pid) != before, "it to run")


def test_a_worker_that_only_waits_is_given_a_long_time(path: Path, hold: Hold) -> None:
    """A disk may be slow."""
    holder, holders = hold("exclusive"), FrozenHolders(path)
    eventually(lambda: _sleeps(holder), "it to sleep")
    assert [holders.look() for _ in range(LOOKS)] == [[]] * (LOOKS - 1) + [[holder]]


def _sleeps(handle: ProcessHandle) -> bool:
    return ") S " in Path(f"/proc/{handle.pid}/stat").read_text()


def test_others_who_hold_a_lock_are_left_alone(path: Path, hold: Hold, tmp_path: Path) -> None:
    elsewhere = tmp_path / "another.sqlite3"
    elsewhere.write_bytes(path.read_bytes())
    for holder in (hold("shared", name="a backup"), hold("exclusive", file=elsewhere)):
        stop(holder)
    holders = FrozenHolders(path)
    assert [holders.look() for _ in range(LOOKS)] == [[]] * LOOKS


def test_a_stopped_worker_without_a_lock_is_left_alone(path: Path, hold: Hold) -> None:
    holder = hold("reserved", file=path.with_name("a-third.sqlite3"))
    stop(holder)
    holders = FrozenHolders(path)
    assert [holders.look(), holders.look()] == [[], []]


@pytest.mark.parametrize("name", [None, Path("never-made.sqlite3")])
def test_no_file_has_no_holders(name: Path | None, tmp_path: Path, hold: Hold) -> None:
    stop(hold("reserved"))
    holders = FrozenHolders(name and tmp_path / name)
    assert [holders.look(), holders.look()] == [[], []]


def test_a_sandbox_without_the_kernels_list_has_no_holders(
    path: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop(hold("reserved"))

    def nothing(_: Path) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", nothing)
    holders = FrozenHolders(path)
    assert [holders.look(), holders.look()] == [[], []]


def test_before_a_server_starts_frozen_workers_are_ended(path: Path, hold: Hold) -> None:
    frozen, alive = hold("exclusive"), hold("shared", file=path.with_name("a-third.sqlite3"))
    stop(frozen)
    end_frozen_holders(path)
    eventually(lambda: not frozen.is_alive(), "the frozen worker to be gone")
    assert alive.is_alive()


def test_a_server_starts_at_once_though_a_worker_is_busy(
    path: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = hold("reserved")
    monkeypatch.setattr(module.time, "sleep", lambda _: pytest.fail("it waits"))
    end_frozen_holders(path)
    assert holder.is_alive()
