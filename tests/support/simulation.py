"""The service in one process and in one order of events, drawn from a seed.

Real: the store, its transactions, the dispatchers. Played: the clock, the processes, the workers
(in the steps of `service/work/worker.py`, without the mathematics), clients, and what goes wrong.
SQLite lets one transaction happen after the other, so actors take turns between transactions;
a dispatcher's round may also be interrupted by other actors' turns, or by its own crash.

    .venv/bin/python -m tests.support.simulation 4711

prints the story of seed 4711, and what is wrong with it, if anything is.
"""

import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from mlp_client.job_spec import Spec
from mlp_client.job_state import FINAL, State
from service.api.job_records import new_job
from service.domain.cost import Cost
from service.domain.errors import JobNotFound, Replaced, StoreFull, WrongMove
from service.store.jobs import JobStore
from service.store.stored_dataset import MNIST
from service.work import lost_workers
from service.work.artifact_gc import JobLeftovers
from service.work.dispatcher import Dispatcher
from service.work.exit_codes import STORE_EXIT
from tests.support.simulation_rules import ROWS, Rules
from tests.support.stage import (
    BATCHES,
    EPOCHS,
    Crash,
    Machine,
    SimulatedArtifacts,
    Stage,
    WatchedQueue,
    Worker,
)

SWEEPS = 3
"""Fewer than the 15 of the service, so that a merely slow worker is declared lost: that must be
harmless."""
MOST_JOBS = 3
OTHERS = -1
ODDS = {"work": 45, "round": 30, "ask": 12, "hit": 7, "silence": 1.5, "restart": 1, "refuse": 1}
ODDS |= {"submit": 2.5, "fill": 2}
ACTIONS = ("pause", "resume", "cancel", "delete")
FAULTS = ("die", "freeze", "thaw", "deaf", "ill")
DEADLY = 0.02
"""The share of worlds whose workers die as soon as they have begun, five times and more."""
SPEC = Spec(epochs=EPOCHS)
FREE = Cost(parameters=1, bytes=1, flops=1.0, seconds=1.0)
NEW_JOB = new_job(SPEC, FREE, BATCHES, "784-128-10", MNIST.manifest)


