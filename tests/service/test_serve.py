"""The server process: when it may start, its messages otherwise, and how it stops."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from service import serve as server_process
from service.settings import Settings
from service.store.api_keys import ApiKeyStore
from service.store.sql.database import Database
from tests.support.server_process import Server, eventually, free_port

SECONDS = 8
"""Longest time to stop; an orchestrator kills after 10 to 15 seconds."""


def serve(*options: str, **environment: str) -> tuple[int, str, float]:
    """Run `mlp-service serve` until it exits.

    Return its exit code, its standard error, and the seconds in which it did nothing but wait: the
    time on the clock without the time on a core and the time in which it waited for a core, which
    depend on what else the machine does.
    """
    command = [sys.executable, "-m", "service", "serve", *options]
    environment = os.environ | {"MLP_LOG_FORMAT": "json"} | environment
    started = time.monotonic()
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        limit = threading.Timer(60, process.kill)
        limit.start()
        error = process.stderr.read()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        limit.cancel()
        passed = time.monotonic() - started
        on_core, for_core, _ = Path(f"/proc/{process.pid}/schedstat").read_text().split()
    return process.returncode, error, passed - (int(on_core) + int(for_core)) / 1e9


@pytest.fixture
def idle(tmp_path: Path, datasets_dir: Path) -> Iterator[Server]:
    """A server that trains nothing, with logs for machines."""
    environment = {"MLP_CONCURRENT_JOBS": "0", "MLP_LOG_FORMAT": "json"}
    server = Server(tmp_path / "data", datasets_dir, **environment).start()
    yield server
    server.stop()


# --- Where it listens ---


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]"])
def test_a_loopback_address_needs_no_key(host: str) -> None:
    assert server_process.public_bind_refusal(Settings(host=host)) is None


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.2", "example.com", "", "127.1", "localhost.evil", "*"]
)
def test_a_public_address_is_refused_unless_allowed(host: str) -> None:
    problem = server_process.public_bind_refusal(Settings(host=host))
    assert problem
    assert f"MLP_HOST={host} " in problem
    assert "--insecure" in problem
    assert server_process.public_bind_refusal(Settings(host=host, insecure=True)) is None


def test_a_public_bind_ends_with_2_and_one_plain_line(tmp_path: Path) -> None:
    code, error, _ = serve("--host", "0.0.0.0", "--data-dir", str(tmp_path / "data"))
    assert code == 2
    assert error.startswith("mlp-service: MLP_HOST=0.0.0.0 is not a loopback address")
    assert error.count("\n") == 1
    assert not (tmp_path / "data").exists()


def test_a_public_bind_is_allowed_with_a_key_and_the_check_creates_no_database(
    tmp_path: Path, empty_database: Path
) -> None:
    settings = Settings(host="0.0.0.0", data_dir=tmp_path)
    assert "keys create" in (server_process.public_bind_refusal(settings) or "")
    assert list(tmp_path.iterdir()) == []
    shutil.copy(empty_database, tmp_path)
    assert server_process.public_bind_refusal(settings)
    database = Database(settings.resolved_database_url())
    ApiKeyStore(database).create("ada", ["read"])
    assert server_process.public_bind_refusal(settings) is None
    database.close()


def test_a_public_bind_that_is_allowed_still_checks_the_host_header(
    tmp_path: Path, datasets_dir: Path
) -> None:
    environment = {"MLP_HOST": "0.0.0.0", "MLP_INSECURE": "1", "MLP_CONCURRENT_JOBS": "0"}
    server = Server(tmp_path / "data", datasets_dir, **environment).start()
    assert server.http.get("/v1/jobs").status_code == 200
    assert server.http.get("/v1/jobs", headers={"Host": "evil.example"}).status_code == 400
    server.stop()


# --- Pages of any site ---


@pytest.mark.parametrize("origins", ["*", "null", "https://a.example,null"])
def test_pages_of_any_site_are_allowed_only_with_a_key(
    tmp_path: Path, empty_database: Path, origins: str
) -> None:
    options = ("--data-dir", str(tmp_path / "data"), "--port", "0", "--insecure")
    code, error, _ = serve(*options, MLP_ALLOWED_ORIGINS=origins)
    assert code == 2
    assert error.startswith("mlp-service: MLP_ALLOWED_ORIGINS=")
    assert "keys create" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "data").exists()
    shutil.copy(empty_database, tmp_path)
    settings = Settings(data_dir=tmp_path, allowed_origins=origins.split(","))
    assert server_process.keyless_refusal(settings)
    database = Database(settings.resolved_database_url())
    ApiKeyStore(database).create("ada", ["read"])
    assert server_process.keyless_refusal(settings) is None
    database.close()


def test_listed_origins_need_no_key() -> None:
    settings = Settings(allowed_origins=["https://a.example", "http://localhost:3000"])
    assert server_process.keyless_refusal(settings) is None


# --- Settings ---


def test_a_misspelt_setting_is_a_warning_in_the_log_with_a_guess(
    tmp_path: Path, datasets_dir: Path
) -> None:
    environment = {"MLP_CONCURRENT_JOBS": "0", "MLP_LOG_FORMAT": "json", "MLP_IDLE_SECOND": "9"}
    server = Server(tmp_path / "data", datasets_dir, **environment).start()
    server.terminate()
    entries = [json.loads(line) for line in server.log().splitlines()]
    warnings = [entry["event"] for entry in entries if entry["level"] == "warning"]
    server.stop()
    assert "MLP_IDLE_SECOND is unknown; did you mean MLP_IDLE_SECONDS?" in warnings


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        (
            "MLP_ALLOWED_HOSTS",
            "localhost:8000",
            "MLP_ALLOWED_HOSTS: 'localhost:8000' has a port; write the name alone, for any port: "
            "localhost\n",
        ),
        (
            "MLP_ALLOWED_ORIGINS",
            "https://app.example/",
            "MLP_ALLOWED_ORIGINS: 'https://app.example/' has a path; write https://app.example\n",
        ),
        (
            "MLP_PORT",
            "tcp://10.0.0.1:8000",
            "MLP_PORT: Kubernetes sets it to an address if a Service is named mlp; rename the "
            "Service, or set enableServiceLinks: false in the pod's spec\n",
        ),
    ],
)
def test_a_senseless_setting_ends_with_2_and_one_plain_line(
    tmp_path: Path, variable: str, value: str, line: str
) -> None:
    code, error, _ = serve("--data-dir", str(tmp_path / "data"), **{variable: value})
    assert (code, error) == (2, line)


def test_an_error_of_one_setting_repeats_no_other(tmp_path: Path) -> None:
    secret = {"MLP_API_KEY": "hunter2", "MLP_DATABASE_URL": "sqlite:////x?hunter2"}
    data = str(tmp_path / "data")
    code, error, _ = serve("--data-dir", data, MLP_ALLOWED_HOSTS="a b", **secret)
    assert (code, "hunter2" in error) == (2, False)


# --- When it can't start ---


def test_a_data_directory_that_can_not_be_made_ends_with_1_and_one_plain_line(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    code, error, waited = serve("--data-dir", str(tmp_path / "file" / "data"), "--port", "0")
    assert code == 1
    assert error == "mlp-service can't start: can't create the directory file: File exists\n"
    assert waited < SECONDS


def test_a_data_directory_that_can_not_be_written_ends_with_1_and_one_plain_line(
    tmp_path: Path,
) -> None:
    (tmp_path / ".probe").mkdir()  # root may write everywhere else
    code, error, _ = serve("--data-dir", str(tmp_path), "--port", "0")
    assert code == 1
    assert error.startswith(f"mlp-service can't start: the data directory {tmp_path} can't be")
    assert error.count("\n") == 1


def test_a_folder_of_data_sets_that_can_not_be_made_ends_with_1_and_one_plain_line(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    options = ("--data-dir", str(tmp_path / "data"), "--port", "0")
    code, error, _ = serve(*options, MLP_DATASETS_DIR=str(tmp_path / "file"))
    assert code == 1
    assert error == "mlp-service can't start: can't create the directory file: File exists\n"


def test_a_fleet_without_a_database_that_hosts_could_share_ends_with_1_and_the_way_out(
    tmp_path: Path,
) -> None:
    secret = {"MLP_RAY_TOKEN": "hunter2"}
    code, error, _ = serve("--data-dir", str(tmp_path), "--port", "0", MLP_FLEET="ray", **secret)
    assert code == 1
    assert error == (
        "mlp-service can't start: MLP_FLEET starts hosts, which need a database that they share: "
        "set MLP_DATABASE_URL to postgresql://…, or unset MLP_FLEET to train on this machine "
        "alone\n"
    )


def test_a_file_that_is_no_database_ends_with_1_and_one_plain_line(
    tmp_path: Path, datasets_dir: Path
) -> None:
    (tmp_path / "jobs.sqlite3").write_bytes(b"no database" * 100)
    options = ("--data-dir", str(tmp_path), "--port", "0")
    code, error, _ = serve(*options, MLP_DATASETS_DIR=str(datasets_dir))
    assert code == 1
    assert error == "mlp-service can't start: the database failed: file is not a database\n"


def test_a_second_server_ends_with_an_error_and_leaves_the_first_alone(
    server: Server, tmp_path: Path
) -> None:
    job = server.submit(preset="mlp-relu", epochs=200)
    server.wait_for_progress(job, 0.005)
    worker = server.worker(job)
    other = str(tmp_path / "other")
    code, error, _ = serve("--data-dir", other, "--port", str(server.port))
    assert code == 1
    assert "choose another" in error
    assert "Traceback" not in error
    code, error, _ = serve("--data-dir", str(server.data_dir), "--port", str(free_port()))
    assert code == 1
    assert "another server or host uses the data directory" in error
    assert server.worker(job) == worker
    assert server.job(job)["attempt"] == 1


# --- When it stops ---


def test_an_idle_server_stops_immediately(idle: Server) -> None:
    code, seconds = idle.terminate()
    assert (code, seconds < 3) == (0, True)
    assert "Traceback" not in idle.log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_open_streams_end_when_the_server_is_asked_to_stop(server: Server, number: int) -> None:
    job = server.submit(preset="mlp-relu", epochs=2000)
    server.wait_for_progress(job, 0.0001)
    heard, ended = list[str](), threading.Event()

    def listen() -> None:
        with server.http.stream("GET", f"/v1/jobs/{job}/events") as answer:
            heard.extend(answer.iter_lines())
        ended.set()

    listener = threading.Thread(target=listen)
    listener.start()
    worker = server.worker(job)
    time.sleep(0.5)  # so that the stream is beyond its history
    started = time.monotonic()
    os.kill(server.pid, number)
    assert ended.wait(SECONDS)
    listener.join()
    code, _ = server.terminate()
    assert (code, time.monotonic() - started < SECONDS) == (0, True)
    assert any(line.startswith("event: progress") for line in heard)
    assert "Traceback" not in server.log()
    assert not Path(f"/proc/{worker}").exists()
    with sqlite3.connect(server.data_dir / "jobs.sqlite3") as database:
        found = database.execute("SELECT state, lost_workers FROM jobs").fetchall()
    database.close()
    assert found == [("queued", 0)]


def test_a_request_in_progress_is_answered_before_the_server_stops(idle: Server) -> None:
    with socket.create_connection(("127.0.0.1", idle.port)) as slow:
        body = b'{"preset": "linear"}'
        slow.sendall(
            b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        time.sleep(0.3)
        os.kill(idle.pid, signal.SIGTERM)
        time.sleep(0.3)
        slow.sendall(body)
        assert slow.recv(20).startswith(b"HTTP/1.1 201")
    code, seconds = idle.terminate()
    assert (code, seconds < SECONDS) == (0, True)


def test_a_server_exits_with_an_error_if_its_dispatcher_fails(idle: Server) -> None:
    job = idle.submit(preset="linear")
    with sqlite3.connect(idle.data_dir / "jobs.sqlite3", timeout=10) as database:
        broken = "UPDATE jobs SET state = 'running', handle = '{\"no\": 1}' WHERE id = ?"
        database.execute(broken, [job])
    database.close()
    eventually(lambda: idle.exit_code is not None, "the server's end", 15)
    assert idle.exit_code == 1
    assert "dispatcher_died" in idle.log()


def test_an_error_in_the_dispatcher_stops_the_server() -> None:
    async def app(scope: object, receive: object, send: object) -> None: ...

    server = server_process.Server(uvicorn.Config(app))
    assert not server.should_exit
    server.die()
    assert (server.should_exit, server.died) == (True, True)


# --- What it logs ---


def test_every_line_of_a_json_log_is_json(idle: Server) -> None:
    idle.http.get("/v1/jobs/x")
    idle.terminate()
    entries = [json.loads(line) for line in idle.log().splitlines()]
    assert len(entries) > 3
    assert all({"event", "level", "timestamp"} <= set(entry) for entry in entries)
    assert any((entry.get("path"), entry.get("status")) == ("/v1/jobs/x", 404) for entry in entries)
