"""The dispatcher's thread survives a failing store, wakes on demand and shuts down in order."""

import threading

import pytest

from mlp_client.job_state import State
from service.store.attempts import Attempt
from service.work import dispatcher as module
from tests.conftest import submit
from tests.support.dispatcher_harness import DispatcherHarness, FlakyHarness, run_and_stop
from tests.support.server_process import eventually


def test_on_shutdown_workers_are_asked_to_stop(
    harness: DispatcherHarness, fast_polling: None
) -> None:
    submit(harness.jobs), submit(harness.jobs)
    assert not run_and_stop(harness).is_set()
    assert harness.launcher.calls == ["terminate", "terminate"]
    assert harness.jobs.counts()[State.QUEUED] == 2
    assert {job.lost_workers for job in harness.jobs.page(9).jobs} == {0}


def test_on_shutdown_a_worker_that_does_not_stop_is_fenced_and_killed(
    harness: DispatcherHarness, fast_polling: None
) -> None:
    job = submit(harness.jobs)
    harness.launcher.ignores_terminate = True
    states = []
    harness.launcher.on_kill = lambda: states.append(harness.state(job))
    began = harness.clock.now
    run_and_stop(harness)
    assert harness.launcher.calls == ["terminate", "kill"]
    assert harness.clock.now - began == pytest.approx(6, abs=0.1)
    assert states == ["queued"], "fenced before it is killed"
    assert harness.reason(job) == ("shutdown", "The service was shut down.")
    assert harness.jobs.get(job).lost_workers == 0


def test_one_that_retires_gives_its_jobs_back_and_stays_alive_without_claiming_any(
    harness: DispatcherHarness, fast_polling: None
) -> None:
    job = submit(harness.jobs)
    harness.dispatcher.start(lambda: None)
    eventually(lambda: harness.state(job) == "running", "the claim")
    harness.dispatcher.retire()
    eventually(lambda: harness.state(job) == "queued", "the job to be given back")
    assert harness.launcher.calls == ["terminate"]
    harness.dispatcher.wake()
    assert (harness.dispatcher.is_alive(), harness.dispatcher.is_stopping) == (True, False)
    harness.dispatcher.stop()
    harness.dispatcher.join()
    assert harness.state(job) == "queued"
    assert harness.launcher.calls == ["terminate"]


def test_a_shutdown_leaves_workers_elsewhere_alone(
    harness: DispatcherHarness, elsewhere: tuple[str, Attempt], fast_polling: None
) -> None:
    run_and_stop(harness)
    assert harness.launcher.calls == []
    assert harness.state(elsewhere[0]) == "running"


def test_a_shutdown_kills_all_workers_even_if_the_store_fails(
    flaky: FlakyHarness, fast_polling: None
) -> None:
    submit(flaky.jobs), submit(flaky.jobs)
    flaky.launcher.ignores_terminate = True
    flaky.queue.failures, flaky.queue.failing_method = 1, "lose"
    died = run_and_stop(flaky)
    assert flaky.launcher.calls == ["terminate", "terminate", "kill", "kill"]
    assert not died.is_set()
    counts = flaky.jobs.counts()
    assert (counts[State.RUNNING], counts[State.QUEUED]) == (1, 1)


def test_a_broken_store_does_not_end_the_loop(flaky: FlakyHarness, fast_polling: None) -> None:
    flaky.queue.failures = 3
    job = submit(flaky.jobs)
    died = threading.Event()
    flaky.dispatcher.start(died.set)
    eventually(lambda: flaky.launcher.started == [(job, 1)], "the store to work again")
    flaky.dispatcher.stop()
    flaky.dispatcher.join()
    assert not died.is_set()


def test_any_other_error_ends_the_loop_and_is_reported(
    flaky: FlakyHarness, fast_polling: None
) -> None:
    flaky.queue.failures, flaky.queue.error = 1, RuntimeError("a bug")
    died = threading.Event()
    flaky.dispatcher.start(died.set)
    assert died.wait(10)
    flaky.dispatcher.join()
    assert not flaky.dispatcher.is_alive()


def test_a_dispatcher_that_is_woken_starts_a_job_immediately(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 60)
    harness.dispatcher.start(lambda: None)
    assert harness.launcher.was_polled.wait(10)
    job = submit(harness.jobs)
    harness.dispatcher.wake()
    eventually(lambda: harness.launcher.started == [(job, 1)], "the job to be started", 10)
    harness.dispatcher.stop()
    harness.dispatcher.join()


def test_a_dispatcher_that_never_started_is_not_alive(harness: DispatcherHarness) -> None:
    assert not harness.dispatcher.is_alive()
    harness.dispatcher.join()