class World:
    """One order of events, and what must hold after each of them."""

    def __init__(self, seed: int, stage: Stage, *, dispatchers: int | None = None) -> None:
        self.rng = random.Random(seed)
        self.stage, self.jobs, self.queue = stage, JobStore(stage), WatchedQueue(stage, self)
        self.artifacts, self.machine = SimulatedArtifacts(), Machine(self)
        self.now = 1000.0
        self.story: list[str] = []
        self.happened: Counter[str] = Counter()
        self.full = False
        """Whether the store can't be written."""
        self.trained: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        """The farthest cursor of each job, also of one whose client was told that it failed."""
        self._names: dict[str, int] = {}
        self.rules = Rules(self)
        self._turns: list[int] = []  # the dispatchers whose rounds are under way
        self._calm = False
        self._deadly = self.rng.random() < DEADLY
        count = dispatchers or self.rng.choice((1, 1, 2))
        self.dispatchers = [self._dispatcher() for _ in range(count)]
        stage.clear(self)

    def _dispatcher(self) -> Dispatcher:
        leftovers = JobLeftovers(self.queue, self.artifacts)  # type: ignore[arg-type]  # no files
        return Dispatcher(self.queue, self.machine, leftovers, self)

    # --- The clock ---

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.rng.random() < 0.3:
            self.work(self.rng.randrange(8))

    # --- What happens, one thing at a time ---

    def submit(self) -> None:
        if len(self.trained) == MOST_JOBS:
            return
        key = f"key {len(self.trained)}"
        try:
            made = self.jobs.submit(NEW_JOB, lambda job: job.id, key)
        except StoreFull:
            self._refuse("submit")
        else:
            self.trained.setdefault(made.job, (0, 0))
            self._note(f"submit {self.name(made.job)}")

    def ask(self, action: str, who: int) -> None:
        """Let a client do something with a job, allowed or not."""
        if not self.trained:
            return
        job = list(self.trained)[who % len(self.trained)]
        try:
            if action == "delete":
                self.jobs.delete(job)
            else:
                self.jobs.act(action, job)
        except (WrongMove, JobNotFound, StoreFull) as exc:
            self._refuse(f"{action} {self.name(job)}", type(exc).__name__)
        else:
            self._note(f"{action} {self.name(job)}")

    def work(self, who: int) -> None:
        """Let a worker continue to the next place where it can be interrupted."""
        able = [worker for worker in self.machine.alive() if not worker.frozen]
        if not able:
            return
        worker = able[who % len(able)]
        before = self.row(worker.job)
        current = _is_current(worker, before)
        done = ""
        try:
            done = next(worker.script)
        except StopIteration:
            worker.code, done = 0, "left"
        except Replaced:
            worker.code, done = 75, "was replaced"
            assert not current, "the job's own worker is refused"
        except StoreFull:
            worker.code, done = STORE_EXIT, "found the store full"
            worker.left_at = self.now
        self.happened[done] += 1
        self._note(f"{self._worker(worker)} {done}")
        assert current or self.row(worker.job) == before, "a replaced worker has changed the row"

    def round(self, who: int, seconds: float) -> None:
        """Let time pass and a dispatcher do its round; it may crash, and is replaced."""
        who %= len(self.dispatchers)
        if who in self._turns:
            return
        self.now += seconds
        self._turns.append(who)
        try:
            if self.dispatchers[who].try_step():
                self._note(f"dispatcher {who} did its round")
            else:
                self.happened["round failed"] += 1
                self._note(f"dispatcher {who} found the store full")
        except Crash:
            self.happened["crash"] += 1
            self._note(f"dispatcher {who} crashed")
            self.dispatchers[who] = self._dispatcher()
        finally:
            self._turns.remove(who)

    def silence(self, who: int) -> None:
        """Let enough time pass for a silent worker to be declared lost."""
        for _ in range(SWEEPS + 1):
            self.round(who, 1.0)

    def refuse(self) -> None:
        """Let the machine refuse to start processes, or start them again."""
        self.machine.refuses = not self.machine.refuses
        self._note(f"no more processes: {self.machine.refuses}")

    def fill(self) -> None:
        """Let the store refuse writes, or accept them again."""
        self.full = not self.full
        self._note(f"the store is full: {self.full}")

    def restart(self, who: int) -> None:
        """Shut a dispatcher down properly and start another one."""
        who %= len(self.dispatchers)
        if self._turns:
            return
        self.dispatchers[who].drain()
        self.dispatchers[who] = self._dispatcher()
        self.happened["restart"] += 1
        self._note(f"dispatcher {who} was restarted")

    def hit(self, fault: str, who: int) -> None:
        """Let something happen to a worker."""
        alive = self.machine.alive()
        if not alive:
            return
        worker = alive[who % len(alive)]
        if fault == "die":
            worker.code = -9
        elif fault in ("freeze", "thaw"):
            worker.frozen = fault == "freeze"
        else:
            setattr(worker, fault, True)
        self._note(f"{fault} {self._worker(worker)}")

    def between(self) -> None:
        """Between two transactions of a dispatcher: others may have their turn, or it dies."""
        if self._calm or not self._turns or self._turns[-1] == OTHERS or len(self._turns) > 3:
            return
        luck = self.rng.random()
        if luck < 0.02:
            raise Crash
        if luck < 0.25:
            turns, self._turns = self._turns, [*self._turns, OTHERS]
            try:
                self.anything()
            finally:
                self._turns = turns

    # --- The order, drawn from the seed ---

    def anything(self) -> None:
        rng = self.rng
        who = rng.randrange(8)
        able: dict[str, Callable[[], None]] = {
            "work": lambda: self.work(who),
            "round": lambda: self.round(who, rng.choice((0.1, 0.5, 1.0, 1.0, 5.0))),
            "ask": lambda: self.ask(rng.choice(ACTIONS), who),
            "hit": lambda: self.hit(rng.choice(FAULTS), who),
            "silence": lambda: self.silence(who),
            "restart": lambda: self.restart(who),
            "refuse": self.refuse,
            "fill": self.fill,
            "submit": self.submit,
        }
        able[rng.choices(list(ODDS), list(ODDS.values()))[0]]()
        if self.full and rng.random() < 0.2:
            self.fill()
        if self._deadly:
            for number in range(len(self.machine.alive())):
                self.work(number)
                self.hit("die", number)
            self.round(who, 4.0)

    def live(self, steps: int) -> None:
        self.submit()
        for _ in range(steps):
            self.anything()
            self.rules.look()
        self.settle()

    def settle(self) -> None:
        """Stop all faults; then every job must come to its end."""
        self._calm, self.machine.refuses, self.full = True, False, False
        for worker in self.machine.alive():
            worker.frozen = worker.deaf = False
        for turn in range(80):
            self.round(turn, 1.0)
            while any(not worker.frozen for worker in self.machine.alive()):
                self.work(0)
            self.rules.look()
            if self._is_settled():
                break
        assert self._is_settled(), "faults have stopped, but the jobs do not come to their ends"
        self.rules.check_ends()

    def _is_settled(self) -> bool:
        ends = (*FINAL, State.PAUSED)
        rows = self.stage.raw.execute("SELECT state FROM jobs").fetchall()
        return all(state in ends for (state,) in rows) and not self.machine.alive()

    # --- What the others ask ---

    def is_current(self, worker: Worker) -> bool:
        return _is_current(worker, self.row(worker.job))

    def row(self, job: str) -> Any:
        return self.stage.raw.execute(f"{ROWS} WHERE id = ?", (job,)).fetchone()

    def accuracy(self, job: str) -> float:
        """Return how good the network of a job becomes, in every attempt: each third is no good."""
        return 0.1 if list(self.trained).index(job) % 3 == 2 else 0.5

    # --- The story ---

    def name(self, job: str) -> str:
        """Return the job's number among all: ids are drawn at random, and stories are compared."""
        names = self._names
        return f"job {names.setdefault(job, len(names) + 1)}"

    def _worker(self, worker: Worker) -> str:
        return f"worker {self.name(worker.job)}/{worker.attempt.number}"

    def _refuse(self, what: str, why: str = "StoreFull") -> None:
        self.happened[f"refused {why}"] += 1
        self._note(f"{what}: refused, {why}")

    def _note(self, what: str) -> None:
        self.story.append(f"{self.now:8.2f} {what}")


