"""Workers that sleep in place of training: they claim, give heartbeats, save and end for real.

`python -m benchmarks.simulated_workers` reads a plan as JSON from standard input, and writes what
the workers saw to standard output.
"""

import json
import random
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from mlp_core import Epoch
from service.domain.baseline import Baseline
from service.domain.errors import StoreBroken
from service.store.attempts import SUCCEEDED, Attempt
from service.store.checkpoints import CheckpointRef
from service.store.queue import Queue
from service.store.sql.database import Database
from service.store.sql.driver import DriverConnector
from service.store.sql.engine import engine_of

ROOT = Path(__file__).parents[1]
BEAT_SECONDS = 0.5
SAVE_SECONDS = 2.0
HANDLE = {"boot_id": "boot", "pid_namespace": "space", "pid": 1, "start_ticks": 1}
BASELINE = Baseline(0.1135, 10_000)
T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """What the workers of one process are to do."""

    url: str
    workers: int
    seconds: float
    """How long each job takes."""
    begin_at: float
    """By the clock, when all processes are ready."""
    host: str


@dataclass
class Seen:
    """What the workers of one process saw."""

    milliseconds: dict[str, list[float]] = field(default_factory=dict)
    """How long each kind of transaction took."""
    jobs: list[tuple[float, float]] = field(default_factory=list)
    """When each job was claimed, and when it had ended."""
    errors: list[str] = field(default_factory=list)


class Workers:
    """A running process of workers."""

    def __init__(self, plan: Plan) -> None:
        command = [sys.executable, "-m", "benchmarks.simulated_workers"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin
        self._process.stdin.write(json.dumps(asdict(plan)).encode())
        self._process.stdin.close()

    def result(self) -> Seen:
        assert self._process.stdout
        with self._process.stdout as out:
            text = out.read()
        assert self._process.wait() == 0
        return Seen(**json.loads(text))


# --- Inside the process ---


class Crowd:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._database = Database(plan.url)
        self._took = defaultdict[str, list[float]](list)
        self._seen = Seen()
        self._lock = threading.Lock()

    def run(self) -> Seen:
        threads = [threading.Thread(target=self._live) for _ in range(self._plan.workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._database.close()
        self._seen.milliseconds = dict(self._took)
        return self._seen

    def _timed(self, what: str, action: Callable[[], T]) -> T:
        started = time.perf_counter()
        found = action()
        with self._lock:
            self._took[what].append(1000 * (time.perf_counter() - started))
        return found

    def _live(self) -> None:
        """Train one job after the other until none is left."""
        queue = Queue(self._database, self._plan.host)
        time.sleep(max(0.0, self._plan.begin_at - time.time()) + random.uniform(0, BEAT_SECONDS))
        while True:
            try:
                began = time.time()
                claim = self._timed("claim", queue.claim)
                if claim is None:
                    return
                self._train(claim.job, claim.attempt)
                with self._lock:
                    self._seen.jobs.append((began, time.time()))
            except StoreBroken as exc:
                with self._lock:
                    self._seen.errors.append(str(exc)[:200])

    def _train(self, job: str, number: int) -> None:
        connector = DriverConnector(engine_of(self._plan.url))
        attempt = Attempt(connector, job, number)
        ends_at = time.monotonic() + self._plan.seconds
        self._timed("begin", lambda: attempt.begin(HANDLE, {"numpy": "2"}))
        epochs, save_at = 0, time.monotonic() + SAVE_SECONDS
        while time.monotonic() < ends_at:
            time.sleep(BEAT_SECONDS)
            epochs += 1
            done = [Epoch(epochs, 0.5, 0.9, 0.5, 0.9, BEAT_SECONDS)]
            if time.monotonic() < save_at:
                cursor = (epochs, 0)
                self._timed("heartbeat", lambda: attempt.heartbeat(cursor, done))  # noqa: B023
            else:
                save_at = time.monotonic() + SAVE_SECONDS
                saved = _saved(job, number, epochs)
                self._timed("commit", lambda: attempt.commit(saved, done))  # noqa: B023
        end = ("epochs_done", "all epochs are done")
        last = _saved(job, number, epochs + 1)
        self._timed("end", lambda: attempt.end(SUCCEEDED, end, last, [], "f" * 64, BASELINE))
        connector.close()


def _saved(job: str, number: int, epochs: int) -> CheckpointRef:
    key = f"{job}/{number}/{epochs}-0.safetensors"
    return CheckpointRef(job, number, epochs, 0, key, 1, "0" * 64)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(Crowd(Plan(**json.load(sys.stdin))).run())))
