"""The server that `mlp-service demo` starts."""

import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from service.cli.demo_server import DemoServer, ServerFailed, sigterm_as_exit
from tests.support.command_line import run
from tests.support.server_process import free_port

ROOT = Path(__file__).parents[3]


def test_the_demo_refuses_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("demo", "--port", port, "--data-dir", tmp_path)
    assert result.exit_code == 1
    assert f"port {port}: Address already in use. Choose another" in result.stderr


def test_the_end_of_the_log_is_shown_if_the_server_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("MLP_LOG_LEVEL", "shouting")
    server = DemoServer("127.0.0.1", free_port(), tmp_path, "http://127.0.0.1:1")
    with (
        pytest.raises(ServerFailed, match=r"exit code 2; .*\nMLP_LOG_LEVEL: "),
        server.running(),
    ):
        raise AssertionError("the server can't have started")


def test_sigterm_ends_the_demo_with_an_exception_so_that_it_cleans_up() -> None:
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(SystemExit, match="143"), sigterm_as_exit():
        threading.Event().wait(5)
