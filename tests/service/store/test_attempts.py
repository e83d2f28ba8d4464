"""What workers write about their jobs, and what fencing keeps them from writing."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import pytest

from mlp_client.job_state import State
from service.domain.errors import Replaced
from service.store.attempts import FAILED, STOPPED, SUCCEEDED, Attempt
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.database import Database
from tests.support.job_records import (
    BAD,
    DONE,
    ENVIRONMENT,
    HANDLE,
    SHUTDOWN,
    claim,
    claimed,
    content,
    epoch,
    query,
    saved,
    started,
    stop,
    stored_epoch,
)

# How an attempt ends, the job's state before, and its state after.
ENDS = [
    (SUCCEEDED, "running", "succeeded"),
    (SUCCEEDED, "pausing", "succeeded"),
    (SUCCEEDED, "cancelling", "cancelled"),
    (FAILED, "running", "failed"),
    (FAILED, "pausing", "failed"),
    (FAILED, "cancelling", "cancelled"),
    (STOPPED, "running", "queued"),
    (STOPPED, "pausing", "paused"),
    (STOPPED, "cancelling", "cancelled"),
]
ACTIONS = {"pausing": "pause", "cancelling": "cancel"}
WRITES: list[Callable[[Attempt], object]] = [
    lambda attempt: attempt.begin(HANDLE, {"numpy": "3"}),
    lambda attempt: attempt.heartbeat((1, 0), [epoch(1)]),
    lambda attempt: attempt.warn("code", "message", bit_exact=False),
    lambda attempt: attempt.commit(saved(attempt, 1), [epoch(1)]),
    lambda attempt: attempt.end(SUCCEEDED, DONE, saved(attempt, 1), [epoch(1)], "f" * 64),
]
WAYS_TO_BE_REPLACED: list[Callable[[Database, Attempt], object]] = [
    lambda database, attempt: Queue(database).lose(
        attempt.job, attempt.number, "its process ended"
    ),
    lambda database, attempt: (
        Queue(database).lose(attempt.job, attempt.number, "its process ended"),
        claim(database, attempt.job).begin(HANDLE, ENVIRONMENT),
    ),
    lambda database, attempt: attempt.end(FAILED, BAD),
    lambda database, attempt: delete(database, attempt),
]


def delete(database: Database, attempt: Attempt) -> None:
    stop(attempt)
    JobStore(database).delete(attempt.job)


def keys(database: Database, attempt: Attempt) -> list[str]:
    _, found = JobStore(database).with_checkpoints(attempt.job)
    return [checkpoint.key for checkpoint in found]


# --- Begin ---


def test_the_first_heartbeat_stores_the_handle(database: Database, queue: Queue) -> None:
    attempt = claimed(database)
    [before] = queue.active()
    attempt.begin(HANDLE, ENVIRONMENT)
    [after] = queue.active()
    assert (before.handle, after.handle) == (None, HANDLE)
    assert after.heartbeat == before.heartbeat + 1


def test_the_task_of_a_first_attempt_is_the_spec_only(database: Database) -> None:
    task = claimed(database, preset="linear", seed=7).begin(HANDLE, ENVIRONMENT)
    assert (task.spec["hidden"], task.spec["seed"]) == ([], 7)
    assert (task.checkpoints, task.train_losses, task.environment) == ([], {}, None)
    assert task.job_bytes >= 4 * 2 * 7850, "parameters and gradients at least"


def test_the_task_of_a_later_attempt_has_what_earlier_ones_stored(database: Database) -> None:
    first = started(database, epochs=5)
    first.commit(saved(first, 1), [epoch(1, loss=0.25)])
    first.commit(saved(first, 1, 3), [])
    first.heartbeat((2, 0), [epoch(2, loss=0.125)])
    stop(first)
    task = claim(database, first.job).begin(HANDLE, ENVIRONMENT)
    assert task.checkpoints == [saved(first, 1, 3), saved(first, 1)]
    assert task.train_losses == {1: 0.25, 2: 0.125}
    assert task.environment == ENVIRONMENT


def test_the_environment_stays_that_of_the_checkpoints(database: Database) -> None:
    """A worker that dies before it warns of the change must not hide it from the next one."""
    first = started(database)
    first.commit(saved(first, 0, 1), [])
    stop(first)
    dies = claim(database, first.job)
    dies.begin(HANDLE, {"numpy": "another"})
    stop(dies)
    task = claim(database, first.job).begin(HANDLE, {"numpy": "another"})
    assert task.environment == ENVIRONMENT


def test_without_a_checkpoint_the_environment_is_that_of_the_new_attempt(
    database: Database,
) -> None:
    first = started(database)
    stop(first)
    second = claim(database, first.job)
    second.begin(HANDLE, {"numpy": "another"})
    stop(second)
    task = claim(database, first.job).begin(HANDLE, {"numpy": "another"})
    assert task.environment == {"numpy": "another"}


# --- Heartbeat ---


def test_a_heartbeat_returns_the_state_that_the_client_wants(
    database: Database, jobs: JobStore
) -> None:
    attempt = started(database)
    assert attempt.heartbeat((0, 1)) == State.RUNNING
    jobs.act("pause", attempt.job)
    assert attempt.heartbeat((0, 2)) == State.PAUSING
    jobs.act("cancel", attempt.job)
    assert attempt.heartbeat((0, 3)) == State.CANCELLING


def test_a_heartbeat_is_counted_and_stores_progress(database: Database, queue: Queue) -> None:
    attempt = started(database, epochs=9)
    [before] = queue.active()
    attempt.heartbeat((2, 5))
    [after] = queue.active()
    assert after.heartbeat == before.heartbeat + 1
    job = JobStore(database).get(attempt.job)
    assert (job.epochs_done, job.batches_done) == (2, 5)


def test_an_epoch_that_is_recorded_stays_as_it_is(database: Database, jobs: JobStore) -> None:
    first = started(database, epochs=3)
    first.heartbeat((2, 0), [epoch(1, loss=0.5), epoch(2, loss=0.25)])
    stop(first)
    again = claim(database, first.job)
    again.begin(HANDLE, ENVIRONMENT)
    again.heartbeat((3, 0), [epoch(2, loss=0.75), epoch(3, loss=0.125)])
    again.heartbeat((3, 0), [epoch(3, loss=0.875)])
    assert [row["train_loss"] for row in jobs.epochs(first.job)] == [0.5, 0.25, 0.125]
    _, events = jobs.events(first.job)
    assert [event.data["epoch"] for event in events if event.type == "epoch"] == [1, 2, 3]


def test_a_rerun_epoch_does_not_become_the_latest_or_best(
    database: Database, jobs: JobStore
) -> None:
    first = started(database, epochs=3)
    first.heartbeat((1, 0), [epoch(1, accuracy=0.5)])
    stop(first)
    again = claim(database, first.job)
    again.begin(HANDLE, ENVIRONMENT)
    again.heartbeat((1, 0), [epoch(1, accuracy=0.75)])
    job = jobs.get(first.job)
    assert job.latest == job.best == stored_epoch(epoch(1, accuracy=0.5))


def test_a_warning_is_an_event_and_may_change_the_row(database: Database, jobs: JobStore) -> None:
    attempt = started(database)
    attempt.warn("not_bit_exact", "another machine", bit_exact=False)
    job, events = jobs.events(attempt.job)
    assert job.bit_exact is False
    assert events[-1].type == "warning"
    assert events[-1].data == {"code": "not_bit_exact", "message": "another machine"}


# --- Fencing ---


@pytest.mark.parametrize("write", WRITES, ids=["begin", "heartbeat", "warn", "commit", "end"])
@pytest.mark.parametrize("replace", WAYS_TO_BE_REPLACED, ids=["lost", "next", "ended", "deleted"])
def test_a_replaced_worker_changes_nothing(
    database: Database,
    write: Callable[[Attempt], object],
    replace: Callable[[Database, Attempt], object],
) -> None:
    attempt = started(database)
    attempt.commit(saved(attempt, 0, 1), [])
    replace(database, attempt)
    before = content(database)
    with pytest.raises(Replaced, match=attempt.job):
        write(attempt)
    assert content(database) == before


def test_an_attempt_that_was_never_claimed_changes_nothing(database: Database) -> None:
    attempt = started(database)
    before = content(database)
    for write in WRITES:
        with pytest.raises(Replaced):
            write(Attempt(database, attempt.job, attempt.number + 1))
    assert content(database) == before


def test_a_write_that_fails_halfway_changes_nothing(database: Database) -> None:
    attempt = started(database)
    before = content(database)
    wrong = replace(saved(attempt, 1), job="", size=None)  # type: ignore[arg-type]  # so it fails
    with pytest.raises(Exception, match=r"(?i)not[ -]null"):
        attempt.end(SUCCEEDED, DONE, wrong, [epoch(1)])
    assert content(database) == before


# --- Checkpoints ---


def test_the_two_newest_checkpoints_count(database: Database) -> None:
    attempt = started(database)
    dropped = []
    for batches in range(1, 5):
        state, keys_ = attempt.commit(saved(attempt, 0, batches), [])
        assert state == State.RUNNING
        dropped.append(keys_)
    made = [saved(attempt, 0, batches).key for batches in range(1, 5)]
    assert dropped == [[], [], [made[0]], [made[1]]]
    assert keys(database, attempt) == [made[3], made[2]]


def test_checkpoints_of_an_earlier_attempt_are_dropped_in_turn(database: Database) -> None:
    first = started(database)
    first.commit(saved(first, 0, 1), [])
    first.commit(saved(first, 0, 2), [])
    stop(first)
    second = claim(database, first.job)
    second.begin(HANDLE, ENVIRONMENT)
    _, dropped = second.commit(saved(second, 0, 2), [])
    assert dropped == [saved(first, 0, 1).key]
    assert keys(database, second) == [saved(second, 0, 2).key, saved(first, 0, 2).key]


def test_a_commit_carries_the_epochs_before_it(database: Database, jobs: JobStore) -> None:
    attempt = started(database, epochs=3)
    attempt.commit(saved(attempt, 1), [epoch(1)])
    assert jobs.epochs(attempt.job) == [stored_epoch(epoch(1))]
    assert jobs.get(attempt.job).epochs_done == 1


@pytest.mark.parametrize(
    ("cursor", "lost_workers"), [((0, 6), 0), ((1, 0), 0), ((0, 5), 2), ((0, 4), 2)]
)
def test_only_a_cursor_that_advances_resets_the_lost_workers(
    database: Database, jobs: JobStore, queue: Queue, cursor: tuple[int, int], lost_workers: int
) -> None:
    attempt = started(database, epochs=3)
    attempt.commit(saved(attempt, 0, 5), [])
    for _ in range(2):
        queue.lose(attempt.job, attempt.number, "its process ended")
        attempt = claim(database, attempt.job)
        attempt.begin(HANDLE, ENVIRONMENT)
    attempt.heartbeat((2, 0))
    assert jobs.get(attempt.job).lost_workers == 2, "live progress may be lost again"
    attempt.commit(saved(attempt, *cursor), [])
    assert jobs.get(attempt.job).lost_workers == lost_workers


def test_the_first_checkpoint_resets_the_lost_workers(
    database: Database, jobs: JobStore, queue: Queue
) -> None:
    attempt = started(database)
    queue.lose(attempt.job, attempt.number, "its process ended")
    attempt = claim(database, attempt.job)
    attempt.commit(saved(attempt, 0, 1), [])
    assert jobs.get(attempt.job).lost_workers == 0


def test_a_checkpoint_at_the_end_counts_as_any_other(
    database: Database, jobs: JobStore, queue: Queue
) -> None:
    first = started(database)
    for batches in (1, 2):
        first.commit(saved(first, 0, batches), [])
    queue.lose(first.job, first.number, "its process ended")
    second = claim(database, first.job)
    second.end(STOPPED, SHUTDOWN, saved(second, 0, 3))
    job = jobs.get(first.job)
    assert (job.lost_workers, job.batches_done) == (0, 3)
    assert keys(database, second) == [saved(second, 0, 3).key, saved(first, 0, 2).key]


# --- End ---


@pytest.mark.parametrize(("moves", "state", "to"), ENDS)
def test_the_end_of_an_attempt_moves_the_job_by_its_state(
    database: Database, jobs: JobStore, moves: dict[State, State], state: str, to: str
) -> None:
    attempt = started(database)
    if state in ACTIONS:
        jobs.act(ACTIONS[state], attempt.job)
    assert attempt.end(moves, ("code", "message"), weights_sha256="f" * 64) == to
    job = jobs.get(attempt.job)
    assert job.state == to
    assert job.reason is not None
    wished = to in ("paused", "cancelled")
    assert job.reason.code == ("user" if wished else "code")
    assert job.weights_sha256 == ("f" * 64 if to == "succeeded" else None)
    assert (job.finished_at is None) == (to in ("queued", "paused"))


def test_the_end_is_one_transaction_with_epochs_and_checkpoint(
    database: Database, jobs: JobStore
) -> None:
    attempt = started(database, epochs=1)
    attempt.end(SUCCEEDED, DONE, saved(attempt, 1), [epoch(1)], "f" * 64)
    job, events = jobs.events(attempt.job)
    assert [event.type for event in events[-2:]] == ["epoch", "state"]
    assert events[-1].data["state"] == "succeeded"
    assert (job.epochs_done, job.batches_done) == (1, 0)
    assert keys(database, attempt) == [saved(attempt, 1).key]
    assert query(database, "SELECT handle FROM jobs") == [(None,)]


def test_a_failure_keeps_the_epochs_before_it(database: Database, jobs: JobStore) -> None:
    attempt = started(database, epochs=9)
    attempt.end(FAILED, BAD, None, [epoch(1), epoch(2)])
    job = jobs.get(attempt.job)
    assert [row["epoch"] for row in jobs.epochs(attempt.job)] == [1, 2]
    assert (job.epochs_done, job.batches_done) == (2, 0)
    assert job.reason is not None
    assert job.reason.code == "diverged"


def test_a_worker_asked_to_stop_does_not_count_as_lost(
    database: Database, jobs: JobStore, queue: Queue
) -> None:
    attempt = started(database)
    queue.lose(attempt.job, attempt.number, "its process ended")
    attempt = claim(database, attempt.job)
    for _ in range(6):
        assert attempt.end(STOPPED, SHUTDOWN) == "queued"
        attempt = claim(database, attempt.job)
    assert jobs.get(attempt.job).lost_workers == 1
    assert jobs.get(attempt.job).attempt == 8


# --- Events ---


def test_events_stay_gapless_while_clients_and_worker_write_concurrently(
    database: Database, jobs: JobStore
) -> None:
    attempt = started(database, epochs=1000)

    def work(_: int) -> None:
        for number in range(1, 21):
            attempt.heartbeat((number, 0), [epoch(number)])

    def click(client: int) -> None:
        for turn in range(10):
            jobs.act("pause" if (client + turn) % 2 else "resume", attempt.job)

    with ThreadPoolExecutor(5) as pool:
        for done in [pool.submit(work, 0), *(pool.submit(click, client) for client in range(4))]:
            done.result()
    job, events = jobs.events(attempt.job)
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    epochs = [event.data["epoch"] for event in events if event.type == "epoch"]
    assert epochs == list(range(1, 21))
    states = [event.data["state"] for event in events if event.type == "state"][1:]
    assert all(one != two for one, two in pairwise(states))
    assert states[-1] == job.state
    assert jobs.news([job.id])[job.id][0] == len(events)
