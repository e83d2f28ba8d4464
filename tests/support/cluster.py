"""A cluster on this machine: API servers and hosts as processes, on one database and one bucket.

Each has a data directory, copies of data sets and a log of its own, as on a machine of its own.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psycopg2

from mlp_client.job_state import FINAL
from tests.support.server_process import eventually, free_port

READY_SECONDS = 120
PROGRAMS = ("service.work.worker", "service.work.checker", "service.work.evaluator")


@dataclass(frozen=True)
class WorkerProcess:
    """A process that works on one row: a job, a check of a data set, or an evaluation."""

    pid: int
    program: str
    row: str
    attempt: int

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to it and to its helpers; return whether it still existed."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        return True


class Member:
    """A process of a cluster that can be ended and started again on the same data directory."""

    def __init__(self, place: Path, environment: Mapping[str, str], *command: str) -> None:
        """Prepare it; `environment` is added to that of the tests, and may be changed later."""
        self.data_dir = place
        self.environment = {**environment, "MLP_DATA_DIR": str(place)}
        self.prefix: list[str] = []
        """A command that runs it, in another network for example."""
        self._command = [sys.executable, "-m", "service", *command]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The code that it ended with, or None while it runs."""
        assert self._process
        return self._process.poll()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def id(self) -> str:
        """The identifier by which rows and the table of hosts name it."""
        return (self.data_dir / "instance").read_text()

    def launch(self) -> None:
        """Start it without waiting until it is ready."""
        assert not self.is_running
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.prefix, *self._command],
                env=os.environ | self.environment,
                stdout=log,
                stderr=log,
            )

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, such as SIGSTOP or SIGCONT; its workers do not get it."""
        assert self._process
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as the kernel does for lack of memory; its workers continue."""
        self.send(signal.SIGKILL)
        assert self._process
        self._process.wait()

    def terminate(self, seconds: float = 30) -> int:
        """Ask it to stop; return its exit code."""
        self.send(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds: float = 30) -> int:
        """Wait until it has ended; return its exit code."""
        assert self._process
        return self._process.wait(seconds)

    def cut_power(self) -> None:
        """End it and its workers at once, as a power cut does; nothing here starts it again."""
        if self.is_running:
            self.send(signal.SIGSTOP)  # so that it starts no further worker
        for worker in self.workers():
            worker.send(signal.SIGKILL)
        if self.is_running:
            self.kill()

    def workers(self) -> list[WorkerProcess]:
        """Return the workers of this member, whoever started them before it was killed."""
        found = (_worker(folder, self.data_dir) for folder in Path("/proc").glob("[0-9]*"))
        return [worker for worker in found if worker]

    def log(self) -> str:
        return self._log.read_text()

    @property
    def _log(self) -> Path:
        return self.data_dir.with_suffix(".log")


def _worker(process: Path, data_dir: Path) -> WorkerProcess | None:
    pid = int(process.name)
    try:
        words = (process / "cmdline").read_bytes().decode().split("\0")
        program = next((word for word in words if word in PROGRAMS), None)
        if program is None or os.getpgid(pid) != pid:  # a process that helps a worker
            return None
        environment = (process / "environ").read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return None
    if f"MLP_DATA_DIR={data_dir}\0" not in environment:
        return None
    at = words.index(program)
    return WorkerProcess(pid, program, words[at + 1], int(words[at + 3]))


class HostProcess(Member):
    """`mlp-service work` as a process."""

    def start(self) -> "HostProcess":
        """Start it, and wait until it claims jobs."""
        before = self.log().count("host_started") if self._log.exists() else 0
        self.launch()

        def ready() -> bool:
            assert self.is_running, f"the host ended:\n{self.log()[-4000:]}"
            return self.log().count("host_started") > before

        eventually(ready, "the host", READY_SECONDS)
        return self


