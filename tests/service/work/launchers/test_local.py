"""Real child processes, most of them misbehaving."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.domain.errors import StoreBroken
from service.work.cores import usable_cores
from service.work.launcher import Exit
from service.work.launchers import local as module
from service.work.launchers.local import MAX_LOG_BYTES, LocalLauncher, memory_kills
from service.work.process_handle import ProcessHandle
from tests.support import misbehaving_workers
from tests.support.server_process import eventually

MISBEHAVING = Path(misbehaving_workers.__file__)


class RecordingLauncher(LocalLauncher):
    """Remembers the workers that it has started."""

    def __init__(self, directory: Path, environment: dict[str, str], capacity: int | None) -> None:
        super().__init__(directory, environment, capacity)
        self.started: list[ProcessHandle] = []

    def start(self, job: str, attempt: int) -> ProcessHandle:
        self.started.append(super().start(job, attempt))
        return self.started[-1]


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalLauncher]:
    """A launcher of misbehaving workers: the job's name says how they misbehave."""
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -S {MISBEHAVING} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    launcher = RecordingLauncher(tmp_path / "jobs", {"MLP_DATABASE_URL": "sqlite:///x"}, 2)
    yield launcher
    monkeypatch.undo()
    for handle in launcher.started:
        launcher.kill(handle)
        exit_of(launcher, handle)


def exit_of(launcher: LocalLauncher, handle: ProcessHandle) -> Exit:
    """Wait until the worker has ended."""
    found = eventually(lambda: launcher.poll([handle]).get(handle), "the worker to end")
    assert found
    return found


def first_output(launcher: LocalLauncher, job: str) -> str:
    return eventually(lambda: launcher.log_tail(job), f"the first output of {job}")


# --- Local workers ---


def test_the_exit_code_is_reported(launcher: LocalLauncher) -> None:
    handle = launcher.start("exits_immediately", 1)
    exit_ = exit_of(launcher, handle)
    assert exit_ == Exit(3)
    assert str(exit_) == "The worker ended with exit code 3."
    assert launcher.log_tail("exits_immediately") == "nothing to do here"


def test_an_exit_is_reported_as_long_as_it_is_polled(launcher: LocalLauncher) -> None:
    """The dispatcher polls again if it could not record the exit; the kernel reports it once."""
    handle = launcher.start("exits_immediately", 1)
    exit_of(launcher, handle)
    assert launcher.poll([handle]) == launcher.poll([handle]) == {handle: Exit(3)}
    assert launcher.poll([]) == {}
    assert launcher.poll([handle]) == {handle: Exit(None)}, "nothing is kept that is not polled"


def test_the_signal_that_ended_a_worker_is_named(launcher: LocalLauncher) -> None:
    exit_ = exit_of(launcher, launcher.start("kills_itself", 1))
    assert str(exit_) == "The worker was ended by SIGKILL."
    assert launcher.log_tail("kills_itself") == "good bye"


