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

import pytest

from service.domain.errors import StoreBroken
from service.work.launchers import local as module
from service.work.launchers.local import (
    MAX_LOG_BYTES,
    Exit,
    InlineLauncher,
    LocalLauncher,
    memory_kills,
)
from service.work.process import ProcessHandle, usable_cores
from tests.support import misbehaving_workers
from tests.support.server_process import eventually

ZOO = Path(misbehaving_workers.__file__)


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalLauncher]:
    """A launcher whose workers are the animals of the zoo: the job's name says which."""
    keeper = tmp_path / "python"
    keeper.write_text(f'#!/bin/sh\nexec {sys.executable} -S {ZOO} "$@"\n')
    keeper.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(keeper))
    launcher = LocalLauncher(tmp_path / "jobs", {"MLP_DATABASE_URL": "sqlite:///x"}, 2)
    yield launcher
    for child in launcher._children.values():
        if child.process.poll() is None:
            os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()


def ended(launcher: LocalLauncher, handle: ProcessHandle) -> Exit:
    return eventually(lambda: launcher.poll([handle]).get(handle), "the worker to end")


def speaks(launcher: LocalLauncher, job: str) -> str:
    return eventually(lambda: launcher.log_tail(job), f"the first words of {job}")


# --- Local workers ---


def test_the_exit_code_is_seen(zoo: LocalLauncher) -> None:
    handle = zoo.start("exits_at_once", 1)
    exit_ = ended(zoo, handle)
    assert exit_ == Exit(3)
    assert str(exit_) == "the worker ended with exit code 3"
    assert zoo.log_tail("exits_at_once") == "nothing to do here"


def test_an_exit_is_told_as_long_as_it_is_asked_for(zoo: LocalLauncher) -> None:
    """The dispatcher asks again if it could not record it; the kernel tells it once."""
    handle = zoo.start("exits_at_once", 1)
    ended(zoo, handle)
    assert zoo.poll([handle]) == zoo.poll([handle]) == {handle: Exit(3)}
    assert zoo.poll([]) == {}
    assert zoo.poll([handle]) == {handle: Exit(None)}, "nothing is kept that nobody asks for"


def test_the_signal_that_ended_a_worker_is_named(zoo: LocalLauncher) -> None:
    exit_ = ended(zoo, zoo.start("kills_itself", 1))
    assert str(exit_) == "the worker was ended by SIGKILL"
    assert zoo.log_tail("kills_itself") == "good bye"


def test_a_log_that_has_grown_long_is_put_aside_at_the_next_start(zoo: LocalLauncher) -> None:
    ended(zoo, zoo.start("exits_at_once", 1))
    log = zoo._log("exits_at_once")
    for attempt, size in ((2, MAX_LOG_BYTES), (3, MAX_LOG_BYTES + 1), (4, MAX_LOG_BYTES + 1)):
        log.write_bytes(b"x" * size)
        ended(zoo, zoo.start("exits_at_once", attempt))
        assert (log.stat().st_size > MAX_LOG_BYTES) is (attempt == 2)
    assert sorted(path.name for path in log.parent.iterdir()) == ["worker.log", "worker.log.1"]


def test_a_signal_without_a_name_is_told_by_its_number(zoo: LocalLauncher) -> None:
    assert str(ended(zoo, zoo.start("is_ended_by_a_nameless_signal", 1))).endswith("signal 40")


@pytest.mark.parametrize(("after", "oom_killed"), [(3, False), (4, True)])
def test_a_worker_killed_when_memory_ran_out_is_told_from_others(
    zoo: LocalLauncher, monkeypatch: pytest.MonkeyPatch, after: int, oom_killed: bool
) -> None:
    counts = iter([3, after])
    monkeypatch.setattr(module, "memory_kills", lambda: next(counts))
    handle = zoo.start("ignores_sigterm", 1)
    zoo.kill(handle)
    exit_ = ended(zoo, handle)
    assert exit_ == Exit(-9, oom_killed)
    assert ("memory" in str(exit_)) == oom_killed


