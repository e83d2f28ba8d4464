import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.work import process as module
from service.work.process import ProcessHandle, usable_cores
from tests.support.server_process import eventually


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def test_a_running_process_is_alive_and_here() -> None:
    handle = ProcessHandle.of(os.getpid())
    assert handle.is_alive()
    assert handle.is_here()
    assert ProcessHandle.read(handle.stored()) == handle
    assert ProcessHandle.read(None) is None


def test_the_start_time_is_that_of_the_kernel(sleeper: subprocess.Popen[bytes]) -> None:
    ours, theirs = ProcessHandle.of(os.getpid()), ProcessHandle.of(sleeper.pid)
    assert theirs.pid == sleeper.pid
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    age = uptime - theirs.start_ticks / os.sysconf("SC_CLK_TCK")
    assert -0.1 < age < 30
    assert ours.start_ticks <= theirs.start_ticks


def test_an_ended_process_is_not_alive(sleeper: subprocess.Popen[bytes]) -> None:
    handle = ProcessHandle.of(sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    assert not handle.is_alive()
    with pytest.raises(ProcessLookupError, match=str(sleeper.pid)):
        ProcessHandle.of(sleeper.pid)


def test_a_zombie_is_not_alive(sleeper: subprocess.Popen[bytes]) -> None:
    handle = ProcessHandle.of(sleeper.pid)
    sleeper.kill()
    stat = Path(f"/proc/{sleeper.pid}/stat")
    eventually(lambda: ") Z " in stat.read_text(), "the process to be a zombie")
    assert not handle.is_alive()


def test_a_stopped_process_is_alive(sleeper: subprocess.Popen[bytes]) -> None:
    handle = ProcessHandle.of(sleeper.pid)
    sleeper.send_signal(19)
    stat = Path(f"/proc/{sleeper.pid}/stat")
    eventually(lambda: ") T " in stat.read_text(), "the process to be stopped")
    assert handle.is_alive()


def test_another_process_with_the_same_pid_is_not_the_one(
    sleeper: subprocess.Popen[bytes],
) -> None:
    handle = ProcessHandle.of(sleeper.pid)
    assert handle.is_alive()
    assert not replace(handle, start_ticks=handle.start_ticks - 1).is_alive()


@pytest.mark.parametrize("field", ["boot_id", "pid_namespace"])
def test_a_process_of_another_machine_or_container_is_not_here(field: str) -> None:
    assert not replace(ProcessHandle.of(os.getpid()), **{field: "another"}).is_here()


def test_a_name_with_brackets_and_spaces_is_no_riddle(tmp_path: Path) -> None:
    link = tmp_path / "a ) Z 1 (b"
    link.symlink_to("/bin/sleep")
    process = subprocess.Popen([link, "60"])
    try:
        comm = Path(f"/proc/{process.pid}/comm")
        eventually(lambda: comm.read_text().startswith("a ) Z"), "the program to be run")
        assert ProcessHandle.of(process.pid).is_alive()
        assert ProcessHandle.of(process.pid).start_ticks > 0
    finally:
        process.kill()
        process.wait()


# --- Cores ---


@pytest.fixture
def quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that stands for the cgroup's `cpu.max`."""
    file = tmp_path / "cpu.max"
    named = {"/sys/fs/cgroup/cpu.max": file}
    monkeypatch.setattr(module, "Path", lambda path: named.get(path, Path(path)))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    return file


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("max 100000\n", 8),
        ("200000 100000\n", 2),
        ("250000 100000\n", 2),
        ("50000 100000\n", 1),
        ("6400000 100000\n", 8),
        ("30000 10000\n", 3),
        ("", 8),
        ("nonsense\n", 8),
    ],
)
def test_usable_cores_are_the_least_of_affinity_and_quota(
    quota: Path, text: str, cores: int
) -> None:
    quota.write_text(text)
    assert usable_cores() == cores


def test_without_a_quota_the_affinity_counts(quota: Path) -> None:
    assert not quota.exists()
    assert usable_cores() == 8


def test_a_process_bound_to_one_core_uses_one() -> None:
    first = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, {{{first}}}); from service.work.process import *; "
    answer = subprocess.check_output([sys.executable, "-c", code + "print(usable_cores())"])
    assert answer == b"1\n"


def test_a_thread_of_a_process_names_the_same_process() -> None:
    found: list[ProcessHandle] = []
    thread = threading.Thread(target=lambda: found.append(ProcessHandle.of(os.getpid())))
    thread.start()
    thread.join()
    assert found == [ProcessHandle.of(os.getpid())]


@pytest.mark.parametrize(
    ("loadavg", "cores", "idle"),
    [
        ("0.1 0.2 0.3 1/80 9\n", 2, True),
        ("0.1 0.2 0.3 2/80 9\n", 2, False),
        ("0.1 0.2 0.3 1/80 9\n", 1, False),
        ("0.1 0.2 0.3 2/80 9\n", 4, False),
        ("who knows\n", 2, False),
    ],
)
def test_a_core_is_idle_while_fewer_threads_than_cores_run(
    loadavg: str, cores: int, idle: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Path, "read_text", lambda path: loadavg if str(path) == "/proc/loadavg" else ""
    )
    monkeypatch.setattr(module, "usable_cores", lambda: cores)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert module.a_core_is_idle() == idle
