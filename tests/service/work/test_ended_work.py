"""Workers of checks and evaluations are counted by what became of their work, and timed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.domain.job_state import State
from service.store.evaluation_attempts import EvaluationAttempt
from service.work.dispatcher import Dispatcher
from service.work.ended_work import EndedWork
from tests.support.evaluation_harness import EvaluationHarness
from tests.support.fake_workers import Clock, FakeLauncher
from tests.support.stored_datasets import DatasetHarness

NONE = dict.fromkeys(("succeeded", "failed", "requeued", "deleted"), (0, 0.0))


class Dispatched:
    """One evaluation, with a dispatcher whose workers are started and ended by a test."""

    def __init__(self, place: Path) -> None:
        self.made = EvaluationHarness(place)
        self.clock, self.launcher = Clock(), FakeLauncher(1)
        self.ended = EndedWork(self.made.queue.state_of)
        self.task = self.made.tasks.submit(self.made.question(self.made.train())).id
        self.dispatcher = self.new_dispatcher()
        self.dispatcher.step()

    def new_dispatcher(self) -> Dispatcher:
        parts = self.made.queue, self.launcher, self.made.leftovers, self.clock
        return Dispatcher(*parts, note_end=self.ended.note)

    def attempt(self, number: int = 1) -> EvaluationAttempt:
        """Return what the worker holds, after its first heartbeat."""
        attempt = EvaluationAttempt(self.made.database, self.made.results, self.task, number)
        attempt.begin(self.launcher.handles[self.task, number].as_record())
        return attempt

    def end(self, seconds: float, number: int = 1, code: int = 0) -> None:
        """Let the worker's process end after a while."""
        self.clock.now += seconds
        self.launcher.end(self.task, number, code)
        self.dispatcher.step()


@pytest.fixture
def dispatched(tmp_path: Path) -> Iterator[Dispatched]:
    found = Dispatched(tmp_path)
    yield found
    found.made.close()


def test_success(dispatched: Dispatched) -> None:
    assert dispatched.ended.totals() == NONE
    assert dispatched.made.queue.unfinished() == {State.QUEUED: 0, State.RUNNING: 1}
    dispatched.attempt().finish(30, b"result")
    dispatched.end(3)
    assert dispatched.ended.totals() == NONE | {"succeeded": (1, 3.0)}
    assert dispatched.made.queue.unfinished() == {State.QUEUED: 0, State.RUNNING: 0}


def test_failure(dispatched: Dispatched) -> None:
    dispatched.attempt().fail("dataset_gone", "It is gone.")
    dispatched.end(0.5)
    assert dispatched.ended.totals() == NONE | {"failed": (1, 0.5)}


def test_a_worker_that_dies_and_the_next_one(dispatched: Dispatched) -> None:
    dispatched.attempt()
    dispatched.end(2, code=-9)
    assert dispatched.ended.totals() == NONE | {"requeued": (1, 2.0)}
    dispatched.attempt(2).finish(30, b"result")
    dispatched.end(4, number=2)
    assert dispatched.ended.totals() == NONE | {"requeued": (1, 2.0), "succeeded": (1, 4.0)}


def test_a_deletion(dispatched: Dispatched) -> None:
    dispatched.attempt()
    dispatched.made.tasks.delete(dispatched.task)
    assert dispatched.made.queue.unfinished() == {State.QUEUED: 0, State.RUNNING: 0}
    dispatched.end(1)
    assert dispatched.ended.totals() == NONE | {"deleted": (1, 1.0)}


def test_seconds_of_an_adopted_worker_count_from_its_adoption(dispatched: Dispatched) -> None:
    dispatched.attempt()
    dispatched.clock.now += 100
    dispatched.dispatcher = dispatched.new_dispatcher()
    dispatched.dispatcher.step()
    dispatched.attempt().finish(30, b"result")
    dispatched.end(5)
    assert dispatched.ended.totals() == NONE | {"succeeded": (1, 5.0)}


def test_data_sets_that_are_ready_or_have_failed(tmp_path: Path) -> None:
    made = EvaluationHarness(tmp_path)
    sets = DatasetHarness(made.database, tmp_path)
    ended = EndedWork(sets.queue.state_of)
    ready, failed = sets.ready("ready"), sets.send("failed")
    sets.attempt().fail("unusable", "This is a web page.")
    waiting = sets.send("waiting")
    for seconds, row in enumerate((ready.id, failed.id, waiting.id, "ds_deleted"), 1):
        ended.note(row, seconds)
    assert ended.totals() == {
        "succeeded": (1, 1.0), "failed": (1, 2.0), "requeued": (1, 3.0), "deleted": (1, 4.0),
    }  # fmt: skip
    made.close()
