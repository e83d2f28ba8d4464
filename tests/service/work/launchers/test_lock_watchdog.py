"""Which workers are found to be frozen inside a transaction, with real processes and locks."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from service.work.launchers.lock_watchdog import (
    CHECKS_IF_WAITING,
    SqliteLockWatchdog,
    kill_frozen_lock_holders,
)
from service.work.process_handle import ProcessHandle
from tests.support.ledger import sqlite_locks
from tests.support.server_process import eventually

# Each takes a lock in its own way; the holder prints "held" as soon as it has the lock.
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

    def start(
        lock: str, *, file: Path = path, name: str = "service.work.worker", nap: float = 60
    ) -> ProcessHandle:
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
def test_a_stopped_worker_that_holds_a_lock_is_found_at_the_second_check(
    path: Path, hold: Hold, lock: str
) -> None:
    holder = hold(lock)
    stop(holder)
    watchdog = SqliteLockWatchdog(path)
    assert [watchdog.check(), watchdog.check()] == [[], [holder]]


def test_a_worker_that_waits_for_a_reader_to_commit_and_is_stopped_is_found(
    path: Path, hold: Hold
) -> None:
    """It holds the pending lock, which keeps new readers out."""
    hold("shared", name="a backup")
    writer = hold("pending")
    eventually(lambda: "pending" in sqlite_locks(writer.pid), "it to wait for the reader")
    stop(writer)
    watchdog = SqliteLockWatchdog(path)
    assert [watchdog.check(), watchdog.check()] == [[], [writer]], "and not the reader"


def context_switches(handle: ProcessHandle) -> list[str]:
    lines = Path(f"/proc/{handle.pid}/status").read_text().splitlines()
    return [line for line in lines if "ctxt_switches" in line]


def test_a_worker_that_runs_between_two_checks_is_not_frozen(path: Path, hold: Hold) -> None:
    holder, watchdog = hold("exclusive", nap=0.001), SqliteLockWatchdog(path)
    for _ in range(CHECKS_IF_WAITING + 2):
        assert watchdog.check() == []
        before = context_switches(holder)
        has_run = partial(lambda before: context_switches(holder) != before, before)
        eventually(has_run, "it to run")


def test_a_worker_that_only_waits_is_found_after_many_checks(path: Path, hold: Hold) -> None:
    """It may be waiting for a slow disk."""
    holder, watchdog = hold("exclusive"), SqliteLockWatchdog(path)
    eventually(lambda: _sleeps(holder), "it to sleep")
    found = [watchdog.check() for _ in range(CHECKS_IF_WAITING)]
    assert found == [[]] * (CHECKS_IF_WAITING - 1) + [[holder]]


def _sleeps(handle: ProcessHandle) -> bool:
    return ") S " in Path(f"/proc/{handle.pid}/stat").read_text()


def test_other_lock_holders_are_left_alone(path: Path, hold: Hold, tmp_path: Path) -> None:
    elsewhere = tmp_path / "another.sqlite3"
    elsewhere.write_bytes(path.read_bytes())
    for holder in (hold("shared", name="a backup"), hold("exclusive", file=elsewhere)):
        stop(holder)
    watchdog = SqliteLockWatchdog(path)
    assert [watchdog.check() for _ in range(CHECKS_IF_WAITING)] == [[]] * CHECKS_IF_WAITING


def test_a_stopped_worker_without_a_lock_is_left_alone(path: Path, hold: Hold) -> None:
    holder = hold("reserved", file=path.with_name("a-third.sqlite3"))
    stop(holder)
    watchdog = SqliteLockWatchdog(path)
    assert [watchdog.check(), watchdog.check()] == [[], []]


@pytest.mark.parametrize("name", [None, Path("never-made.sqlite3")])
def test_without_a_file_there_are_no_lock_holders(
    name: Path | None, tmp_path: Path, hold: Hold
) -> None:
    stop(hold("reserved"))
    watchdog = SqliteLockWatchdog(name and tmp_path / name)
    assert [watchdog.check(), watchdog.check()] == [[], []]


def test_without_the_kernels_list_there_are_no_lock_holders(
    path: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop(hold("reserved"))

    def nothing(_: Path) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", nothing)
    watchdog = SqliteLockWatchdog(path)
    assert [watchdog.check(), watchdog.check()] == [[], []]


def test_before_a_server_starts_frozen_workers_are_killed(path: Path, hold: Hold) -> None:
    frozen, alive = hold("exclusive"), hold("shared", file=path.with_name("a-third.sqlite3"))
    stop(frozen)
    kill_frozen_lock_holders(path)
    eventually(lambda: not frozen.is_alive(), "the frozen worker to end")
    assert alive.is_alive()


def test_a_server_starts_immediately_although_a_worker_is_busy(
    path: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = hold("reserved")
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("it waits"))
    kill_frozen_lock_holders(path)
    assert holder.is_alive()
