"""Workers that do not exit although their job is to stop or has ended are killed."""

from pathlib import Path

import pytest

from service.store.attempts import STOPPED, SUCCEEDED
from service.work.launchers.local import LocalLauncher
from tests.conftest import submit
from tests.support.dispatcher_harness import DispatcherHarness
from tests.support.job_records import DONE, SHUTDOWN, claim
from tests.support.server_process import eventually


@pytest.mark.parametrize(("action", "to"), [("pause", "paused"), ("cancel", "cancelled")])
def test_a_worker_that_does_not_stop_is_killed_after_5_seconds(
    harness: DispatcherHarness, action: str, to: str
) -> None:
    job, _ = harness.run_job()
    harness.jobs.act(action, job)
    harness.step()
    harness.step(4.9)
    assert harness.launcher.calls == []
    states = []
    harness.launcher.on_kill = lambda: states.append(harness.state(job))
    harness.step(0.2)
    assert harness.launcher.calls == ["kill"]
    assert states == [to], "fenced before it is killed"
    harness.step()
    assert harness.jobs.get(job).lost_workers == 0
    assert harness.reason(job) == ("user", f"A client asked to {action} the job.")


def test_a_job_is_cancelled_although_its_worker_never_began(harness: DispatcherHarness) -> None:
    job = submit(harness.jobs)
    claim(harness.database, job)
    harness.jobs.act("cancel", job)
    harness.step()
    harness.step(5.1)
    assert harness.state(job) == "cancelled"
    assert harness.launcher.calls == []


def test_a_pause_that_was_undone_kills_no_worker(harness: DispatcherHarness) -> None:
    job, attempt = harness.run_job()
    harness.jobs.act("pause", job)
    harness.step()
    harness.jobs.act("resume", job)
    harness.step(4)
    harness.step(4)
    harness.jobs.act("pause", job)
    harness.step(4)
    harness.step(4)
    assert harness.launcher.calls == [], "the 5 s begin again"
    assert attempt.end(STOPPED, SHUTDOWN) == "paused"


def test_a_process_that_outlives_its_job_is_killed(harness: DispatcherHarness) -> None:
    job, attempt = harness.run_job()
    attempt.end(SUCCEEDED, DONE)
    harness.step()
    harness.step(4.9)
    assert harness.launcher.calls == []
    harness.step(0.2)
    assert harness.launcher.calls == ["kill"]
    assert harness.state(job) == "succeeded"


def test_a_real_worker_that_hangs_is_fenced_killed_and_reaped(
    harness: DispatcherHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(program))
    launcher = LocalLauncher(tmp_path / "jobs", {}, 1)
    harness.dispatcher = harness.new_dispatcher(launcher)
    job = submit(harness.jobs)
    harness.step()
    [handle] = (it.handle for it in harness.dispatcher.tracked.values())
    assert handle
    for _ in range(16):
        harness.step(1)
    harness.jobs.act("cancel", job)
    process = Path(f"/proc/{handle.pid}")

    def has_been_reaped() -> bool:
        harness.step()
        return not process.exists()

    eventually(has_been_reaped, "the worker to be reaped", 10)
    assert harness.dispatcher.tracked == {}
    assert harness.jobs.get(job).lost_workers == 0, "it had not begun"
