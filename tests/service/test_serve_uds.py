"""A server that listens on a UNIX socket."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest

from service import serve as server_process
from service.settings import Settings
from tests.support.server_process import eventually, free_port


@contextmanager
def serving(
    directory: Path, datasets_dir: Path, *options: str, **environment: str
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run `mlp-service serve` in a directory; yield the process and its log."""
    variables = {"MLP_CONCURRENT_JOBS": "0", "MLP_DATASETS_DIR": str(datasets_dir)}
    variables |= {"MLP_LOG_FORMAT": "console", "PYTHONPATH": str(Path(__file__).parents[2])}
    log = directory / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve", *options],
            cwd=directory,
            env=os.environ | variables | environment,
            stdout=out,
            stderr=out,
        )
    try:
        yield process, log
    finally:
        process.terminate()
        process.wait(30)


def client(path: Path) -> httpx2.Client:
    transport = httpx2.HTTPTransport(uds=str(path))
    return httpx2.Client(transport=transport, base_url="http://localhost", timeout=30)


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(str(path)):
            return False  # nobody listens there yet
    with client(path) as http:
        return http.get("/readyz").status_code == 200


def command(directory: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service", *words],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_server_on_a_socket_is_used_like_any_other(tmp_path: Path, datasets_dir: Path) -> None:
    path = tmp_path / "mlp.sock"
    with serving(tmp_path, datasets_dir, "--uds", "mlp.sock") as (process, log):
        eventually(lambda: answers(path), "the server")
        with client(path) as http:
            job = http.post("/v1/jobs", json={"preset": "linear"}).json()["id"]
            said = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
            assert http.get(f"/v1/jobs/{job}", headers=said).status_code == 200
            assert http.get(f"/v1/jobs/{job}", headers={"Host": "evil.example"}).status_code == 400
        health = command(tmp_path, "health", MLP_UDS="mlp.sock")
        assert (health.returncode, health.stdout) == (0, "unix:mlp.sock is ready\n")
        for address in (f"unix:{path}", f"http+unix://{quote(str(path), safe='')}"):
            health = command(tmp_path, "health", MLP_SERVICE_URL=address)
            assert (health.returncode, health.stdout) == (0, f"{address} is ready\n")
        text = log.read_text()
        assert re.search(r"listening .*uds=mlp\.sock", text)
        assert re.search(rf"path=/v1/jobs/{job} status=200 \S+ client=203\.0\.113\.9 ", text)
        assert re.search(r"method=POST path=/v1/jobs status=201 \S+ client=unix ", text)
        process.terminate()
        assert process.wait(30) == 0
    assert not path.exists()
    assert "Traceback" not in log.read_text()
    assert command(tmp_path, "health", MLP_UDS="mlp.sock").returncode == 1


def test_a_killed_server_leaves_a_socket_that_the_next_one_replaces(
    tmp_path: Path, datasets_dir: Path
) -> None:
    path = tmp_path / "mlp.sock"
    with serving(tmp_path, datasets_dir, MLP_UDS=str(path)) as (process, _):
        eventually(lambda: answers(path), "the server")
        process.kill()
        process.wait()
    assert path.is_socket()
    with serving(tmp_path, datasets_dir, MLP_UDS=str(path)):
        eventually(lambda: answers(path), "the next server")


def test_a_socket_that_can_not_be_made_ends_with_1_and_one_plain_line(
    tmp_path: Path, datasets_dir: Path
) -> None:
    (tmp_path / "file").write_text("precious")
    done = command(
        tmp_path,
        "serve",
        "--uds",
        "file",
        MLP_LOG_LEVEL="error",
        MLP_DATASETS_DIR=str(datasets_dir),
    )
    assert done.returncode == 1
    assert done.stderr == (
        "mlp-service can't listen on the UNIX socket file: file is a file that is no socket\n"
    )


@pytest.mark.parametrize("option", ["--port", "--host"])
def test_an_address_among_the_options_wins_over_a_socket_in_the_environment(
    tmp_path: Path, datasets_dir: Path, option: str
) -> None:
    port = str(free_port())
    words = ("--port", port) if option == "--port" else ("--host", "127.0.0.1")
    environment = {"MLP_UDS": "mlp.sock", "MLP_PORT": port}
    with serving(tmp_path, datasets_dir, *words, **environment):
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: command(tmp_path, "health", "--url", url).returncode == 0, "the server")
    assert not (tmp_path / "mlp.sock").exists()


def test_a_socket_is_no_public_address() -> None:
    settings = Settings(host="0.0.0.0", uds=Path("mlp.sock"))
    assert server_process.public_bind_refusal(settings) is None
