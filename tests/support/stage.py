"""The world of the simulation: a database in memory, and a machine with simulated workers."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from mlp_client.job_state import State
from mlp_core import Epoch
from service.domain.baseline import Baseline
from service.domain.errors import StoreFull
from service.store.attempts import FAILED, STOPPED, SUCCEEDED, Attempt
from service.store.checkpoints import CheckpointRef
from service.store.queue import Lost, Queue
from service.store.sql.connector import Connector
from service.store.sql.schema import metadata
from service.store.sql.sqlite import SQLite
from service.store.sql.transaction import Transaction
from service.work.exit_codes import STORE_EXIT
from service.work.launcher import Exit
from service.work.process_handle import ProcessHandle, this_machine

if TYPE_CHECKING:
    from tests.support.simulation import World

EPOCHS, BATCHES = 2, 2
ENVIRONMENT = {"arithmetic": 1}
BASELINE = Baseline(0.25, 1000)


class Crash(BaseException):
    """The dispatcher's process dies here. No `except` of the service may catch it."""


class Stage(Connector):
    """A database in memory, which lets others run after each transaction."""

    def __init__(self) -> None:
        super().__init__(SQLite("sqlite:///in-memory"))
        self._pool = create_engine("sqlite://", poolclass=StaticPool)
        metadata.create_all(self._pool)
        raw: Any = self._pool.raw_connection().driver_connection
        self.raw = raw
        self.raw.isolation_level = None
        self.raw.execute("PRAGMA foreign_keys=ON")
        self._tables = [table.name for table in reversed(metadata.sorted_tables)]
        self.world: World | None = None

    @property
    def file(self) -> None:
        """There is no file whose locks a frozen worker could hold."""

    def clear(self, world: "World") -> None:
        for table in self._tables:
            self.raw.execute(f"DELETE FROM {table}")
        self.world = world

    def try_value(self, statement: str, values: dict[str, Any]) -> Any:
        return self.raw.execute(statement, values).fetchone()

    def close(self) -> None:
        self._pool.dispose()

    @contextmanager
    def _transaction(self, *, write: bool = False, alone: str = "") -> Iterator[Transaction]:
        world = self.world
        full = write and world is not None and world.full
        if full and world and world.rng.random() < 0.8:
            raise StoreFull("the disk is full")
        with super()._transaction(write=write, alone=alone) as transaction:
            yield transaction
        if full:
            raise StoreFull("the disk is full, though the commit has happened")
        if self.world:
            self.world.between()

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        yield self.raw


class WatchedQueue(Queue):
    """The queue, unless a loss hits another attempt, or one that only found the store full."""

    def __init__(self, stage: Stage, world: "World") -> None:
        super().__init__(stage)
        self._world = world

    def lose(self, job: str, attempt: int, *rest: Any, **options: Any) -> Lost | None:
        before, excused = self._world.row(job), self._is_excused(job, attempt)
        lost = super().lose(job, attempt, *rest, **options)
        if lost is not None:
            assert before[3] == attempt, "a loss hits another attempt"
            assert not excused or lost.lost_workers == before[4], "a full store counts as a loss"
        return lost

    def _is_excused(self, job: str, attempt: int) -> bool:
        """Return whether the attempt's worker is known to have left because the store was full.

        The row does not name one that could not begin: only who has started it knows.
        """
        world = self._world
        worker, row = world.machine.worker(job, attempt), world.row(job)
        if worker is None or row is None or worker.code != STORE_EXIT:
            return False
        if worker.left_at == world.now:  # in the midst of the round that gives it up for silence
            return False
        replaced = world.happened["crash"] + world.happened["restart"]
        return row[-1] is not None or (len(world.dispatchers) == 1 and not replaced)


class SimulatedArtifacts:
    """Artifacts in memory: keys are enough."""

    def __init__(self) -> None:
        self.files: dict[str, None] = {}

    def folders(self) -> list[str]:
        return sorted({key.split("/")[0] for key in self.files})

    def keys(self, job: str) -> list[str]:
        return [key for key in self.files if key.startswith(job)]

    def delete(self, key: str) -> None:
        self.files.pop(key, None)

    def delete_folder(self, job: str) -> None:
        for key in self.keys(job):
            self.delete(key)