def test_a_worker_that_ends_by_itself_has_not_starved_whatever_others_did(
    zoo: LocalLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = itertools.count()
    monkeypatch.setattr(module, "memory_kills", lambda: next(counts))
    assert ended(zoo, zoo.start("exits_at_once", 1)) == Exit(3)


def test_the_kernel_counts_whom_it_has_killed_for_lack_of_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for text, count in (("oom_kill_disable 5\noom_kill 12\n", 12), ("nr_free_pages 7\n", 0)):
        (tmp_path / "vmstat").write_text(text)
        monkeypatch.setattr(module, "KERNEL_COUNTS", tmp_path / "vmstat")
        assert memory_kills() == count
    monkeypatch.setattr(module, "KERNEL_COUNTS", tmp_path / "none")
    assert memory_kills() == 0


def test_a_worker_that_can_not_be_named_is_not_left_behind(
    zoo: LocalLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = []

    def fail(pid: int) -> ProcessHandle:
        pids.append(pid)
        raise OSError("too many open files")

    monkeypatch.setattr(ProcessHandle, "of", fail)
    with pytest.raises(OSError, match="too many"):
        zoo.start("ignores_sigterm", 1)
    assert not Path(f"/proc/{pids[0]}").exists()


def test_a_running_worker_has_not_ended(zoo: LocalLauncher) -> None:
    handle = zoo.start("sleeps_for_ever", 1)
    assert handle.is_alive()
    assert handle.is_here()
    assert zoo.poll([handle]) == {}
    zoo.kill(handle)
    assert ended(zoo, handle) == Exit(-signal.SIGKILL)
    assert not handle.is_alive()


def test_an_end_that_was_seen_leaves_no_zombie(zoo: LocalLauncher) -> None:
    handle = zoo.start("exits_at_once", 1)
    ended(zoo, handle)
    assert not Path(f"/proc/{handle.pid}").exists()
    assert zoo._children == {}


def test_a_worker_may_leave_when_asked(zoo: LocalLauncher) -> None:
    handle = zoo.start("leaves_when_asked", 1)
    speaks(zoo, "leaves_when_asked")
    zoo.terminate(handle)
    assert ended(zoo, handle) == Exit(0)


def test_a_worker_that_ignores_the_wish_is_killed(zoo: LocalLauncher) -> None:
    handle = zoo.start("ignores_sigterm", 1)
    speaks(zoo, "ignores_sigterm")
    zoo.terminate(handle)
    time.sleep(0.1)
    assert zoo.poll([handle]) == {}
    zoo.kill(handle)
    assert ended(zoo, handle) == Exit(-signal.SIGKILL)


def test_a_worker_is_killed_with_its_children(zoo: LocalLauncher) -> None:
    handle = zoo.start("has_a_child", 1)
    child = ProcessHandle.of(int(speaks(zoo, "has_a_child")))
    assert child.is_alive()
    zoo.kill(handle)
    ended(zoo, handle)
    eventually(lambda: not child.is_alive(), "the worker's child to be killed too")


def test_a_worker_has_surroundings_of_its_own(
    zoo: LocalLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "8")
    ended(zoo, zoo.start("shows_its_surroundings", 7))
    assert sorted(zoo.log_tail("shows_its_surroundings").splitlines()) == [
        "MKL_NUM_THREADS=1",
        "MLP_DATABASE_URL=sqlite:///x",
        "OMP_NUM_THREADS=1",
        "OPENBLAS_NUM_THREADS=1",
        "and an error",
        "arguments -P -m service.work.worker shows_its_surroundings --attempt 7",
        "leads session True stdin /dev/null",
    ]


def test_the_log_goes_on_with_the_next_attempt(zoo: LocalLauncher, tmp_path: Path) -> None:
    for attempt in (1, 2):
        ended(zoo, zoo.start("exits_at_once", attempt))
    log = tmp_path / "jobs" / "exits_at_once" / "worker.log"
    assert log.read_text() == "nothing to do here\n" * 2


def test_last_words_are_short_and_printable(zoo: LocalLauncher) -> None:
    ended(zoo, zoo.start("writes_garbage", 1))
    words = zoo.log_tail("writes_garbage")
    assert len(words) <= 600
    assert words.endswith("the end")
    assert zoo.log_tail("none") == ""


def test_a_worker_that_cannot_be_started_is_an_error(
    zoo: LocalLauncher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "blocked").touch()
    with pytest.raises(StoreBroken, match="blocked"):
        zoo.start("blocked", 1)
    (tmp_path / "jobs" / "logless" / "worker.log").mkdir(parents=True)
    with pytest.raises(StoreBroken, match=r"can't write worker\.log"):
        zoo.start("logless", 1)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(OSError, match="no-python"):
        zoo.start("exits_at_once", 1)


def test_the_capacity_is_one_worker_a_core_unless_said(tmp_path: Path) -> None:
    assert LocalLauncher(tmp_path, {}, None).capacity() == usable_cores()
    assert LocalLauncher(tmp_path, {}, 5).capacity() == 5
    assert LocalLauncher(tmp_path, {}, 0).capacity() == 0


# --- Adopted workers ---


@pytest.fixture
def orphan() -> Iterator[ProcessHandle]:
    """A worker whose server is gone."""
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
    exit_ = ended(adopter, orphan)
    assert exit_ == Exit(None), "nobody saw its code"
    assert str(exit_) == "the worker is gone"


def test_a_stranger_with_the_same_pid_is_left_alone(tmp_path: Path, orphan: ProcessHandle) -> None:
    launcher = LocalLauncher(tmp_path, {}, 2)
    gone = replace(orphan, start_ticks=orphan.start_ticks - 1)
    launcher.kill(gone)
    launcher.terminate(gone)
    assert launcher.poll([gone]) == {gone: Exit(None)}
    assert orphan.is_alive()


@pytest.mark.parametrize("field", ["boot_id", "pid_namespace"])
def test_a_worker_of_another_machine_never_looks_ended(
    tmp_path: Path, orphan: ProcessHandle, field: str
) -> None:
    launcher = LocalLauncher(tmp_path, {}, 2)
    elsewhere = replace(orphan, **{field: "another"})
    launcher.kill(elsewhere)
    dead = replace(elsewhere, start_ticks=1)
    assert launcher.poll([elsewhere, dead]) == {}
    assert orphan.is_alive()


def test_to_end_what_is_gone_is_no_error(
    zoo: LocalLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = zoo.start("exits_at_once", 1)
    ended(zoo, handle)
    zoo.terminate(handle)
    zoo.kill(handle)
    monkeypatch.setattr(ProcessHandle, "is_alive", lambda _: True)  # it dies just after the look
    zoo.kill(handle)


# --- Inline workers ---


def test_an_inline_worker_is_done_when_it_has_started() -> None:
    runs: list[tuple[str, int]] = []

    def run(job: str, attempt: int) -> int:
        runs.append((job, attempt))
        return 5

    launcher = InlineLauncher(run)
    handle = launcher.start("job", 3)
    assert runs == [("job", 3)]
    assert launcher.poll([handle]) == {handle: Exit(5)}
    other = replace(handle, pid_namespace="other")
    launcher.terminate(other), launcher.kill(other)
    assert launcher.poll([other]) == {}
    assert (launcher.capacity(), launcher.log_tail("job")) == (1, "")


def test_an_end_is_told_at_once_and_can_still_be_polled(zoo: LocalLauncher) -> None:
    told = threading.Event()
    zoo.on_end = told.set
    handle = zoo.start("exits_at_once", 1)
    assert told.wait(30)
    assert zoo.poll([handle]) == {handle: Exit(3)}


def test_a_worker_starts_though_no_thread_is_left(
    zoo: LocalLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert ended(zoo, zoo.start("exits_at_once", 1)) == Exit(3)
