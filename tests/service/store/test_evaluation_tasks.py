"""Large evaluations in the store: what is queued, kept, seen and deleted."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from service.domain.errors import EvaluationNotFound, JobNotFound, Replaced, TooManyEvaluations
from service.domain.job_state import State
from service.store import evaluation_tasks
from service.store.sql.transaction import Transaction
from service.work.process_handle import ProcessHandle
from tests.support.evaluation_harness import EvaluationHarness
from tests.support.stored_datasets import HANDLE


@pytest.fixture
def made(tmp_path: Path) -> Iterator[EvaluationHarness]:
    harness = EvaluationHarness(tmp_path)
    yield harness
    harness.close()


def test_the_same_question_is_queued_once(made: EvaluationHarness) -> None:
    job = made.train()
    first = made.tasks.submit(made.question(job))
    assert (first.state, first.question, made.woken) == (State.QUEUED, made.question(job), 1)
    assert made.tasks.submit(made.question(job)).id == first.id
    other = made.tasks.submit(made.question(job, "train"))
    assert [it.id for it in made.tasks.tasks()] == [other.id, first.id]
    claims = [made.queue.claim() for _ in range(3)]
    assert [claim and claim.job for claim in claims] == [first.id, other.id, None]


def test_one_that_waits_to_be_tried_again_lets_others_pass(made: EvaluationHarness) -> None:
    job = made.train()
    first = made.tasks.submit(made.question(job))
    other = made.tasks.submit(made.question(job, "train"))
    claim = made.queue.claim([first.id])
    assert claim
    assert (claim.job, claim.attempt) == (other.id, 1)


def test_owners_take_turns_and_each_has_its_evaluations_in_their_order(
    made: EvaluationHarness,
) -> None:
    jobs = {owner: made.train(owner, seed) for seed, owner in enumerate(("ann", "bob", None))}
    names: dict[str, str] = {}

    def ask(name: str, owner: str | None, split: str, normalize: str = "never") -> None:
        question = replace(made.question(jobs[owner], split), normalize=normalize)
        names[made.tasks.submit(question).id] = name

    def evaluated() -> str:
        attempt = made.attempt()
        attempt.begin(HANDLE)
        attempt.finish(30, b"result")
        return names[attempt.task]

    ask("a1", "ann", "test")
    ask("a2", "ann", "train")
    ask("a3", "ann", "test", "always")
    ask("b1", "bob", "test")
    ask("nobody's", None, "test")
    first = [evaluated(), evaluated()]
    ask("b2", "bob", "train")
    expected = ["a1", "b1", "nobody's", "a2", "b2", "a3"]
    assert [*first, *(evaluated() for _ in range(4))] == expected
    assert made.queue.claim() is None


def test_one_whose_file_is_lost_is_made_again(made: EvaluationHarness) -> None:
    job = made.train()
    task = made.tasks.submit(made.question(job))
    attempt = made.attempt()
    attempt.begin(HANDLE)
    attempt.finish(30, b"what it said")
    key = made.question(job).key
    assert made.tasks.result(job, key) == b"what it said"
    assert made.tasks.submit(made.question(job)).state == State.SUCCEEDED
    (made.place / "evaluations" / task.id / "1" / "logits.safetensors").write_bytes(b"damaged")
    assert made.tasks.result(job, key) is None
    assert made.tasks.submit(made.question(job)).state == State.QUEUED
    assert made.queue.claim()


def test_one_that_ends_while_it_is_asked_for_again_is_not_made_twice(
    made: EvaluationHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker finishes between the look at its file and the lock of its row."""
    question = made.question(made.train())
    made.tasks.submit(question)
    attempt = made.attempt()
    attempt.begin(HANDLE)
    write = made.database.write

    def finish_first(alone: str) -> AbstractContextManager[Transaction]:
        monkeypatch.undo()
        attempt.finish(30, b"what it said")
        return write(alone)

    monkeypatch.setattr(made.database, "write", finish_first)
    assert made.tasks.submit(question).state == State.SUCCEEDED
    assert made.tasks.result(question.checkpoint.job, question.key) == b"what it said"
    assert made.queue.claim() is None


def test_one_that_has_failed_is_queued_again(made: EvaluationHarness) -> None:
    job = made.train()
    task = made.tasks.submit(made.question(job))
    made.attempt().fail("dataset_gone", "It is gone.")
    failed = made.tasks.get(task.id)
    assert (failed.state, failed.reason) == (
        State.FAILED,
        {"code": "dataset_gone", "message": "It is gone."},
    )
    assert made.tasks.result(job, made.question(job).key) is None
    again = made.tasks.submit(made.question(job))
    assert (again.id, again.state, again.reason) == (task.id, State.QUEUED, None)


def test_a_worker_that_has_been_replaced_changes_nothing(made: EvaluationHarness) -> None:
    task = made.tasks.submit(made.question(made.train()))
    old = made.attempt()
    old.begin(HANDLE)
    lost = made.queue.lose(task.id, 1, "It was killed.")
    assert lost
    assert lost.state == State.QUEUED
    new = made.attempt()
    acts = [partial(old.heartbeat, 3), partial(old.finish, 30, b"x"), partial(old.fail, "a", "b")]
    for act in acts:
        with pytest.raises(Replaced):
            act()
    assert made.on_disk() == [], "it has written no file either"
    new.begin(HANDLE)
    new.heartbeat(7)
    assert (made.tasks.get(task.id).rows_done, new.number) == (7, 2)


