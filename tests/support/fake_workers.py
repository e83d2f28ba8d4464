"""Stand-ins for what surrounds a dispatcher or a worker: clock, launcher and data sets."""

import itertools
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from mlp_core import DataLayout, Dataset, Split, lay_out
from service.domain.errors import DatasetGone
from service.store.dataset_files import DatasetFiles
from service.store.stored_dataset import MNIST
from service.work.launcher import Exit
from service.work.process_handle import ProcessHandle, this_machine

PIDS = itertools.count(4_000_000)  # above the kernel's limit, so that no signal reaches a process


@dataclass
class Clock:
    """Stands in for the module `time`; it moves when a test moves it, and in `sleep`."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class FakeLauncher:
    """Starts no processes: a test ends the workers itself, or sees that they are ended."""

    def __init__(self, capacity: int = 2) -> None:
        self._capacity = capacity
        self.started: list[tuple[str, int]] = []
        self.handles: dict[tuple[str, int], ProcessHandle] = {}
        self.exits: dict[ProcessHandle, Exit] = {}
        self.reaped: list[ProcessHandle] = []
        self.calls: list[str] = []
        """`terminate` and `kill`, in their order."""
        self.on_kill: Callable[[], object] = lambda: None
        self.start_error: Exception | None = None
        self.ignores_terminate = self.ignores_kill = False
        self.log_text = ""
        self.was_polled = threading.Event()

    def start(self, job: str, attempt: int) -> ProcessHandle:
        if self.start_error:
            raise self.start_error
        handle = ProcessHandle(*this_machine(), next(PIDS), 1)
        self.started.append((job, attempt))
        self.handles[job, attempt] = handle
        return handle

    def end(self, job: str, attempt: int, code: int | None = 0) -> None:
        self.exits[self.handles[job, attempt]] = Exit(code)

    def poll(self, handles: Iterable[ProcessHandle]) -> dict[ProcessHandle, Exit]:
        found = {handle: self.exits[handle] for handle in handles if handle in self.exits}
        self.reaped += found
        self.was_polled.set()
        return found

    def terminate(self, handle: ProcessHandle) -> None:
        self.calls.append("terminate")
        if not self.ignores_terminate:
            self.exits[handle] = Exit(0)

    def kill(self, handle: ProcessHandle) -> None:
        self.calls.append("kill")
        self.on_kill()
        if not self.ignores_kill:
            self.exits.setdefault(handle, Exit(-9))

    def capacity(self) -> int:
        return self._capacity

    def log_tail(self, job: str) -> str:
        return self.log_text


def tiny_dataset() -> Dataset:
    """Return a data set of 3 classes of 6 pixels, one of which is brighter than the rest."""
    rng = np.random.default_rng(7)

    def split(rows: int) -> Split:
        labels = rng.integers(0, 3, rows, dtype=np.uint8)
        images = rng.integers(0, 56, (rows, 6), dtype=np.uint8)
        images[np.arange(rows), labels] += 199
        return Split(images, labels)

    return Dataset("tiny", split(600), split(47), 3)


class TinyDatasetFiles(DatasetFiles):
    """Files in which MNIST is the tiny data set, or that fail with an error."""

    def __init__(self) -> None:
        self._dataset = tiny_dataset()
        self.error: BaseException | None = None

    def open(self, sha256: str) -> Dataset:
        if self.error:
            raise self.error
        if sha256 != MNIST.sha256:
            raise DatasetGone(sha256)
        return self._dataset

    def data_layout(self, sha256: str) -> DataLayout:
        return lay_out(self.open(sha256))
