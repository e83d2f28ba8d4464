"""A new dispatcher adopts the workers of the old one and recognizes those of other machines."""

from service.store.attempts import SUCCEEDED, Attempt
from service.store.stored_job import StoredJob
from tests.conftest import submit
from tests.support.dispatcher_harness import DispatcherHarness
from tests.support.job_records import DONE, query


def test_a_new_dispatcher_adopts_the_workers_of_the_old(harness: DispatcherHarness) -> None:
    jobs = [submit(harness.jobs) for _ in range(3)]
    harness.step()
    for job in jobs[:2]:
        harness.attempt(job)
    harness.with_new_dispatcher().step()
    assert len(harness.launcher.started) == 2, "adopted workers hold their slots"
    harness.launcher.end(jobs[0], 1, None)
    harness.step()
    assert harness.jobs.get(jobs[0]).lost_workers == 1
    assert (jobs[0], 2) in harness.launcher.started


def test_an_adopted_worker_that_had_finished_is_no_longer_tracked(
    harness: DispatcherHarness,
) -> None:
    job, attempt = harness.run_job()
    harness.with_new_dispatcher().step()
    attempt.end(SUCCEEDED, DONE)
    harness.launcher.end(job, 1, None)
    harness.step()
    assert (harness.state(job), harness.dispatcher.tracked) == ("succeeded", {})


def test_a_handle_may_come_with_a_later_heartbeat(harness: DispatcherHarness) -> None:
    job = submit(harness.jobs)
    harness.step()
    harness.with_new_dispatcher().step()
    harness.attempt(job)
    harness.step()
    harness.launcher.end(job, 1, None)
    harness.step()
    assert harness.jobs.get(job).lost_workers == 1


def only_job(harness: DispatcherHarness) -> StoredJob:
    return harness.jobs.page(1).jobs[0]


def test_nothing_that_a_new_dispatcher_needs_is_kept_in_memory(harness: DispatcherHarness) -> None:
    """The dispatcher crashes again and again, and the job still continues."""
    submit(harness.jobs)
    harness.step()
    for attempt in (1, 2, 3):
        harness.with_new_dispatcher().step()
        harness.attempt(only_job(harness).id)
        harness.step()
        harness.launcher.end(only_job(harness).id, attempt, 1)
        harness.step()
        for _ in range(5):
            harness.step(1)
    assert only_job(harness).attempt == 4
    assert only_job(harness).lost_workers == 3
    assert query(harness.database, "SELECT count(*) FROM jobs") == [(1,)]


# --- Workers elsewhere ---


def test_workers_elsewhere_hold_no_slot_here(
    harness: DispatcherHarness, elsewhere: tuple[str, Attempt]
) -> None:
    jobs = [submit(harness.jobs) for _ in range(3)]
    harness.step()
    assert [job for job, _ in harness.launcher.started] == jobs[:2]


def test_a_worker_elsewhere_is_judged_by_its_heartbeats_alone(
    harness: DispatcherHarness, elsewhere: tuple[str, Attempt]
) -> None:
    job, attempt = elsewhere
    for batch in range(20):
        attempt.heartbeat((0, batch))
        harness.step(1)
    assert harness.state(job) == "running"
    for _ in range(16):
        harness.step(1)
    assert harness.launcher.started == [(job, 2)]


def test_a_worker_elsewhere_that_has_finished_is_no_longer_tracked(
    harness: DispatcherHarness, elsewhere: tuple[str, Attempt]
) -> None:
    harness.step()
    elsewhere[1].end(SUCCEEDED, DONE)
    harness.step()
    assert harness.dispatcher.tracked == {}


def test_a_worker_elsewhere_that_does_not_stop_is_fenced(
    harness: DispatcherHarness, elsewhere: tuple[str, Attempt]
) -> None:
    harness.jobs.act("cancel", elsewhere[0])
    harness.step()
    harness.step(5.1)
    harness.step()
    assert harness.state(elsewhere[0]) == "cancelled"
    assert harness.dispatcher.tracked == {}
