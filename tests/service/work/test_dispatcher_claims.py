"""When jobs are claimed and their workers are started, and what happens if that fails."""

import itertools

import pytest

from service.domain.errors import StoreBroken, StoreFull
from service.store.artifacts import Artifacts
from service.store.attempts import SUCCEEDED
from service.store.sql.database import Database
from service.work import back_off
from service.work.exit_codes import STORE_EXIT
from tests.conftest import submit
from tests.support.dispatcher_harness import DispatcherHarness, FlakyHarness
from tests.support.job_records import DONE


def test_jobs_are_started_oldest_first_up_to_the_capacity(harness: DispatcherHarness) -> None:
    ids = [submit(harness.jobs) for _ in range(3)]
    harness.step()
    assert harness.launcher.started == [(ids[0], 1), (ids[1], 1)]
    assert [harness.state(job) for job in ids] == ["running", "running", "queued"]
    harness.step()
    assert len(harness.launcher.started) == 2


def test_a_finished_worker_makes_room_for_the_next_job(harness: DispatcherHarness) -> None:
    ids = [submit(harness.jobs) for _ in range(3)]
    harness.step()
    harness.attempt(ids[0]).end(SUCCEEDED, DONE)
    harness.step()
    assert len(harness.launcher.started) == 2, "its process has not ended yet"
    harness.launcher.end(ids[0], 1, 0)
    harness.step()
    assert harness.launcher.started[2:] == [(ids[2], 1)]
    assert harness.state(ids[0]) == "succeeded"


def test_with_a_capacity_of_0_no_job_is_claimed(database: Database, artifacts: Artifacts) -> None:
    harness = DispatcherHarness(database, artifacts, capacity=0)
    job = submit(harness.jobs)
    harness.step()
    assert harness.state(job) == "queued"


# --- Starts that fail ---


def test_a_worker_that_cannot_be_started_is_not_lost_and_all_starts_back_off(
    harness: DispatcherHarness,
) -> None:
    harness.launcher.start_error = OSError("no more processes")
    first, second = submit(harness.jobs), submit(harness.jobs)
    starts = []
    for _ in range(130):
        harness.step(0.5)
        starts.append(harness.jobs.get(first).attempt)
    seconds = [starts.index(attempt) / 2 for attempt in range(1, 8)]
    waits = [later - earlier for earlier, later in itertools.pairwise(seconds)]
    assert waits == [1, 2, 4, 8, 16, 16]
    assert harness.reason(first) == ("no_worker", "No worker could be started: no more processes")
    assert (harness.jobs.get(first).lost_workers, harness.jobs.get(second).attempt) == (0, 0)
    harness.launcher.start_error = None
    for _ in range(16):
        harness.step(1)
    assert [job for job, _ in harness.launcher.started] == [first, second]


def test_a_machine_that_can_start_nothing_tries_one_job_a_round(harness: DispatcherHarness) -> None:
    """Otherwise every job of a long queue would be tried in vain in each round."""
    harness.launcher.start_error = OSError("no more processes")
    ids = [submit(harness.jobs) for _ in range(4)]
    harness.step()
    assert [harness.jobs.get(job).attempt for job in ids] == [1, 0, 0, 0]


def test_a_host_that_can_store_nothing_claims_nothing_and_rests(
    harness: DispatcherHarness,
) -> None:
    tried_at: list[float] = []
    is_broken = True

    def try_storage() -> None:
        tried_at.append(harness.clock.now)
        if is_broken:
            raise StoreBroken("the bucket refuses this host")

    harness.dispatcher = harness.new_dispatcher(try_storage=try_storage)
    job = submit(harness.jobs)
    for _ in range(80):
        harness.step(0.5)
    waits = [later - earlier for earlier, later in itertools.pairwise(tried_at)]
    assert waits == [1, 2, 4, 8, 16]
    assert harness.jobs.get(job).attempt == 0
    is_broken = False
    for _ in range(32):
        harness.step(0.5)
    assert harness.launcher.started == [(job, 1)]
    assert len(tried_at) == 7
    harness.launcher.end(job, 1, STORE_EXIT)
    for _ in range(20):
        harness.step(0.5)
    assert harness.launcher.started == [(job, 1), (job, 2)]
    assert len(tried_at) == 8, "a worker could not store what it had made"


def test_a_start_that_fails_for_lack_of_disk_space_loses_no_worker(
    harness: DispatcherHarness,
) -> None:
    harness.launcher.start_error = StoreFull("can't write worker.log")
    job = submit(harness.jobs)
    longest = back_off.AFTER_FAILED_STARTS[-1]
    for _ in range(7):
        harness.step(longest)
    harness.launcher.start_error = None
    harness.step(longest)
    assert (harness.jobs.get(job).state, harness.jobs.get(job).lost_workers) == ("running", 0)


def test_a_job_that_could_be_neither_started_nor_requeued_is_requeued_later(
    flaky: FlakyHarness,
) -> None:
    job = submit(flaky.jobs)
    flaky.launcher.start_error = OSError("no more processes")
    flaky.queue.failures, flaky.queue.failing_method = 1, "lose"
    with pytest.raises(StoreBroken):
        flaky.step()
    flaky.launcher.start_error = None
    flaky.step(1)
    assert flaky.launcher.started == [(job, 2)]
    assert flaky.jobs.get(job).lost_workers == 0
