"""Workers as child processes of this server."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from service.store.durable_files import make_directory, store_error
from service.work.cores import usable_cores
from service.work.launcher import Exit
from service.work.process_handle import ProcessHandle

NOT_INHERITED = ("MLP_RAY_TOKEN",)
ONE_BLAS_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
LOG_TAIL_BYTES = 600
MAX_LOG_BYTES = 256 * 1024
"""At the next start, a longer log is renamed to `worker.log.1`, replacing an older one."""
KERNEL_COUNTS = Path("/proc/vmstat")


@dataclass(frozen=True)
class Child:
    """A worker that this process has started."""

    process: subprocess.Popen[bytes]
    memory_kills: int
    """The kernel's count of processes killed for lack of memory when this one started."""


def memory_kills() -> int:
    """Return how many processes the kernel has killed for lack of memory since it booted."""
    try:
        lines = KERNEL_COUNTS.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


class LocalLauncher:
    """Starts each worker as a child process in a session of its own.

    Workers are executed, never forked, because OpenBLAS's threads do not survive a fork. They
    continue to train when the server is killed; the next server finds them by their handles.
    """

    def __init__(
        self,
        directory: Path,
        environment: dict[str, str],
        capacity: int | None,
        module: str = "service.work.worker",
    ) -> None:
        """Create a launcher.

        Args:
            directory: where each job has a folder, with the log of its workers.
            environment: variables that are added to those of this process.
            capacity: how many workers may run; None means one for each usable core.
            module: the program that a worker runs.

        """
        self._directory = directory.absolute()
        self._environment = environment
        self._module = module
        self._capacity = usable_cores() if capacity is None else capacity
        self._children: dict[ProcessHandle, Child] = {}
        self._exits: dict[ProcessHandle, Exit] = {}
        """Exits of children that the last poll named: the kernel reports each exit code once."""
        self.on_end: Callable[[], None] = lambda: None
        """Called from a thread when a child has ended, so that its end is handled without delay."""

    def start(self, job: str, attempt: int) -> ProcessHandle:
        log = self._log(job)
        make_directory(log.parent)  # the job's checkpoints go there too
        if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
            log.replace(log.with_name("worker.log.1"))
        child = self._execute(job, attempt, log)
        try:
            handle = ProcessHandle.of(child.pid)
        except OSError:  # no file descriptor is left to read it with
            child.kill()
            child.wait()
            raise
        self._children[handle] = Child(child, memory_kills())
        with contextlib.suppress(RuntimeError):  # no thread is left; polling finds the end too
            threading.Thread(target=self._wait, args=(child.pid,), daemon=True).start()
        return handle

    def _execute(self, job: str, attempt: int, log: Path) -> subprocess.Popen[bytes]:
        # -P keeps files of the server's working directory from being imported in place of modules.
        command = [sys.executable, "-P", "-m", self._module]
        command += [job, "--attempt", str(attempt)]
        with _open_for_append(log) as output:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=_inherited() | ONE_BLAS_THREAD | self._environment,
            )

    def _wait(self, pid: int) -> None:
        with contextlib.suppress(ChildProcessError):  # it has been polled already
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        self.on_end()

    def poll(self, handles: Iterable[ProcessHandle]) -> dict[ProcessHandle, Exit]:
        exits = {}
        for handle in handles:
            if exit_ := self._exits.get(handle) or self._poll(handle):
                exits[handle] = exit_
                self._children.pop(handle, None)
        self._exits = exits
        return exits

    def _poll(self, handle: ProcessHandle) -> Exit | None:
        if child := self._children.get(handle):
            code = child.process.poll()
            if code is None:
                return None
            return Exit(code, code == -signal.SIGKILL and memory_kills() > child.memory_kills)
        # Adopted from an earlier server: not a child of this process, so its exit code is unknown.
        return Exit(None) if handle.is_here() and not handle.is_alive() else None

    def terminate(self, handle: ProcessHandle) -> None:
        handle.send_signal(signal.SIGTERM)

    def kill(self, handle: ProcessHandle) -> None:
        handle.send_signal(signal.SIGKILL)

    def capacity(self) -> int:
        return self._capacity

    def log_tail(self, job: str) -> str:
        try:
            with self._log(job).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
                return log.read().decode(errors="replace").strip()
        except OSError:
            return ""

    def _log(self, job: str) -> Path:
        return self._directory / job / "worker.log"


def _open_for_append(log: Path) -> IO[bytes]:
    try:
        return log.open("ab")
    except OSError as exc:
        raise store_error(f"write {log.name}", exc) from exc


def _inherited() -> dict[str, str]:
    """Return the environment of this process without the secret that only a fleet needs."""
    return {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
