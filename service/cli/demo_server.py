"""The server of the demo, as a child process."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import httpx2

READY_SECONDS = 60.0
STOP_SECONDS = 10.0
LOG_TAIL_LINES = 15


class ServerFailed(Exception):
    """The server could not start, or ended; `str()` says what to do."""


@dataclass(frozen=True)
class DemoServer:
    """Where the demo's server listens and keeps its data."""

    host: str
    port: int
    data_dir: Path
    url: str

    @property
    def log(self) -> Path:
        """File with the server's output."""
        return self.data_dir / "server.log"

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the server as a child process, which is stopped when the block ends in any way.

        Raises:
            ServerFailed: the port is in use, or the server did not start.

        """
        self._check_port()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        address = ["--host", self.host, "--port", str(self.port)]
        command = [sys.executable, "-m", "service", "serve", *address]
        command += ["--data-dir", str(self.data_dir)]
        with self.log.open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            self._wait_until_ready(process)
            yield process
        finally:
            _stop(process)

    def exit_message(self, process: subprocess.Popen[bytes]) -> str:
        """Return the exit code of a server that ended, and the end of its log."""
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        ended = f"The server ended with exit code {process.returncode}; the end of {self.log}:"
        return "\n".join([ended, *lines])

    def _check_port(self) -> None:
        # Without this check, the demo might talk to another program that has the port.
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            socket.create_server((self.host, self.port), family=family).close()
        except OSError as error:
            raise ServerFailed(
                f"Can't listen on {self.host} port {self.port}: {os.strerror(error.errno or 0)}. "
                "Choose another port: `make demo PORT=8001` or `mlp-service demo --port 8001`."
            ) from error

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise ServerFailed(self.exit_message(process))
            try:
                if httpx2.get(f"{self.url}/readyz", timeout=5, trust_env=False).is_success:
                    return
            except httpx2.TransportError:
                pass  # it is not listening yet
            time.sleep(0.1)
        raise ServerFailed(
            f"The server was not ready after {READY_SECONDS:g} s; its log is {self.log}."
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def sigterm_as_exit() -> Iterator[None]:
    """Let SIGTERM raise SystemExit in the block, so that its clean-up runs and stops the server."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
