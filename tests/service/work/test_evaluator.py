"""The evaluator: what becomes of a large evaluation, whatever happens to its worker."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.domain.cost import data_bytes
from service.domain.errors import Damaged, NetworkDiverged, Replaced, StoreBroken
from service.domain.job_state import State
from service.inference.evaluate import Evaluation, evaluate
from service.inference.stored_rows import stored_rows
from service.work import evaluator as module
from service.work.evaluator import Evaluator
from service.work.exit_codes import REPLACED_EXIT
from tests.support.evaluation_harness import EvaluationHarness
from tests.support.server_process import eventually


@pytest.fixture
def made(tmp_path: Path) -> Iterator[EvaluationHarness]:
    harness = EvaluationHarness(tmp_path)
    yield harness
    harness.close()


def result(made: EvaluationHarness, job: str) -> Evaluation:
    found = made.tasks.result(job, made.question(job).key)
    assert found is not None
    return Evaluation.decoded(found)


def direct(made: EvaluationHarness, job: str) -> Evaluation:
    rows = stored_rows(made.files, made.set.manifest.sha256, "test", "never")
    return evaluate(made.models.get(job), rows)


def test_a_worker_says_what_the_service_would_say(made: EvaluationHarness) -> None:
    job = made.train()
    task = made.tasks.submit(made.question(job))
    worker = made.evaluator()
    assert worker.run(worker.begin()) == State.SUCCEEDED
    done = made.tasks.get(task.id)
    assert (done.state, done.rows_done, done.reason) == (State.SUCCEEDED, 30, None)
    found, expected = result(made, job), direct(made, job)
    assert found.logits.tobytes() == expected.logits.tobytes()
    assert (found.loss, found.accuracy) == (expected.loss, expected.accuracy)
    assert found.labels.tolist() == made.set.arrays["test"][1].tolist()


def test_labels_of_another_set_are_those_of_the_network(made: EvaluationHarness) -> None:
    job = made.train()
    made.tasks.submit(replace(made.question(job), labels=[2, 0, 1]))
    worker = made.evaluator()
    worker.run(worker.begin())
    own = made.set.arrays["test"][1]
    assert result(made, job).labels.tolist() == np.array([2, 0, 1])[own].tolist()


def test_a_set_that_is_gone_is_the_reason(made: EvaluationHarness) -> None:
    task = made.tasks.submit(made.question(made.train()))
    shutil.rmtree(made.files.folder(made.set.manifest.sha256))
    worker = made.evaluator()
    assert worker.run(worker.begin()) == State.FAILED
    assert (made.tasks.get(task.id).reason or {})["code"] == "dataset_gone"


def test_a_network_that_is_gone_is_the_reason(made: EvaluationHarness) -> None:
    job = made.train()
    task = made.tasks.submit(made.question(job))
    made.networks.delete(made.question(job).checkpoint.key)
    made.models = type(made.models)(made.jobs, made.networks)  # with nothing in memory
    worker = made.evaluator()
    assert worker.run(worker.begin()) == State.FAILED
    reason = made.tasks.get(task.id).reason or {}
    assert reason["code"] == "network_gone"
    assert "queue the evaluation of a newer one" in reason["message"]
    assert str(made.place) not in reason["message"]


def test_the_memory_of_the_process_is_limited_by_what_is_asked(made: EvaluationHarness) -> None:
    made.tasks.submit(made.question(made.train()))
    limits = list[tuple[int, ...]]()
    parts = made.attempt(), made.jobs, made.models, made.files
    worker = Evaluator(*parts, limit=lambda *given: limits.append(given))
    assert worker.run(worker.begin()) == State.SUCCEEDED
    [(own, data)] = limits
    assert 0 < own < 10**6
    assert data == data_bytes(made.set.manifest.sizes)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NetworkDiverged("job_1"), "diverged"),
        (MemoryError(), "out_of_memory"),
        (Damaged("the file is damaged"), "network_damaged"),
        (ValueError("odd"), "internal"),
    ],
)
def test_what_goes_wrong_is_recorded(
    made: EvaluationHarness, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(module, "evaluate", fail)
    task = made.tasks.submit(made.question(made.train()))
    worker = made.evaluator()
    assert worker.run(worker.begin()) == State.FAILED
    assert (made.tasks.get(task.id).reason or {})["code"] == code


def test_a_disk_that_fails_leaves_it_to_the_next_attempt(
    made: EvaluationHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StoreBroken("the disk is full")

    task = made.tasks.submit(made.question(made.train()))
    worker = made.evaluator()
    question = worker.begin()
    monkeypatch.setattr(made.results, "put", fail)
    with pytest.raises(StoreBroken):
        worker.run(question)
    assert made.tasks.get(task.id).state == State.RUNNING


def test_a_long_evaluation_gives_heartbeats(
    made: EvaluationHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*arguments: object) -> Evaluation:
        before = made.queue.active()[0].heartbeat
        eventually(lambda: made.queue.active()[0].heartbeat > before + 2, "heartbeats")
        return evaluate(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "evaluate", slow)
    made.tasks.submit(made.question(made.train()))
    worker = made.evaluator()
    assert worker.run(worker.begin()) == State.SUCCEEDED


def test_one_that_is_deleted_meanwhile_leaves_nothing(
    made: EvaluationHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = made.tasks.submit(made.question(made.train()))

    def deleted(*arguments: object) -> Evaluation:
        made.tasks.delete(task.id)
        return evaluate(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "evaluate", deleted)
    worker = made.evaluator()
    with pytest.raises(Replaced):
        worker.run(worker.begin())
    assert made.on_disk() == []


# --- In a process of its own ---


def process(made: EvaluationHarness, task: str, attempt: int) -> subprocess.Popen[bytes]:
    environment = {
        "MLP_DATABASE_URL": made.database.url,
        "MLP_ARTIFACTS_URL": str(made.place / "jobs"),
        "MLP_DATASETS_DIR": str(made.files.directory),
        "MLP_RESULTS_URL": str(made.place / "evaluations"),
    }
    command = [sys.executable, "-P", "-m", "service.work.evaluator", task, "--attempt"]
    return subprocess.Popen([*command, str(attempt)], env=os.environ | environment)


def test_a_worker_that_is_killed_is_followed_by_another(made: EvaluationHarness) -> None:
    job = made.train()
    task = made.tasks.submit(made.question(job))
    first = made.attempt()
    killed = process(made, task.id, first.number)
    eventually(lambda: not made.queue.active() or made.queue.active()[0].handle, "a beginning")
    killed.send_signal(signal.SIGKILL)
    killed.wait(30)
    if made.tasks.get(task.id).state == State.RUNNING:  # it may have been quicker
        made.queue.lose(task.id, first.number, "It was killed.")
        second = made.attempt()
        assert process(made, task.id, first.number).wait(60) == REPLACED_EXIT
        assert process(made, task.id, second.number).wait(60) == 0
    assert result(made, job).logits.tobytes() == direct(made, job).logits.tobytes()
    made.leftovers.collect(task.id)
    assert len(made.on_disk()) == 1