def test_a_log_that_has_grown_long_is_renamed_at_the_next_start(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    exit_of(launcher, launcher.start("exits_immediately", 1))
    log = tmp_path / "jobs" / "exits_immediately" / "worker.log"
    for attempt, size in ((2, MAX_LOG_BYTES), (3, MAX_LOG_BYTES + 1), (4, MAX_LOG_BYTES + 1)):
        log.write_bytes(b"x" * size)
        exit_of(launcher, launcher.start("exits_immediately", attempt))
        assert (log.stat().st_size > MAX_LOG_BYTES) is (attempt == 2)
    assert sorted(path.name for path in log.parent.iterdir()) == ["worker.log", "worker.log.1"]


def test_a_signal_without_a_name_is_named_by_its_number(launcher: LocalLauncher) -> None:
    assert str(exit_of(launcher, launcher.start("is_ended_by_a_nameless_signal", 1))).endswith(
        "signal 40."
    )


@pytest.mark.parametrize(("after", "oom_killed"), [(3, False), (4, True)])
def test_a_worker_killed_when_memory_ran_out_is_distinguished_from_others(
    launcher: LocalLauncher, monkeypatch: pytest.MonkeyPatch, after: int, oom_killed: bool
) -> None:
    counts = iter([3, after])
    monkeypatch.setattr(module, "memory_kills", lambda: next(counts))
    handle = launcher.start("ignores_sigterm", 1)
    launcher.kill(handle)
    exit_ = exit_of(launcher, handle)
    assert exit_ == Exit(-9, oom_killed)
    assert ("memory" in str(exit_)) == oom_killed


def test_a_worker_that_ends_by_itself_was_not_oom_killed_whatever_others_did(
    launcher: LocalLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = itertools.count()
    monkeypatch.setattr(module, "memory_kills", lambda: next(counts))
    assert exit_of(launcher, launcher.start("exits_immediately", 1)) == Exit(3)


def test_the_kernel_counts_processes_killed_for_lack_of_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for text, count in (("oom_kill_disable 5\noom_kill 12\n", 12), ("nr_free_pages 7\n", 0)):
        (tmp_path / "vmstat").write_text(text)
        monkeypatch.setattr(module, "KERNEL_COUNTS", tmp_path / "vmstat")
        assert memory_kills() == count
    monkeypatch.setattr(module, "KERNEL_COUNTS", tmp_path / "none")
    assert memory_kills() == 0


def test_a_worker_whose_handle_cannot_be_read_is_not_left_behind(
    launcher: LocalLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = []

    def fail(pid: int) -> ProcessHandle:
        pids.append(pid)
        raise OSError("too many open files")

    monkeypatch.setattr(ProcessHandle, "of", fail)
    with pytest.raises(OSError, match="too many"):
        launcher.start("ignores_sigterm", 1)
    assert not Path(f"/proc/{pids[0]}").exists()


def test_a_running_worker_has_not_ended(launcher: LocalLauncher) -> None:
    handle = launcher.start("sleeps_forever", 1)
    assert handle.is_alive()
    assert handle.is_here()
    assert launcher.poll([handle]) == {}
    launcher.kill(handle)
    assert exit_of(launcher, handle) == Exit(-signal.SIGKILL)
    assert not handle.is_alive()


def test_polling_a_worker_that_has_ended_reaps_its_zombie(launcher: LocalLauncher) -> None:
    handle = launcher.start("exits_immediately", 1)
    exit_of(launcher, handle)
    assert not Path(f"/proc/{handle.pid}").exists()


def test_a_worker_can_exit_by_itself_at_sigterm(launcher: LocalLauncher) -> None:
    handle = launcher.start("exits_when_asked", 1)
    first_output(launcher, "exits_when_asked")
    launcher.terminate(handle)
    assert exit_of(launcher, handle) == Exit(0)


def test_a_worker_that_ignores_sigterm_is_killed(launcher: LocalLauncher) -> None:
    handle = launcher.start("ignores_sigterm", 1)
    first_output(launcher, "ignores_sigterm")
    launcher.terminate(handle)
    time.sleep(0.1)
    assert launcher.poll([handle]) == {}
    launcher.kill(handle)
    assert exit_of(launcher, handle) == Exit(-signal.SIGKILL)


def test_a_worker_is_killed_with_its_children(launcher: LocalLauncher) -> None:
    handle = launcher.start("has_a_child", 1)
    child = ProcessHandle.of(int(first_output(launcher, "has_a_child")))
    assert child.is_alive()
    launcher.kill(handle)
    exit_of(launcher, handle)
    eventually(lambda: not child.is_alive(), "the worker's child to be killed too")


def test_a_worker_has_an_environment_and_a_session_of_its_own(
    launcher: LocalLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "8")
    exit_of(launcher, launcher.start("prints_its_environment", 7))
    assert sorted(launcher.log_tail("prints_its_environment").splitlines()) == [
        "MKL_NUM_THREADS=1",
        "MLP_DATABASE_URL=sqlite:///x",
        "OMP_NUM_THREADS=1",
        "OPENBLAS_NUM_THREADS=1",
        "and an error",
        "arguments -P -m service.work.worker prints_its_environment --attempt 7",
        "leads session True stdin /dev/null",
    ]


def test_the_next_attempt_appends_to_the_log(launcher: LocalLauncher, tmp_path: Path) -> None:
    for attempt in (1, 2):
        exit_of(launcher, launcher.start("exits_immediately", attempt))
    log = tmp_path / "jobs" / "exits_immediately" / "worker.log"
    assert log.read_text() == "nothing to do here\n" * 2


def test_the_log_tail_is_short_and_printable(launcher: LocalLauncher) -> None:
    exit_of(launcher, launcher.start("writes_garbage", 1))
    text = launcher.log_tail("writes_garbage")
    assert len(text) <= 600
    assert text.endswith("the end")
    assert launcher.log_tail("none") == ""


def test_a_worker_that_cannot_be_started_is_an_error(
    launcher: LocalLauncher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "blocked").touch()
    with pytest.raises(StoreBroken, match="blocked"):
        launcher.start("blocked", 1)
    (tmp_path / "jobs" / "logless" / "worker.log").mkdir(parents=True)
    with pytest.raises(StoreBroken, match=r"can't write worker\.log"):
        launcher.start("logless", 1)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(OSError, match="no-python"):
        launcher.start("exits_immediately", 1)


def test_the_capacity_is_one_worker_for_each_core_by_default(tmp_path: Path) -> None:
    assert LocalLauncher(tmp_path, {}, None).capacity() == usable_cores()
    assert LocalLauncher(tmp_path, {}, 5).capacity() == 5
    assert LocalLauncher(tmp_path, {}, 0).capacity() == 0


def test_an_end_is_reported_immediately_and_can_still_be_polled(launcher: LocalLauncher) -> None:
    reported = threading.Event()
    launcher.on_end = reported.set
    handle = launcher.start("exits_immediately", 1)
    assert reported.wait(30)
    assert launcher.poll([handle]) == {handle: Exit(3)}


def test_a_worker_starts_although_no_thread_is_left(
    launcher: LocalLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert exit_of(launcher, launcher.start("exits_immediately", 1)) == Exit(3)


# --- Adopted workers ---


@pytest.fixture
def orphan() -> Iterator[ProcessHandle]:
    """A worker that has outlived its server."""
    code = (
        "import subprocess, sys\n"
        "worker = subprocess.Popen(['sleep', '60'], stdout=-3, start_new_session=True)\n"
        "print(worker.pid)\n"
        "import os; sys.stdout.flush(); os._exit(0)"
    )
    pid = int(subprocess.check_output([sys.executable, "-S", "-c", code]))
    handle = ProcessHandle.of(pid)
    yield handle
    if handle.is_alive():
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_an_adopted_worker_is_watched_and_ended(
    tmp_path: Path, orphan: ProcessHandle, end: str
) -> None:
    adopter = LocalLauncher(tmp_path, {}, 2)
    assert adopter.poll([orphan]) == {}
    getattr(adopter, end)(orphan)
    exit_ = exit_of(adopter, orphan)
    assert exit_ == Exit(None), "its exit code can't be read"
    assert str(exit_) == "The worker process has ended; its exit code is unknown."


def test_another_process_with_the_same_pid_is_left_alone(
    tmp_path: Path, orphan: ProcessHandle
) -> None:
    launcher = LocalLauncher(tmp_path, {}, 2)
    ended = replace(orphan, start_ticks=orphan.start_ticks - 1)
    launcher.kill(ended)
    launcher.terminate(ended)
    assert launcher.poll([ended]) == {ended: Exit(None)}
    assert orphan.is_alive()


@pytest.mark.parametrize("elsewhere", [{"boot_id": "another"}, {"pid_namespace": "another"}])
def test_a_worker_of_another_machine_is_never_reported_as_ended(
    tmp_path: Path, orphan: ProcessHandle, elsewhere: dict[str, Any]
) -> None:
    launcher = LocalLauncher(tmp_path, {}, 2)
    foreign = replace(orphan, **elsewhere)
    launcher.kill(foreign)
    dead = replace(foreign, start_ticks=1)
    assert launcher.poll([foreign, dead]) == {}
    assert orphan.is_alive()


def test_ending_a_worker_that_has_ended_is_no_error(
    launcher: LocalLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = launcher.start("exits_immediately", 1)
    exit_of(launcher, handle)
    launcher.terminate(handle)
    launcher.kill(handle)
    monkeypatch.setattr(ProcessHandle, "is_alive", lambda _: True)  # it dies just after the check
    launcher.kill(handle)
