"""Any history of a job, told twice: by the store, and by a model in plain Python."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from service.errors import JobNotFound, Replaced, WrongMove
from service.store import database as database_module
from service.store.attempts import FAILED, STOPPED, SUCCEEDED, Attempt
from service.store.database import Database
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.schema import jobs as table
from tests.conftest import submit
from tests.service.store.records import BAD, DONE, ENVIRONMENT, HANDLE, SHUTDOWN, epoch, saved

FINAL = ("succeeded", "failed", "cancelled")
ACTIONS = {
    ("queued", "pause"): "paused",
    ("running", "pause"): "pausing",
    ("pausing", "resume"): "running",
    ("paused", "resume"): "queued",
    ("queued", "cancel"): "cancelled",
    ("paused", "cancel"): "cancelled",
    ("running", "cancel"): "cancelling",
    ("pausing", "cancel"): "cancelling",
}
HARMLESS = {
    "pause": ("pausing", "paused"),
    "resume": ("running", "queued"),
    "cancel": ("cancelling", "cancelled"),
}
ENDS = {
    "succeeded": (SUCCEEDED, DONE, {"running": "succeeded", "pausing": "succeeded"}),
    "failed": (FAILED, BAD, {"running": "failed", "pausing": "failed"}),
    "stopped": (STOPPED, SHUTDOWN, {"running": "queued", "pausing": "paused"}),
}
LOST = {"running": "queued", "pausing": "paused", "cancelling": "cancelled"}
LEGAL = {
    (None, "queued"),
    ("queued", "running"),
    *((state, to) for (state, _), to in ACTIONS.items()),
    *(("cancelling", to) for to in ("cancelled",)),
    *((state, to) for _, _, moves in ENDS.values() for state, to in moves.items()),
    *LOST.items(),
    ("running", "failed"),
}


@dataclass
class Model:
    """What is known of one job."""

    state: str = "queued"
    attempt: int = 0
    losses: int = 0
    cursor: tuple[int, int] = (0, 0)
    saved: tuple[int, int] | None = None
    epochs: dict[int, float] = field(default_factory=dict)
    checkpoints: int = 0
    events: int = 1
    gone: bool = False

    def has_worker(self) -> bool:
        return not self.gone and self.state in LOST

    def move(self, to: str) -> None:
        self.state = to
        self.events += 1


@dataclass
class Hand:
    """A worker's hold of a job; it may be stale."""

    model: Model
    attempt: Attempt

    begun: bool = False

    def begin(self) -> None:
        """Do what every worker does first."""
        if not self.begun and not self.is_stale():
            self.attempt.begin(HANDLE, ENVIRONMENT)
            self.begun = True

    def is_stale(self) -> bool:
        return not (self.model.has_worker() and self.model.attempt == self.attempt.number)


