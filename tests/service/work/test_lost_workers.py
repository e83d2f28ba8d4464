"""When and why a worker is declared lost, and when its job is tried again."""

import pytest

from service.domain.errors import StoreBroken
from service.store.artifacts import Artifacts
from service.store.sql.database import Database
from service.work import back_off
from service.work.exit_codes import STORE_EXIT
from service.work.launcher import Exit
from service.work.lost_workers import LOST_AFTER_SWEEPS
from service.work.process_handle import ProcessHandle
from tests.conftest import submit
from tests.support.dispatcher_harness import DispatcherHarness, FlakyHarness, run_and_stop
from tests.support.job_records import claim, saved


def test_a_worker_that_exits_without_ending_its_attempt_is_lost(harness: DispatcherHarness) -> None:
    job, _ = harness.run_job()
    harness.launcher.log_text = "last line"
    harness.launcher.end(job, 1, -11)
    harness.step()
    assert harness.lost_worker_reason(job) == {
        "code": "worker_lost",
        "message": "The worker was ended by SIGSEGV. Its last log lines:\nlast line",
    }
    assert harness.jobs.get(job).lost_workers == 1


def test_the_back_off_is_0_1_2_and_4_seconds(harness: DispatcherHarness) -> None:
    job = submit(harness.jobs)
    harness.step()
    waits = []
    for attempt in range(1, 5):
        harness.attempt(job)
        harness.launcher.end(job, attempt, 1)
        harness.step()
        lost_at = harness.clock.now
        while len(harness.launcher.started) == attempt:
            harness.step(0.25)
        waits.append(harness.clock.now - lost_at)
    assert waits == pytest.approx([0, 1, 2, 4], abs=0.25)
    assert harness.launcher.started[-1] == (job, 5)


def test_while_a_job_backs_off_the_next_one_is_started(
    database: Database, artifacts: Artifacts
) -> None:
    harness = DispatcherHarness(database, artifacts, capacity=1)
    first, second = submit(harness.jobs), submit(harness.jobs)
    harness.step()
    for attempt in (1, 2):
        harness.attempt(first)
        harness.launcher.end(first, attempt, 1)
        harness.step()
        harness.step()
    assert harness.launcher.started == [(first, 1), (first, 2), (second, 1)]


def test_five_lost_workers_in_a_row_fail_the_job(harness: DispatcherHarness) -> None:
    job = submit(harness.jobs)
    harness.launcher.log_text = "Illegal instruction"
    harness.step()
    for attempt in range(1, 6):
        harness.attempt(job)
        harness.launcher.end(job, attempt, -4)
        for _ in range(6):
            harness.step(1)
    assert harness.state(job) == "failed"
    code, message = harness.reason(job)
    assert code == "worker_lost"
    assert "SIGILL" in message
    assert "Illegal instruction" in message
    assert len(harness.launcher.started) == 5


def test_a_job_that_makes_progress_between_lost_workers_restarts_immediately(
    harness: DispatcherHarness,
) -> None:
    job = submit(harness.jobs, epochs=20)
    harness.step()
    for number in range(1, 8):
        attempt = harness.attempt(job)
        attempt.commit(saved(attempt, number), [])
        harness.launcher.end(job, number, 1)
        harness.step()
        harness.step()
    assert harness.launcher.started[-1] == (job, 8)
    assert harness.jobs.get(job).lost_workers == 1


def test_where_no_worker_begins_the_machine_rests_and_no_job_fails(
    database: Database, artifacts: Artifacts
) -> None:
    """It would otherwise take one job after another from the machines that work."""
    harness = DispatcherHarness(database, artifacts, capacity=1)
    jobs = [submit(harness.jobs) for _ in range(3)]
    for _ in range(100):
        harness.step(1)
        for job, attempt in harness.launcher.started:
            harness.launcher.end(job, attempt, 1)
    assert {harness.state(job) for job in jobs} <= {"queued", "running"}
    assert len(harness.launcher.started) == pytest.approx(4 + 100 / 16, abs=3)
    harness.step(16)
    harness.attempt(harness.launcher.started[-1][0])  # now one begins
    harness.step(1)
    before = len(harness.launcher.started)
    harness.launcher.end(*harness.launcher.started[-1], 1)
    harness.step(1)
    harness.step(1)
    assert len(harness.launcher.started) == before + 1


def test_a_worker_killed_for_lack_of_memory_is_lost_for_that_reason(
    harness: DispatcherHarness,
) -> None:
    job, _ = harness.run_job()
    harness.launcher.exits[harness.launcher.handles[job, 1]] = Exit(-9, oom_killed=True)
    harness.step()
    assert harness.lost_worker_reason(job)["code"] == "out_of_memory"
    assert harness.jobs.get(job).lost_workers == 1


def test_a_worker_that_could_not_reach_the_store_is_not_lost(harness: DispatcherHarness) -> None:
    job, _ = harness.run_job()
    harness.launcher.end(job, 1, STORE_EXIT)
    harness.step()
    left = harness.jobs.get(job)
    assert (left.state, left.lost_workers) == ("queued", 0)
    assert left.reason is not None
    assert left.reason.code == "store_unavailable"
    harness.step(back_off.AFTER_STORE_FAILURE - 0.1)
    assert harness.launcher.started == [(job, 1)]
    harness.step(0.2)
    assert harness.launcher.started == [(job, 1), (job, 2)]


