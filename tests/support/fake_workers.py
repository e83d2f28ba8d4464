"""A clock that moves when told, workers that live and die on command, and a tiny data set."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from mlp_core import Dataset, Split
from service.work.launchers.local import Exit
from service.work.process import ProcessHandle, here

PIDS = itertools.count(4_000_000)  # above the kernel's limit: no signal can reach anybody


@dataclass
class Clock:
    """Stands in for the module `time`."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class FakeLauncher:
    """Workers by their handle; a test ends them, or watches them being ended."""

    def __init__(self, capacity: int = 2) -> None:
        self._capacity = capacity
        self.started: list[tuple[str, int]] = []
        self.handles: dict[tuple[str, int], ProcessHandle] = {}
        self.exits: dict[ProcessHandle, Exit] = {}
        self.reaped: list[ProcessHandle] = []
        self.log: list[str] = []
        self.at_kill: Callable[[], object] = lambda: None
        self.refuses: OSError | None = None
        self.obedient = True
        self.words = ""

    def start(self, job: str, attempt: int) -> ProcessHandle:
        if self.refuses:
            raise self.refuses
        handle = ProcessHandle(*here(), next(PIDS), 1)
        self.started.append((job, attempt))
        self.handles[job, attempt] = handle
        return handle

    def end(self, job: str, attempt: int, code: int | None = 0) -> None:
        self.exits[self.handles[job, attempt]] = Exit(code)

    def poll(self, handles: Iterable[ProcessHandle]) -> dict[ProcessHandle, Exit]:
        found = {handle: self.exits[handle] for handle in handles if handle in self.exits}
        self.reaped += found
        return found

    def terminate(self, handle: ProcessHandle) -> None:
        self.log.append("terminate")
        if self.obedient:
            self.exits[handle] = Exit(0)

    def kill(self, handle: ProcessHandle) -> None:
        self.log.append("kill")
        self.at_kill()
        self.exits.setdefault(handle, Exit(-9))

    def capacity(self) -> int:
        return self._capacity

    def log_tail(self, job: str) -> str:
        return self.words


def tiny_dataset() -> Dataset:
    """3 classes of 6 pixels, one brighter than the rest."""
    rng = np.random.default_rng(7)

    def split(rows: int) -> Split:
        labels = rng.integers(0, 3, rows, dtype=np.uint8)
        images = rng.integers(0, 160, (rows, 6), dtype=np.uint8)
        images[np.arange(rows), labels] += 95
        return Split(images, labels)

    return Dataset("tiny", split(600), split(47), 3)