class Life(RuleBasedStateMachine):
    ids = Bundle("ids")
    hands = Bundle("hands")

    database: Database
    models: dict[str, Model] = {}  # noqa: RUF012 - until the first rule fills it

    @initialize()
    def begin(self) -> None:
        self.jobs, self.queue = JobStore(self.database), Queue(self.database)
        self.models: dict[str, Model] = {}
        self.touched: Model | None = None
        with self.database.write() as connection:
            connection.execute(table.delete())

    # --- Clients ---

    @rule(target=ids)
    def submit(self) -> str:
        job = submit(self.jobs, epochs=100)
        self.models[job] = self.touched = Model()
        return job

    @rule(job=ids, action=st.sampled_from(["cancel", "pause", "resume"]))
    def act(self, job: str, action: str) -> None:
        model = self.touched = self.models[job]
        if model.gone:
            with pytest.raises(JobNotFound):
                self.jobs.act(action, job)
        elif to := ACTIONS.get((model.state, action)):
            assert self.jobs.act(action, job).state == to
            model.move(to)
        elif model.state in HARMLESS[action]:
            assert self.jobs.act(action, job).state == model.state
        else:
            self.refused(action, job)

    def refused(self, action: str, job: str) -> None:
        model = self.models[job]
        with pytest.raises(WrongMove) as refused:
            self.jobs.act(action, job) if action != "delete" else self.jobs.delete(job)
        allowed = {name for state, name in ACTIONS if state == model.state}
        if not model.has_worker():
            allowed.add("delete")
        assert set(refused.value.allowed) == allowed

    @rule(job=ids)
    def delete(self, job: str) -> None:
        model = self.touched = self.models[job]
        if model.gone:
            with pytest.raises(JobNotFound):
                self.jobs.delete(job)
        elif model.has_worker():
            self.refused("delete", job)
        else:
            self.jobs.delete(job)
            model.gone = True

    # --- The dispatcher ---

    @rule(target=hands, begins=st.booleans())
    def claim(self, begins: bool) -> Hand:
        claim = self.queue.claim()
        queued = [
            job for job, model in self.models.items() if not model.gone and model.state == "queued"
        ]
        assert (claim and claim.job) == (queued[0] if queued else None)
        if claim is None:
            return multiple()  # type: ignore[no-any-return]
        model = self.touched = self.models[claim.job]
        assert claim.attempt == model.attempt + 1
        model.attempt += 1
        model.move("running")
        hand = Hand(model, Attempt(self.database, claim.job, claim.attempt))
        if begins:
            hand.begin()
        return hand

    @rule(hand=hands, counts=st.booleans())
    def lose(self, hand: Hand, counts: bool) -> None:
        model = self.touched = hand.model
        lost = self.queue.lose(hand.attempt.job, hand.attempt.number, "gone", counts=counts)
        if hand.is_stale():
            assert lost is None
            return
        model.losses += counts and model.state == "running"
        failed = model.state == "running" and counts and model.losses >= 5
        model.move("failed" if failed else LOST[model.state])
        assert lost == (model.state, model.losses)

    # --- Workers, stale ones too ---

    @rule(hand=hands, epochs=st.integers(0, 2), batches=st.integers(0, 9), loss=st.integers(1, 9))
    def beat(self, hand: Hand, epochs: int, batches: int, loss: int) -> None:
        hand.begin()
        model = self.touched = hand.model
        cursor, finished = self.progress(model, epochs, batches, loss)
        if hand.is_stale():
            with pytest.raises(Replaced):
                hand.attempt.beat(cursor, finished)
            return
        assert hand.attempt.beat(cursor, finished) == model.state
        self.advance(model, cursor, finished)

    @rule(hand=hands, epochs=st.integers(0, 2), batches=st.integers(0, 9), loss=st.integers(1, 9))
    def commit(self, hand: Hand, epochs: int, batches: int, loss: int) -> None:
        hand.begin()
        model = self.touched = hand.model
        cursor, finished = self.progress(model, epochs, batches, loss)
        checkpoint = saved(hand.attempt, *cursor)
        if hand.is_stale():
            with pytest.raises(Replaced):
                hand.attempt.commit(checkpoint, finished)
            return
        if any(checkpoint.key == row.key for row in self.saved(hand)):
            return  # a worker saves no cursor twice
        state, dropped = hand.attempt.commit(checkpoint, finished)
        assert (state, len(dropped)) == (model.state, max(0, model.checkpoints - 1))
        self.save(model, cursor, finished)

    @rule(hand=hands, how=st.sampled_from(sorted(ENDS)), saves=st.booleans())
    def end(self, hand: Hand, how: str, saves: bool) -> None:
        hand.begin()
        model = self.touched = hand.model
        moves, reason, leads = ENDS[how]
        cursor, finished = self.progress(model, 1, 0, 5)
        checkpoint = saved(hand.attempt, *cursor) if saves else None
        if hand.is_stale():
            with pytest.raises(Replaced):
                hand.attempt.end(moves, reason, checkpoint, finished)
            return
        to = leads.get(model.state, "cancelled")
        assert hand.attempt.end(moves, reason, checkpoint, finished) == to
        if saves:
            self.save(model, cursor, finished)
        else:
            self.advance(model, cursor, finished)
        model.move(to)

    def saved(self, hand: Hand) -> list:  # type: ignore[type-arg]
        return self.jobs.with_checkpoints(hand.attempt.job)[1]

    def progress(self, model: Model, epochs: int, batches: int, loss: int):  # type: ignore[no-untyped-def]
        """The next epochs a worker would report; the first may be known already."""
        done = model.cursor[0]
        finished = [epoch(number, loss=loss) for number in range(max(1, done), done + epochs + 1)]
        return (done + epochs, batches), [row for row in finished if row.epoch <= done + epochs]

    def advance(self, model: Model, cursor: tuple[int, int], finished: list) -> None:  # type: ignore[type-arg]
        model.cursor = cursor
        for row in finished:
            if row.epoch not in model.epochs:
                model.epochs[row.epoch] = row.train_loss
                model.events += 1

    def save(self, model: Model, cursor: tuple[int, int], finished: list) -> None:  # type: ignore[type-arg]
        self.advance(model, cursor, finished)
        if model.saved is None or cursor > model.saved:
            model.losses = 0
        model.saved = cursor
        model.checkpoints = min(2, model.checkpoints + 1)

    # --- What always holds ---

    def teardown(self) -> None:
        for job, model in self.models.items():
            self.check(job, model)

    @invariant()
    def the_job_of_the_last_step_is_as_its_model(self) -> None:
        for job, model in self.models.items():
            if model is self.touched:
                self.check(job, model)

    def check(self, id_: str, model: Model) -> None:
        if model.gone:
            with pytest.raises(JobNotFound):
                self.jobs.get(id_)
            return
        job, events = self.jobs.events(id_)
        assert (job.state, job.attempt, job.losses) == (model.state, model.attempt, model.losses)
        assert (job.progress.epochs_done, job.progress.batches_done) == model.cursor
        assert [event.number for event in events] == list(range(1, model.events + 1))
        assert {row.epoch: row.train_loss for row in self.jobs.epochs(id_)} == model.epochs
        assert len(self.jobs.with_checkpoints(id_)[1]) == model.checkpoints <= 2
        assert (job.finished_at is not None) == (model.state in FINAL)
        told = [event.data for event in events if event.type == "state"]
        assert set(pairwise([None, *(data["state"] for data in told)])) <= LEGAL
        attempts = [data["attempt"] for data in told if data["state"] == "running"]
        assert attempts == sorted(attempts), "never reused"


def test_any_history_of_jobs_is_as_the_model_says(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody pulls the plug here: without syncing, many more histories fit into the time."""
    pragmas = ("synchronous=OFF", "foreign_keys=ON")
    monkeypatch.setattr(database_module, "PRAGMAS", pragmas)
    database = Database(database_url)
    limits = settings(
        max_examples=80,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=[Phase.generate, Phase.shrink],
    )
    run_state_machine_as_test(type("Lives", (Life,), {"database": database}), settings=limits)
    database.close()
