"""Handles of processes and what they say about the process."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.work.process_handle import ProcessHandle
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
    assert ProcessHandle.from_record(handle.as_record()) == handle
    assert ProcessHandle.from_record(None) is None


def test_the_start_time_is_that_of_the_kernel(sleeper: subprocess.Popen[bytes]) -> None:
    parent, child = ProcessHandle.of(os.getpid()), ProcessHandle.of(sleeper.pid)
    assert child.pid == sleeper.pid
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    age = uptime - child.start_ticks / os.sysconf("SC_CLK_TCK")
    assert -0.1 < age < 30
    assert parent.start_ticks <= child.start_ticks


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
    sleeper.send_signal(signal.SIGSTOP)
    stat = Path(f"/proc/{sleeper.pid}/stat")
    eventually(lambda: ") T " in stat.read_text(), "the process to be stopped")
    assert handle.is_alive()


def test_a_handle_does_not_match_another_process_with_the_same_pid(
    sleeper: subprocess.Popen[bytes],
) -> None:
    handle = ProcessHandle.of(sleeper.pid)
    assert handle.is_alive()
    assert not replace(handle, start_ticks=handle.start_ticks - 1).is_alive()


def test_a_process_of_another_machine_or_container_is_not_here() -> None:
    handle = ProcessHandle.of(os.getpid())
    assert not replace(handle, boot_id="another").is_here()
    assert not replace(handle, pid_namespace="another").is_here()


def test_a_command_name_with_brackets_and_spaces_is_read_correctly(tmp_path: Path) -> None:
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


def test_all_threads_of_a_process_have_the_same_handle() -> None:
    found: list[ProcessHandle] = []
    thread = threading.Thread(target=lambda: found.append(ProcessHandle.of(os.getpid())))
    thread.start()
    thread.join()
    assert found == [ProcessHandle.of(os.getpid())]
