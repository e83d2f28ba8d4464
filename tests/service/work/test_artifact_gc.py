"""Which files of jobs are deleted as garbage, and which are never touched."""

from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from mlp_client.job_state import State
from service.store.attempts import FAILED, STOPPED, SUCCEEDED, Attempt
from service.store.checkpoints import CheckpointStore
from service.store.snapshots import NewSnapshot
from service.work.dispatcher import SWEEP_SECONDS
from tests.conftest import submit
from tests.support.dispatcher_harness import DispatcherHarness, run_and_stop
from tests.support.job_records import BAD, SHUTDOWN, epoch, saved


def put_files(harness: DispatcherHarness, attempt: Attempt, *batches: int) -> list[str]:
    keys = [saved(attempt, 0, batch).key for batch in batches]
    for key in keys:
        harness.artifacts.put(key, b"x")
    return keys


def files_left(harness: DispatcherHarness, job: str) -> set[str]:
    return set(harness.artifacts.keys(job))


def end_and_reap(harness: DispatcherHarness, job: str, code: int = 0) -> None:
    """Let the process of the job's worker end, and the dispatcher notice it."""
    harness.launcher.end(job, harness.jobs.get(job).attempt, code)
    harness.step()


def test_files_of_a_running_attempt_are_left_alone(
    harness: DispatcherHarness, fast_polling: None
) -> None:
    job, attempt = harness.run_job()
    keys = put_files(harness, attempt, 1, 2)
    attempt.commit(saved(attempt, 0, 1), [])
    run_and_stop(harness.with_new_dispatcher())
    assert files_left(harness, job) == set(keys), "the second may still be committed"


def test_files_of_an_earlier_attempt_are_deleted_unless_a_row_names_them(
    harness: DispatcherHarness,
) -> None:
    job, first = harness.run_job()
    keys = put_files(harness, first, 1, 2, 3)
    first.commit(saved(first, 0, 2), [])
    harness.artifacts.put(f"{job}/1/.0-4.safetensors.77.tmp", b"half")
    end_and_reap(harness, job, 1)
    harness.step()
    end_and_reap(harness, job, 1)
    assert files_left(harness, job) == {keys[1]}


@pytest.mark.parametrize(("end", "kept"), [(FAILED, 2), (SUCCEEDED, 1)])
def test_files_of_an_ended_job_are_deleted_unless_a_row_names_them(
    harness: DispatcherHarness, end: dict[State, State], kept: int
) -> None:
    job, attempt = harness.run_job()
    keys = put_files(harness, attempt, 1, 2, 3)
    attempt.commit(saved(attempt, 0, 2), [])
    attempt.commit(saved(attempt, 0, 3), [])
    attempt.end(end, BAD)
    end_and_reap(harness, job)
    assert files_left(harness, job) == set(keys[-kept:])


def test_files_of_a_paused_job_are_left_alone(harness: DispatcherHarness) -> None:
    job, attempt = harness.run_job()
    keys = put_files(harness, attempt, 1)
    attempt.commit(saved(attempt, 0, 1), [])
    harness.jobs.act("pause", job)
    attempt.end(STOPPED, SHUTDOWN)
    end_and_reap(harness, job)
    assert files_left(harness, job) == set(keys)


def test_the_folder_of_a_job_deleted_meanwhile_is_deleted(harness: DispatcherHarness) -> None:
    job, attempt = harness.run_job()
    put_files(harness, attempt, 1)
    attempt.end(FAILED, BAD)
    harness.jobs.delete(job)
    harness.launcher.end(job, 1)
    harness.step()
    assert harness.artifacts.folders() == []


def test_a_new_dispatcher_deletes_garbage_of_the_old_one(
    harness: DispatcherHarness, fast_polling: None
) -> None:
    over, attempt = harness.run_job()
    put_files(harness, attempt, 1)
    attempt.end(FAILED, BAD)
    run_and_stop(harness.with_new_dispatcher())
    assert files_left(harness, over) == set()