def test_an_exit_that_could_not_be_recorded_is_recorded_later(flaky: FlakyHarness) -> None:
    job, _ = flaky.run_job()
    flaky.queue.failures, flaky.queue.failing_method = 1, "lose"
    flaky.launcher.end(job, 1, 1)
    with pytest.raises(StoreBroken):
        flaky.step()
    flaky.step()
    assert flaky.jobs.get(job).lost_workers == 1


# --- Sweeps ---


def test_a_worker_without_heartbeats_is_lost_after_15_sweeps(harness: DispatcherHarness) -> None:
    job, attempt = harness.run_job()
    attempt.heartbeat((0, 1))
    harness.step(1)
    for sweep in range(14):
        harness.step(1)
        assert harness.state(job) == "running", f"after sweep {sweep}"
    harness.step(1)
    assert harness.jobs.get(job).lost_workers == 1
    assert harness.launcher.calls == ["kill"]
    message = "The worker gave no heartbeat for 15 seconds."
    assert harness.lost_worker_reason(job) == {"code": "worker_lost", "message": message}


def test_a_worker_is_fenced_before_it_is_killed(harness: DispatcherHarness) -> None:
    job, _ = harness.run_job()
    states = []
    harness.launcher.on_kill = lambda: states.append(harness.state(job))
    for _ in range(17):
        harness.step(1)
    assert states == ["queued"]


def test_a_lost_worker_is_reaped(harness: DispatcherHarness) -> None:
    """Otherwise its zombie would remain until the server ends, and its slot be freed too early."""
    job, _ = harness.run_job()
    handle = harness.launcher.handles[job, 1]
    for _ in range(18):
        harness.step(1)
    assert harness.launcher.reaped == [handle]
    assert (job, 2) in harness.launcher.started


def test_a_lost_worker_holds_its_slot_until_it_has_ended(
    database: Database, artifacts: Artifacts
) -> None:
    harness = DispatcherHarness(database, artifacts, capacity=1)
    job, _ = harness.run_job()
    harness.launcher.ignores_kill = True
    for _ in range(18):
        harness.step(1)
    assert harness.launcher.started == [(job, 1)]
    harness.launcher.end(job, 1, -9)
    harness.step(1)
    harness.step(1)
    assert harness.launcher.started == [(job, 1), (job, 2)]


def test_a_worker_with_heartbeats_is_never_lost(harness: DispatcherHarness) -> None:
    job, attempt = harness.run_job()
    for batch in range(4):
        attempt.heartbeat((0, batch))
        for _ in range(15):
            harness.step(1)
    assert harness.state(job) == "running"
    assert harness.jobs.get(job).lost_workers == 0


def test_sweeps_are_counted_not_seconds(harness: DispatcherHarness) -> None:
    job, _ = harness.run_job()
    harness.step(1)
    harness.step(3600)  # the machine slept
    for _ in range(200):
        harness.step(0.01)  # woken again and again
    assert harness.state(job) == "running"


def test_a_worker_that_never_gave_a_first_heartbeat_is_lost(harness: DispatcherHarness) -> None:
    """Its dispatcher died between the claim and the start."""
    job = submit(harness.jobs)
    claim(harness.database, job)
    for _ in range(17):
        harness.step(1)
    assert harness.launcher.started == [(job, 2)]
    assert harness.launcher.calls == [], "there is no process to kill"


def test_workers_are_not_blamed_for_their_silence_while_the_store_fails(
    flaky: FlakyHarness, fast_polling: None
) -> None:
    job, _ = flaky.run_job()
    for _ in range(LOST_AFTER_SWEEPS):
        flaky.step(1)
    [worker] = flaky.dispatcher.tracked.values()
    assert worker.silent_sweeps == LOST_AFTER_SWEEPS - 1, "the first one found a new heartbeat"
    flaky.clock.now += 1
    flaky.queue.failures = 1
    run_and_stop(flaky)
    assert worker.silent_sweeps == 1
    assert flaky.jobs.get(job).lost_workers == 0


# --- Frozen inside a transaction ---


class ScriptedWatchdog:
    """Finds the workers that a test has listed for each check, and none after that."""

    def __init__(self, found: list[list[ProcessHandle]]) -> None:
        self._found = found

    seconds_between_checks = 0.4

    def check(self) -> list[ProcessHandle]:
        return self._found.pop(0) if self._found else []


def test_a_worker_frozen_in_a_transaction_is_killed_and_its_job_continues(
    harness: DispatcherHarness,
) -> None:
    job, _ = harness.run_job()
    handle = harness.launcher.handles[job, 1]
    watchdog = ScriptedWatchdog([[], [handle]])
    harness.dispatcher = harness.new_dispatcher(lock_watchdog=watchdog)
    harness.step()
    harness.step(0.1)
    assert harness.launcher.calls == [], "checks are some time apart"
    harness.launcher.log_text = "last line"
    harness.step(0.4)
    assert harness.launcher.calls == ["kill"]
    assert harness.launcher.started == [(job, 1), (job, 2)]
    assert harness.lost_worker_reason(job) == {
        "code": "worker_lost",
        "message": "The worker froze inside a database transaction and was killed. "
        "Its last log lines:\nlast line",
    }
