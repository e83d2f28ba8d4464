"""The command `mlp-service health`."""

import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.support.command_line import run
from tests.support.fake_service import FakeService, serving
from tests.support.server_process import free_port

ROOT = Path(__file__).parents[3]


def test_health_imports_nothing_heavy() -> None:
    code = """
import sys
from typer.testing import CliRunner
from service.cli.main import app
CliRunner().invoke(app, ["health", "--url", "http://127.0.0.1:1"])
heavy = {"numpy", "fastapi", "sqlalchemy", "matplotlib", "PIL", "mlp_client"}
print(*(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("\n", "")


def test_health_succeeds_if_the_server_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(FakeService()) as url:
        monkeypatch.setenv("MLP_HOST", "0.0.0.0")
        monkeypatch.setenv("MLP_PORT", url.rpartition(":")[2])
        result = run("health")
    assert (result.exit_code, result.stdout) == (0, f"{url} is ready\n")


def test_health_asks_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with serving(FakeService()) as url:
        assert run("health", "--url", url).exit_code == 0


def test_health_fails_if_the_server_is_not_ready() -> None:
    service = FakeService()
    service.routes.insert(0, ("GET /readyz", lambda request: httpx2.Response(503, text="no")))
    with serving(service) as url:
        result = run("health", "--url", url)
    assert (result.exit_code, result.stderr) == (1, f"{url} is not ready: 503 no\n")


def test_health_says_what_is_wrong_with_the_address_of_a_socket() -> None:
    result = run("health", "--url", "unix:mlp.sock")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "must begin with /" in result.stderr


def test_health_fails_if_there_is_no_server() -> None:
    result = run("health", "--url", f"http://127.0.0.1:{free_port()}")
    assert result.exit_code == 1
    assert "does not answer" in result.stderr
