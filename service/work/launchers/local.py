"""Starting, watching and ending workers, in the shape of `subprocess.Popen`.

A launcher owns processes and no state: what a job is doing stands in its row.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from service.store.files.local import broken, make_directory
from service.work.process import ProcessHandle, usable_cores

ONE_BLAS_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
LOG_TAIL_BYTES = 600
MAX_LOG_BYTES = 256 * 1024
"""Of a job's log; a longer one is put aside, in the place of the one before, at the next start."""
KERNEL_COUNTS = Path("/proc/vmstat")


@dataclass(frozen=True)
class Exit:
    """The end of a worker process; the code is negative for a signal, None if nobody saw it."""

    code: int | None
    oom_killed: bool = False
    """The kernel killed processes for lack of memory while this one lived, and it was killed."""

    def __str__(self) -> str:
        if self.code is None:
            return "the worker is gone"
        if self.oom_killed:
            return "the worker was killed when the machine, or its container, ran out of memory"
        if self.code < 0:
            return f"the worker was ended by {_signal_name(-self.code)}"
        return f"the worker ended with exit code {self.code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have none
        return f"signal {number}"


class Launcher(Protocol):
    def start(self, job: str, attempt: int) -> ProcessHandle:
        """Start a worker for the attempt, and return at once.

        Raises:
            OSError: it can't be started.
            StoreBroken: its log can't be written.

        """
        ...

    def poll(self, handles: Iterable[ProcessHandle]) -> dict[ProcessHandle, Exit]:
        """Return those that have ended, each time anew as long as they are asked about.

        One of another machine is never among them.
        """
        ...

    def terminate(self, handle: ProcessHandle) -> None:
        """Ask the worker to save and leave; no error if it is gone."""
        ...

    def kill(self, handle: ProcessHandle) -> None:
        """End the worker at once; no error if it is gone."""
        ...

    def capacity(self) -> int:
        """Return how many workers may run at once."""
        ...

    def log_tail(self, job: str) -> str:
        """Return the last lines that the job's workers wrote to their log."""
        ...


@dataclass(frozen=True)
class Child:
    """A worker that this process has started."""

    process: subprocess.Popen[bytes]
    memory_kills: int
    """What the kernel had counted when it started."""


def memory_kills() -> int:
    """Return how many processes the kernel has killed for lack of memory since it started."""
    try:
        lines = KERNEL_COUNTS.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


class LocalLauncher:
    """Workers as child processes of this server, each in a session of its own.

    They are exec'd, never forked: OpenBLAS's threads do not survive a fork. A killed server leaves
    them training; the next one finds them by their handles.
    """

    def __init__(self, directory: Path, environment: dict[str, str], capacity: int | None) -> None:
        self._directory = directory.absolute()
        self._environment = environment
        self._capacity = usable_cores() if capacity is None else capacity
        self._children: dict[ProcessHandle, Child] = {}
        self._ended: dict[ProcessHandle, Exit] = {}
        """Of children that are still asked about: the kernel tells an exit code only once."""
        self.on_end: Callable[[], None] = lambda: None
        """Called by a thread when a child has ended, so that nobody need wait for the next poll."""

    def start(self, job: str, attempt: int) -> ProcessHandle:
        log = self._log(job)
        make_directory(log.parent)  # checkpoints come to lie in it
        if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
            log.replace(log.with_name("worker.log.1"))
        # -P: or a file of the server's working directory would be imported in place of a module.
        command = [sys.executable, "-P", "-m", "service.work.worker"]
        command += [job, "--attempt", str(attempt)]
        with _appended(log) as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=os.environ | ONE_BLAS_THREAD | self._environment,
            )
        try:
            handle = ProcessHandle.of(child.pid)
        except OSError:  # no descriptor is left to read it with
            child.kill()
            child.wait()
            raise
        self._children[handle] = Child(child, memory_kills())
        with contextlib.suppress(RuntimeError):  # no thread is left; it is polled all the same
            threading.Thread(target=self._wait, args=(child.pid,), daemon=True).start()
        return handle

    def _wait(self, pid: int) -> None:
        with contextlib.suppress(ChildProcessError):  # it has been polled already
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        self.on_end()

    def poll(self, handles: Iterable[ProcessHandle]) -> dict[ProcessHandle, Exit]:
        ended = {}
        for handle in handles:
            if exit_ := self._ended.get(handle) or self._poll(handle):
                ended[handle] = exit_
                self._children.pop(handle, None)
        self._ended = ended
        return ended

    def _poll(self, handle: ProcessHandle) -> Exit | None:
        if child := self._children.get(handle):
            code = child.process.poll()
            if code is None:
                return None
            return Exit(code, code == -signal.SIGKILL and memory_kills() > child.memory_kills)
        # Adopted from a server before this one: it is nobody's child, so its code is lost.
        return Exit(None) if handle.is_here() and not handle.is_alive() else None

    def terminate(self, handle: ProcessHandle) -> None:
        handle.send(signal.SIGTERM)

    def kill(self, handle: ProcessHandle) -> None:
        handle.send(signal.SIGKILL)

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


def _appended(log: Path) -> IO[bytes]:
    try:
        return log.open("ab")
    except OSError as exc:
        raise broken(f"write {log.name}", exc) from exc


class InlineLauncher:
    """Workers as plain function calls: `start` returns when the job is done. For debuggers."""

    def __init__(self, run: Callable[[str, int], int]) -> None:
        self._run = run
        self._ended: dict[ProcessHandle, Exit] = {}

    def start(self, job: str, attempt: int) -> ProcessHandle:
        code = self._run(job, attempt)
        handle = ProcessHandle("inline", job, attempt, 0)
        self._ended[handle] = Exit(code)
        return handle

    def poll(self, handles: Iterable[ProcessHandle]) -> dict[ProcessHandle, Exit]:
        return {handle: self._ended[handle] for handle in handles if handle in self._ended}

    def terminate(self, handle: ProcessHandle) -> None:
        pass

    def kill(self, handle: ProcessHandle) -> None:
        pass

    def capacity(self) -> int:
        return 1

    def log_tail(self, job: str) -> str:
        return ""