class Worker:
    """A process that trains one job, as far as the store can see."""

    def __init__(self, world: "World", job: str, attempt: int, pid: int) -> None:
        self.world, self.job = world, job
        self.attempt = Attempt(world.stage, job, attempt)
        self.handle = ProcessHandle(*this_machine(), pid, 1)
        self.code: int | None = None
        self.left_at = 0.0
        self.frozen = self.deaf = self.leave = self.ill = False
        self.cursor = (0, 0)
        self.finished: list[Epoch] = []
        self.last: CheckpointRef | None = None
        self.script = self._live()

    def _live(self) -> Iterator[str]:
        """Train; each `yield` is a place to be interrupted, killed or frozen at."""
        task = self.attempt.begin(self.handle.as_record(), ENVIRONMENT)
        yield "began"
        for saved in task.checkpoints[:1]:
            self._check(saved.key in self.world.artifacts.files, "a named checkpoint is there")
            self.cursor = (saved.epochs_done, saved.batches_done)
        state = State.RUNNING
        while self.cursor < (EPOCHS, 0):
            self._train()
            if self.world.rng.random() < 0.5:
                state = self.attempt.heartbeat(self.cursor, self.finished)
                self.finished = []
                yield "heartbeat"
            elif new := self._save():
                yield "saved"
                state, dropped = self.attempt.commit(new, self.finished)
                self.finished = []
                yield "committed"
                for key in dropped:
                    self.world.artifacts.delete(key)
            if self.ill:
                self.attempt.end(FAILED, ("internal", "an error"), None, self.finished)
                return
            if self.leave or state in (State.PAUSING, State.CANCELLING):
                yield from self._end(STOPPED, ("shutdown", "asked to leave"))
                return
        yield from self._end(SUCCEEDED, ("epochs_done", "all done"), "f" * 64)

    def _train(self) -> None:
        epochs, batches = self.cursor
        if batches + 1 == BATCHES:
            self.cursor = (epochs + 1, 0)
            self.finished.append(_epoch(epochs + 1, self.world.accuracy(self.job)))
        else:
            self.cursor = (epochs, batches + 1)
        self.world.trained[self.job] = max(self.cursor, self.world.trained[self.job])

    def _save(self) -> CheckpointRef | None:
        if self.last and (self.last.epochs_done, self.last.batches_done) == self.cursor:
            return None
        key = f"{self.job}/{self.attempt.number}/{self.cursor[0]}-{self.cursor[1]}"
        self.world.artifacts.files[key] = None
        self.last = CheckpointRef(
            self.job, self.attempt.number, *self.cursor, key, 1, sha256="0" * 64
        )
        return self.last

    def _end(
        self, moves: dict[State, State], reason: tuple[str, str], sha256: str | None = None
    ) -> Iterator[str]:
        saved = self._save()
        yield "saved"
        self.attempt.end(moves, reason, saved, self.finished, sha256, BASELINE)

    def _check(self, true: bool, what: str) -> None:
        # The store keeps the row's and the file's commit apart; only the fenced may find no file.
        assert true or not self.world.is_current(self), what


def _epoch(number: int, accuracy: float) -> Epoch:
    values = {"train_loss": 1.0, "train_accuracy": 0.5, "test_loss": 1.0, "test_accuracy": accuracy}
    return Epoch(number=number, **values, seconds=1.0)


class Machine:
    """The launcher of all dispatchers: processes that live and die as the world says."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.workers: dict[ProcessHandle, Worker] = {}
        self.refuses = False

    def start(self, job: str, attempt: int) -> ProcessHandle:
        self._world.between()
        if self.refuses:
            raise OSError("no more processes")
        assert self.worker(job, attempt) is None, "an attempt is started once"
        worker = Worker(self._world, job, attempt, pid=4_000_000 + len(self.workers))
        self.workers[worker.handle] = worker
        self._world.between()
        return worker.handle

    def poll(self, handles: Iterable[ProcessHandle]) -> dict[ProcessHandle, Exit]:
        codes = {handle: self.workers[handle].code for handle in handles}
        return {handle: Exit(code) for handle, code in codes.items() if code is not None}

    def terminate(self, handle: ProcessHandle) -> None:
        self.workers[handle].leave = True

    def kill(self, handle: ProcessHandle) -> None:
        self._world.between()
        worker = self.workers[handle]
        if worker.code is None and not worker.deaf:
            worker.code = -9

    def capacity(self) -> int:
        return 2

    def log_tail(self, job: str) -> str:
        return ""

    def worker(self, job: str, attempt: int) -> Worker | None:
        """Return the worker that an attempt was given, alive or not."""
        for worker in self.workers.values():
            if (worker.job, worker.attempt.number) == (job, attempt):
                return worker
        return None

    def alive(self) -> list[Worker]:
        return [worker for worker in self.workers.values() if worker.code is None]