def test_a_new_dispatcher_leaves_folders_of_unknown_jobs_alone_and_says_what_to_do(
    harness: DispatcherHarness, fast_polling: None
) -> None:
    harness.artifacts.put("job_of_another_database/1/0-1.safetensors", b"x")
    with capture_logs() as logs:
        run_and_stop(harness.with_new_dispatcher())
    assert list(harness.artifacts.keys("job_of_another_database"))
    [warning] = [line for line in logs if line["event"] == "artifacts_of_unknown_job"]
    assert warning["job"] == "job_of_another_database"
    assert "Delete the folder if nobody needs it" in warning["advice"]


def test_files_of_a_deleted_job_are_deleted_by_whichever_dispatcher_comes_next(
    harness: DispatcherHarness, fast_polling: None
) -> None:
    """More than it deletes in one sweep, as after a client that has deleted many."""
    ids = [submit(harness.jobs) for _ in range(150)]
    for job in ids:
        harness.artifacts.put(f"{job}/1/0-1.safetensors", b"x")
    for job in ids[1:]:
        harness.jobs.delete(job)
    harness.artifacts.put("job_of_another_database/1/0-1.safetensors", b"x")
    with capture_logs() as logs:
        run_and_stop(harness.with_new_dispatcher())
    assert harness.artifacts.folders() == [ids[0], "job_of_another_database"]
    assert [line["job"] for line in logs if "unknown" in line["event"]] == [
        "job_of_another_database"
    ]
    assert harness.queue.deleted() == []


def test_a_running_dispatcher_deletes_the_files_of_deleted_jobs(harness: DispatcherHarness) -> None:
    kept, deleted = submit(harness.jobs), submit(harness.jobs)
    for job in (kept, deleted):
        harness.artifacts.put(f"{job}/1/0-1.safetensors", b"x")
    harness.jobs.delete(deleted)
    harness.step(SWEEP_SECONDS)
    assert harness.artifacts.folders() == [kept]
    assert harness.queue.deleted() == []


def test_the_log_of_an_ended_job_is_kept(harness: DispatcherHarness, tmp_path: Path) -> None:
    job, attempt = harness.run_job()
    put_files(harness, attempt, 1)
    (tmp_path / "jobs" / job / "worker.log").write_text("words")
    attempt.end(FAILED, BAD)
    end_and_reap(harness, job)
    assert files_left(harness, job) == set()
    assert (tmp_path / "jobs" / job / "worker.log").exists()


def test_files_that_no_job_wrote_are_left_alone(
    harness: DispatcherHarness, tmp_path: Path, fast_polling: None
) -> None:
    job, attempt = harness.run_job()
    strange = tmp_path / "jobs" / job / "notes" / "by-hand.txt"
    for path in (strange, tmp_path / "jobs" / "lost+found" / "1" / "x"):
        path.parent.mkdir(parents=True)
        path.touch()
    attempt.end(FAILED, BAD)
    run_and_stop(harness.with_new_dispatcher())
    assert strange.exists()
    assert (tmp_path / "jobs" / "lost+found" / "1" / "x").exists()


def test_garbage_that_cannot_be_deleted_does_not_end_the_loop(
    harness: DispatcherHarness, tmp_path: Path, fast_polling: None
) -> None:
    job, attempt = harness.run_job()
    attempt.end(FAILED, BAD)
    (tmp_path / "jobs" / job / "1" / "a-folder").mkdir(parents=True)
    tracking = harness.dispatcher
    assert not run_and_stop(harness.with_new_dispatcher()).is_set(), "at the start"
    harness.dispatcher = tracking
    harness.launcher.end(job, 1)
    waiting = submit(harness.jobs)
    harness.step()
    assert harness.state(waiting) == "running", "the rest of the round goes on"


def test_snapshots_that_rows_name_are_left_and_others_are_deleted(
    harness: DispatcherHarness,
) -> None:
    job, first = harness.run_job()
    store = CheckpointStore(harness.artifacts)
    files = [
        store.save_snapshot(job, 1, number, {"layers.1.bias": np.zeros(3, "f4")})
        for number in (1, 2)
    ]
    named = NewSnapshot(epoch(1), planned=True, file=files[0])
    first.commit(saved(first, 1), [epoch(1)], [named])
    assert {it.key for it in files} <= files_left(harness, job)
    end_and_reap(harness, job, 1)
    harness.step()
    end_and_reap(harness, job, 1)
    assert files_left(harness, job) == {files[0].key}