def test_five_lost_workers_are_too_many(made: EvaluationHarness) -> None:
    task = made.tasks.submit(made.question(made.train()))
    for number in range(1, 6):
        made.attempt().begin(HANDLE)
        made.queue.lose(task.id, number, "It was killed.")
    found = made.tasks.get(task.id)
    assert found.state == State.FAILED
    assert found.reason == {"code": "worker_lost", "message": "It was killed."}


def test_owners_see_only_what_belongs_to_their_networks(made: EvaluationHarness) -> None:
    jobs = {owner: made.train(owner, seed) for seed, owner in enumerate(("ada", "bob"))}
    views = {owner: made.tasks.seen_by(owner, everything=False) for owner in jobs}
    tasks = {owner: views[owner].submit(made.question(job)) for owner, job in jobs.items()}
    assert [it.owner for it in views["ada"].tasks()] == ["ada"]
    assert len(made.tasks.tasks()) == 2
    for act in (views["bob"].get, views["bob"].delete):
        with pytest.raises(EvaluationNotFound):
            act(tasks["ada"].id)
    with pytest.raises(JobNotFound):
        views["bob"].submit(made.question(jobs["ada"], "train"))
    assert made.tasks.get(tasks["ada"].id).state == State.QUEUED


def test_an_owner_has_room_for_some_and_the_oldest_ended_goes(
    made: EvaluationHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation_tasks, "MOST_OF_OWNER", 2)
    jobs = [made.train(seed=seed) for seed in range(3)]
    first, second = (made.tasks.submit(made.question(job)) for job in jobs[:2])
    with pytest.raises(TooManyEvaluations):
        made.tasks.submit(made.question(jobs[2]))
    attempt = made.attempt()
    attempt.begin(HANDLE)
    attempt.finish(30, b"result")
    third = made.tasks.submit(made.question(jobs[2]))
    assert {it.id for it in made.tasks.tasks()} == {second.id, third.id}
    made.leftovers.sweep()
    assert (first.id, made.on_disk()) == (attempt.task, [])


def test_the_deletion_of_a_network_takes_its_evaluations_along(made: EvaluationHarness) -> None:
    job = made.train()
    task = made.tasks.submit(made.question(job))
    attempt = made.attempt()
    attempt.begin(HANDLE)
    made.jobs.delete(job)
    with pytest.raises(EvaluationNotFound):
        made.tasks.get(task.id)
    with pytest.raises(Replaced):
        attempt.finish(30, b"result")
    assert made.queue.active() == [], "so the dispatcher ends its worker"
    made.leftovers.sweep()
    assert (made.queue.deleted(), made.on_disk()) == ([], [])


def test_the_files_of_a_deleted_one_stay_until_its_worker_has_ended(
    made: EvaluationHarness,
) -> None:
    """This process is the worker, and lives."""
    task = made.tasks.submit(made.question(made.train()))
    made.attempt().begin(ProcessHandle.of(os.getpid()).as_record())
    made.results.put(f"{task.id}/1/logits.safetensors", b"half")
    made.tasks.delete(task.id)
    made.leftovers.sweep()
    assert made.on_disk() == [f"{task.id}/1/logits.safetensors"]
    assert [it.id for it in made.queue.deleted()] == [task.id]


def test_what_a_worker_wrote_after_the_leader_had_tidied_is_deleted_when_it_has_ended(
    made: EvaluationHarness,
) -> None:
    task = made.tasks.submit(made.question(made.train()))
    made.attempt().begin(HANDLE)
    made.tasks.delete(task.id)
    made.leftovers.sweep()
    made.results.put(f"{task.id}/1/logits.safetensors", b"late")
    made.leftovers.collect(task.id)
    assert made.on_disk() == []


def test_files_of_earlier_attempts_are_deleted(made: EvaluationHarness) -> None:
    task = made.tasks.submit(made.question(made.train()))
    made.attempt()
    made.results.put(f"{task.id}/1/logits.safetensors", b"of a worker that died")
    made.queue.lose(task.id, 1, "It was killed.")
    second = made.attempt()
    made.leftovers.collect(task.id)
    assert made.on_disk() == []
    second.begin(HANDLE)
    second.finish(30, b"result")
    made.leftovers.collect(task.id)
    made.leftovers.collect_all()
    assert made.on_disk() == [f"{task.id}/2/logits.safetensors"]


def test_a_backup_makes_them_again(made: EvaluationHarness) -> None:
    job = made.train()
    task = made.tasks.submit(made.question(job))
    attempt = made.attempt()
    attempt.begin(HANDLE)
    attempt.finish(30, b"result")
    made.queue.queue_all()
    assert made.tasks.get(task.id).state == State.QUEUED
    assert made.tasks.result(job, made.question(job).key) is None