def _is_current(worker: Worker, row: Any) -> bool:
    with_worker = row is not None and row[2] in ("running", "pausing", "cancelling")
    return with_worker and bool(row[3] == worker.attempt.number)


@contextmanager
def scene() -> Iterator[Stage]:
    """Set the scene once for many seeds: few sweeps, and no log."""
    sweeps, lost_workers.LOST_AFTER_SWEEPS = lost_workers.LOST_AFTER_SWEEPS, SWEEPS
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    stage = Stage()
    yield stage
    stage.close()
    structlog.reset_defaults()
    lost_workers.LOST_AFTER_SWEEPS = sweeps


def play(seed: int, stage: Stage) -> World:
    """Play one seed to its end.

    Raises:
        AssertionError: something did not hold; the message says how to repeat it.
    """
    world = World(seed, stage)
    try:
        world.live(steps=world.rng.choice((6, 12, 12, 24)))
    except Exception as exc:
        story = "\n".join(world.story)
        again = f".venv/bin/python -m tests.support.simulation {seed}"
        raise AssertionError(f"{exc!r}\n{story}\nseed {seed}; again with: {again}") from exc
    return world


def play_all(seeds: range) -> tuple[Counter[str], list[str]]:
    """Play the seeds; return how often each thing happened, and the stories that broke a rule."""
    happened, broken = Counter[str](), list[str]()
    with scene() as stage:
        for seed in seeds:
            try:
                happened += play(seed, stage).happened
            except AssertionError as exc:
                broken.append(str(exc))
    return happened, broken


if __name__ == "__main__":
    with scene() as empty:
        for chosen in sys.argv[1:]:
            print("\n".join(play(int(chosen), empty).story))  # noqa: T201
