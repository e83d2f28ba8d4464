"""Workers that wait for a bucket give heartbeats meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

import pytest

from service.domain.errors import Replaced, StoreBroken
from service.store.checkpoints import CheckpointStore
from service.work.heartbeats import heartbeats, no_heartbeats, waiting_for
from service.work.worker import Worker
from tests.conftest import submit
from tests.support.worker_harness import TINY, WorkerHarness


def test_heartbeats_are_given_until_the_wait_is_over() -> None:
    given, third = list[int](), Event()

    def give() -> None:
        given.append(len(given))
        if len(given) == 1:
            raise StoreBroken("it may work again")
        if len(given) == 3:
            third.set()

    with heartbeats(give, 0.01):
        assert third.wait(10)
    count = len(given)
    assert not Event().wait(0.05)
    assert len(given) == count


def test_nothing_is_given_for_a_row_that_belongs_to_another_attempt() -> None:
    given, asked = list[int](), Event()

    def give() -> None:
        given.append(1)
        asked.set()
        raise Replaced("job_1", 1)

    with heartbeats(give, 0.01):
        assert asked.wait(10)
        assert not Event().wait(0.05)
    assert given == [1]


def test_only_those_who_share_files_need_heartbeats_while_they_wait() -> None:
    assert waiting_for("s3://bucket/mlp") is heartbeats
    assert waiting_for(None) is waiting_for("") is no_heartbeats


def test_a_worker_waits_for_data_checkpoints_and_its_end_with_heartbeats(
    workers: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, waits, touched = submit(workers.jobs, **TINY), list[int](), list[str]()

    @contextmanager
    def waiting(give: Callable[[], object]) -> Iterator[None]:
        waits.append(1)
        before = workers.queue.active()[0].heartbeat
        give()
        assert workers.queue.active()[0].heartbeat == before + 1
        yield
        waits.pop()

    def noted(name: str, function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            assert waits, f"{name} may take long"
            touched.append(name)
            return function(*arguments)

        return call

    monkeypatch.setattr(CheckpointStore, "save", noted("save", CheckpointStore.save))
    monkeypatch.setattr(workers.datasets, "open", noted("open", workers.datasets.open))
    attempt = workers.worker(job)._attempt
    worker = Worker(attempt, workers.checkpoints, workers.datasets, workers.clock, waiting=waiting)
    assert worker.run(worker.begin()) == "succeeded"
    assert {"open", "save"} == set(touched)
    assert waits == []