class ApiServer(Member):
    """`mlp-service serve` as a process that trains nothing itself."""

    def __init__(self, place: Path, environment: Mapping[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx2.Client(base_url=self.url, timeout=30)
        serving = {"MLP_CONCURRENT_JOBS": "0", "MLP_PORT": str(self.port)}
        super().__init__(place, {**environment, **serving}, "serve")

    def start(self) -> "ApiServer":
        """Start it, and wait until it serves."""
        self.launch()
        eventually(self._is_ready, "the server", READY_SECONDS)
        return self

    def _is_ready(self) -> bool:
        assert self.is_running, f"the server ended:\n{self.log()[-4000:]}"
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx2.TransportError:
            return False


class Cluster:
    """API servers and hosts, by their names; `end` leaves no process behind."""

    def __init__(
        self, place: Path, datasets_dir: Path, database_url: str, environment: Mapping[str, str]
    ) -> None:
        """Create an empty one.

        Args:
            place: a directory, in which each member gets one of its own.
            datasets_dir: holds MNIST, of which each member gets its own copy.
            database_url: of an empty or migrated PostgreSQL database.
            environment: how members reach the bucket, and what else they all get.

        """
        self.place, self._datasets_dir, self.database_url = place, datasets_dir, database_url
        self.environment = {
            "MLP_DATABASE_URL": database_url,
            "MLP_LOG_FORMAT": "console",
            **environment,
        }
        self.servers: dict[str, ApiServer] = {}
        self.hosts: dict[str, HostProcess] = {}

    @property
    def members(self) -> list[Member]:
        return [*self.hosts.values(), *self.servers.values()]

    def server(self, name: str = "api", **environment: str) -> ApiServer:
        """Start an API server and wait until it is ready."""
        server = ApiServer(*self._prepare(name, environment))
        self.servers[name] = server
        return server.start()

    def host(
        self,
        name: str,
        *options: str,
        slots: int = 1,
        prefix: Sequence[str] = (),
        more: Mapping[str, str] | None = None,
    ) -> HostProcess:
        """Start a host and wait until it claims jobs.

        Args:
            name: of its directory.
            options: of the command.
            slots: how many jobs it trains at once.
            prefix: a command that runs it, in another network for example.
            more: variables that only this host gets.

        """
        place, environment = self._prepare(name, more or {})
        host = HostProcess(place, environment, "work", "--slots", str(slots), *options)
        host.prefix = [*prefix]
        self.hosts[name] = host
        return host.start()

    def _prepare(self, name: str, more: Mapping[str, str]) -> tuple[Path, dict[str, str]]:
        place = self.place / name
        if not place.exists():
            place.mkdir()
            # Links instead of copies: files of data sets are never written to again.
            shutil.copytree(self._datasets_dir, place / "datasets", copy_function=os.link)
        return place, {**self.environment, **more}

    def host_named(self, id_: str) -> HostProcess:
        """Return the host with the identifier that rows name."""
        return next(host for host in self.hosts.values() if host.id == id_)

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask the database, past all servers."""
        with contextlib.closing(psycopg2.connect(self.database_url)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def end(self) -> None:
        """Kill every process of the cluster, whatever state it is in."""
        for member in self.members:
            member.cut_power()
        for server in self.servers.values():
            server.http.close()

    # --- Requests that many tests need; the first server answers them ---

    @property
    def http(self) -> httpx2.Client:
        return next(iter(self.servers.values())).http

    def submit(self, **spec: Any) -> str:
        answer = self.http.post("/v1/jobs", json=spec)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def job(self, id_: str) -> dict[str, Any]:
        answer = self.http.get(f"/v1/jobs/{id_}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def host_of(self, id_: str) -> HostProcess:
        """Return the host that has, or last had, a job."""
        [(host,)] = self.query("SELECT host FROM jobs WHERE id = %s", id_)
        return self.host_named(host)

    def wait(self, id_: str, *states: str, seconds: float = 90) -> dict[str, Any]:
        """Wait until a job is in one of `states`, or else `succeeded`; no other end is accepted."""
        wanted, job = states or ("succeeded",), dict[str, Any]()

        def look() -> bool:
            job.update(self.job(id_))
            return job["state"] in (*wanted, *FINAL)

        try:
            eventually(look, f"{id_} to be {' or '.join(wanted)}", seconds)
            assert job["state"] in wanted
        except AssertionError as exc:
            logs = [f"{host.data_dir.name}:\n{host.log()[-2000:]}" for host in self.hosts.values()]
            exc.add_note("\n".join([str(job), *logs]))
            raise
        return job

    def wait_for_epochs(self, id_: str, count: int, seconds: float = 60) -> None:
        """Wait until a job has finished so many epochs."""

        def look() -> bool:
            job = self.job(id_)
            assert job["state"] not in FINAL, job
            return int(job["progress"]["epochs_done"]) >= count

        eventually(look, f"{id_} to have {count} epochs", seconds)


@contextlib.contextmanager
def cluster_at(
    place: Path, datasets_dir: Path, database_url: str, environment: Mapping[str, str]
) -> Iterator[Cluster]:
    """Provide an empty cluster; at the end, all its processes are killed."""
    cluster = Cluster(place, datasets_dir, database_url, environment)
    try:
        yield cluster
    finally:
        cluster.end()
