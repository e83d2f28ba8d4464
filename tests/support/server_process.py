"""Real servers and workers, which tests use, kill and inspect from outside."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from mlp_client.job_state import FINAL
from tests.support.engines import environment_of

T = TypeVar("T")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(look: Callable[[], T | None], what: str, seconds: float = 30) -> T:
    """Return the first true answer of `look`, or fail naming `what` was waited for."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what}, in vain")
        time.sleep(0.02)
    return found


def resident(pid: int) -> float:
    """Return the memory of a process in MiB."""
    [kibibytes] = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(kibibytes) / 1024


class Server:
    """`mlp-service serve` as a process."""

    def __init__(self, data_dir: Path, datasets_dir: Path, **environment: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx2.Client(base_url=self.url, timeout=30)
        self.environment = {
            "MLP_DATASETS_DIR": str(datasets_dir),
            "MLP_LOG_FORMAT": "console",
            **environment_of(data_dir),
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.prefix: list[str] = []
        """A command that runs the server, with fewer privileges for example."""

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The code that the server ended with, or None while it runs."""
        assert self._process
        return self._process.poll()

    def start(self) -> "Server":
        self.data_dir.mkdir(exist_ok=True)
        command = [*self.prefix, sys.executable, "-m", "service", "serve"]
        command += ["--port", str(self.port)]
        with (self.data_dir / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--data-dir", str(self.data_dir)],
                env=os.environ | self.environment,
                stdout=log,
                stderr=log,
            )
        try:
            eventually(self._ready, "the server")
        except BaseException as error:
            self.kill()
            error.add_note(f"its log:\n{self.log()}")
            raise
        return self

    def _ready(self) -> bool:
        assert self.exit_code is None, f"the server ended:\n{self.log()}"
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx2.TransportError:
            return False

    def log(self) -> str:
        return (self.data_dir / "server.log").read_text()

    def kill(self) -> None:
        """End the server as a power cut would; its workers continue."""
        assert self._process
        self._process.kill()
        self._process.wait()

    def terminate(self) -> tuple[int, float]:
        """Ask the server to stop; return its exit code and the seconds it took."""
        assert self._process
        started = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(30), time.monotonic() - started

    def stop(self) -> None:
        """Leave no process behind."""
        if self._process and self._process.poll() is None:
            self.terminate()
        for pid in self.workers():
            os.killpg(pid, signal.SIGKILL)
        self.http.close()

    def workers(self) -> list[int]:
        """Return the pids of the workers that train jobs of this data directory."""
        return [pid for pid, _, _ in self._worker_processes()]

    def worker(self, job: str) -> int | None:
        """Return the pid of the worker that trains `job`."""
        return next((pid for pid, name, _ in self._worker_processes() if name == job), None)

    def _worker_processes(self) -> list[tuple[int, str, str]]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            pid = int(folder.name)
            try:
                if os.getpgid(pid) != pid:  # a process that helps a worker
                    continue
                words = (folder / "cmdline").read_bytes().decode().split("\0")
                environment = (folder / "environ").read_bytes().decode()
            except (OSError, UnicodeDecodeError):
                continue
            if "service.work.worker" in words and f"={self.data_dir}/jobs\0" in environment:
                at = words.index("service.work.worker")
                found.append((pid, words[at + 1], words[at + 3]))
        return found

    # --- Requests that many tests need ---

    def submit(self, **spec: Any) -> str:
        answer = self.http.post("/v1/jobs", json=spec)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def job(self, id_: str) -> dict[str, Any]:
        answer = self.http.get(f"/v1/jobs/{id_}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def act(self, id_: str, action: str) -> httpx2.Response:
        return self.http.post(f"/v1/jobs/{id_}/{action}")

    def wait(self, id_: str, *states: str, seconds: float = 60) -> dict[str, Any]:
        """Wait until the job is in one of `states`; fail immediately if it ends in another."""
        job: dict[str, Any] = {}

        def look() -> bool:
            job.update(self.job(id_))
            return job["state"] in (*states, *FINAL)

        try:
            eventually(look, f"{id_} to be {' or '.join(states)}", seconds)
            assert job["state"] in states
        except AssertionError as exc:
            exc.add_note(f"{job}\nThe server's log:\n{self.log()[-4000:]}")
            raise
        return job

    def wait_for_progress(self, id_: str, fraction: float) -> dict[str, Any]:
        """Wait until the job has a worker and has done at least `fraction` of its epochs."""

        def look() -> dict[str, Any] | None:
            job = self.job(id_)
            assert job["state"] not in ("failed", "cancelled"), job["reason"]
            if job["state"] == "queued":
                return None  # its progress is that of an earlier worker
            return job if job["progress"]["fraction"] >= fraction else None

        return eventually(look, f"{id_} to be {fraction:.0%} done", 90) or {}
