"""Real Ray clusters on this machine, with the programs of an environment of their own.

Every node has ports of its own. Processes are ended by their ids: `ray stop` would end every Ray of
the machine, whoever started it.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2

from tests.support.external_programs import skip_or_fail
from tests.support.server_process import eventually, free_port

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / ".venv-ray" / "bin" / "ray"
MARK = "MLP_TEST_RAY_NODE"
"""A variable by which the processes of a node are found, with all that they have started."""
READY_SECONDS = 240
OBJECT_STORE_BYTES = 100_000_000
PORTS = (
    *("node-manager", "object-manager", "dashboard-agent-grpc", "dashboard-agent-listen"),
    *("runtime-env-agent", "metrics-export"),
)
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_DOCKER_CPU_WARNING": "1"}
SUPERVISOR = "ray::JobSupervisor"
RAYLET = "raylet/raylet"
GCS = "gcs_server"
DASHBOARD = "dashboard.py"
HOST = ("service work --slots", "--until-idle")


def require_ray() -> None:
    """Skip the test if Ray is not installed, or fail it where nothing may be skipped."""
    if not PROGRAM.exists():
        skip_or_fail("Ray is not installed: `make ray` does it")


class RayNode:
    """A node, which `start` starts and `kill` ends."""

    def __init__(
        self, directory: Path, cpus: int, options: list[str], environment: Mapping[str, str]
    ) -> None:
        self._log = directory.with_suffix(".log")
        self._mark = f"{directory}-{uuid.uuid4().hex}"
        self._cpus, self._options = cpus, options
        self._environment = {**environment, **QUIET, MARK: self._mark}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it without waiting until it is there."""
        assert not self.is_running
        command = [str(PROGRAM), "start", "--block", "--disable-usage-stats", *self._options]
        command += ["--node-ip-address=127.0.0.1", f"--num-cpus={self._cpus}"]
        command += [f"--object-store-memory={OBJECT_STORE_BYTES}"]
        command += ["--min-worker-port=0", "--max-worker-port=0"]  # any free ones
        command += [f"--{name}-port={free_port()}" for name in PORTS]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env=os.environ | self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def processes(self, *words: str) -> list[int]:
        """Return the processes of the node, or those whose command contains all these words."""
        return [pid for pid in _marked(self._mark) if all(word in _command(pid) for word in words)]

    def kill_one(self, *words: str) -> bool:
        """Kill one of the processes whose command contains all these words, if there is any."""
        for pid in self.processes(*words)[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return True
        return False

    def kill(self) -> None:
        """End it and everything on it at once, as a power cut does."""
        while pids := self.processes():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self._process:
                self._process.poll()
            time.sleep(0.02)
        if self._process:
            self._process.wait(10)

    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""


class RayCluster:
    """A head, whose REST interface demands a token, and further nodes."""

    def __init__(self, directory: Path, environment: Mapping[str, str], head_cpus: int) -> None:
        """Prepare it; `environment` is what hosts find on every node.

        The directory's path must be short: sockets lie in it.
        """
        self._directory, self.token = directory, uuid.uuid4().hex * 2
        self.token_file = directory / "token"
        self.token_file.write_text(self.token)
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token_file)}
        self._environment = {**environment, **token, "RAY_JOB_STOP_WAIT_TIME_S": "8"}
        self._gcs_port, dashboard_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{dashboard_port}"
        headers = {"Authorization": f"Bearer {self.token}"}
        self.http = httpx2.Client(base_url=self.url, headers=headers, timeout=20)
        options = ["--head", f"--port={self._gcs_port}", f"--temp-dir={directory / 'ray'}"]
        options += ["--include-dashboard=true", f"--dashboard-port={dashboard_port}"]
        options += ["--dashboard-host=127.0.0.1", f"--ray-client-server-port={free_port()}"]
        self.head = self._node("head", head_cpus, options)
        self.nodes: list[RayNode] = []

    def _node(self, name: str, cpus: int, options: list[str]) -> RayNode:
        place = {"MLP_DATA_DIR": str(self._directory / name)}
        return RayNode(self._directory / name, cpus, options, {**self._environment, **place})

    def add_node(self, cpus: int) -> RayNode:
        name = f"node{len(self.nodes) + 1}"
        node = self._node(name, cpus, [f"--address=127.0.0.1:{self._gcs_port}"])
        self.nodes.append(node)
        node.start()
        return node

    def wait(self, cpus: int) -> None:
        """Wait until the head answers and all nodes together have so many cores."""

        def ready() -> bool:
            # A node ends if the head is not there yet, and a new head as long as a raylet of an old
            # one runs on the same machine.
            self.restart_ended()
            try:
                found = self.http.get("/api/cluster_status?format=1")
                return found.is_success and f"/{float(cpus)} CPU" in found.text
            except httpx2.TransportError:
                return False

        try:
            eventually(ready, "Ray", READY_SECONDS)
        except AssertionError as exc:
            for node in self.all_nodes:
                exc.add_note(node.log()[-2000:])
            raise

    @property
    def all_nodes(self) -> list[RayNode]:
        return [self.head, *self.nodes]

    def restart_ended(self) -> None:
        """Start nodes again that have ended, without what they left, as containers do."""
        for node in self.all_nodes:
            if not node.is_running:
                node.kill()
                node.start()

    def hosts(self) -> list[int]:
        """Return the processes of all hosts."""
        return [pid for node in self.all_nodes for pid in node.processes(*HOST)]

    def jobs(self) -> dict[str, dict[str, Any]]:
        """Return the submitted jobs that Ray knows, by their names."""
        found = self.http.get("/api/jobs/").raise_for_status().json()
        return {job["submission_id"]: job for job in found if job["submission_id"]}

    def end(self) -> None:
        for node in self.all_nodes:
            node.kill()
        self.http.close()


@contextlib.contextmanager
def ray_cluster(
    environment: Mapping[str, str], datasets_dir: Path, head_cpus: int, nodes: int = 0
) -> Iterator[RayCluster]:
    """Start the head of a cluster without waiting for it; at the end nothing of it is left.

    Args:
        environment: what hosts find on every node.
        datasets_dir: holds MNIST, of which each node gets its own copy.
        head_cpus: the cores of the head.
        nodes: for how many further nodes there are copies.

    """
    require_ray()
    directory = Path(tempfile.mkdtemp(prefix="ray-"))
    for name in ("head", *(f"node{number}" for number in range(1, nodes + 1))):
        target = directory / name / "datasets"
        with contextlib.suppress(OSError):  # another file system: the host unpacks them itself
            shutil.copytree(datasets_dir, target, copy_function=os.link)
    cluster = RayCluster(directory, environment, head_cpus)
    try:
        cluster.head.start()
        yield cluster
    finally:
        cluster.end()
        shutil.rmtree(directory, ignore_errors=True)


def _marked(mark: str) -> list[int]:
    entry, found = f"{MARK}={mark}\0".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if entry in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (OSError, UnicodeDecodeError):
        return ""
