"""The dispatcher deletes finished jobs beyond the number that is kept, with their files."""

import pytest

from service.store.artifacts import Artifacts
from service.store.files.local import LocalArtifacts
from service.work import dispatcher
from service.work.retention import GRACE_SWEEPS
from tests.conftest import submit
from tests.support.dispatcher_harness import DispatcherHarness
from tests.support.fake_workers import FakeLauncher
from tests.support.job_records import in_state, succeed


def keeping(harness: DispatcherHarness, keep: int | None) -> DispatcherHarness:
    """Give the harness a dispatcher that starts nothing and keeps this many finished jobs."""
    idle = FakeLauncher(capacity=0)
    harness.dispatcher = harness.new_dispatcher(idle, keep_jobs=keep)
    return harness


def sweep(harness: DispatcherHarness, times: int) -> None:
    for _ in range(times):
        harness.step(dispatcher.SWEEP_SECONDS)


def cancelled(harness: DispatcherHarness, count: int) -> list[str]:
    ids = [submit(harness.jobs) for _ in range(count)]
    for job in ids:
        harness.artifacts.put(f"{job}/1/0-0.safetensors", b"arrays")
        harness.jobs.act("cancel", job)
    return ids


def left(harness: DispatcherHarness) -> set[str]:
    return {job.id for job in harness.jobs.page(20).jobs}


def test_finished_jobs_beyond_those_to_keep_are_deleted_with_their_files(
    harness: DispatcherHarness,
) -> None:
    keeping(harness, 2)
    queued = submit(harness.jobs)
    ids = cancelled(harness, 9)
    sweep(harness, GRACE_SWEEPS + 1)
    assert harness.artifacts.folders() == ids[5:]
    harness.step()
    assert harness.artifacts.folders() == ids[5:], "jobs are pruned in each sweep, not in each step"
    sweep(harness, 1)
    assert harness.artifacts.folders() == ids[7:]
    assert left(harness) == {queued, *ids[7:]}


def test_clients_have_time_to_read_how_a_job_ended(harness: DispatcherHarness) -> None:
    """They have it even while there are so many models that every failed job is one too many."""
    keeping(harness, 1)
    model = succeed(harness.database)
    sweep(harness, GRACE_SWEEPS + 5)
    failed = in_state(harness.database, "failed")
    sweep(harness, GRACE_SWEEPS)
    assert left(harness) == {model, failed}
    sweep(harness, 1)
    assert left(harness) == {model}


def test_all_finished_jobs_are_kept_unless_their_number_is_limited(
    harness: DispatcherHarness,
) -> None:
    keeping(harness, None)
    cancelled(harness, 3)
    sweep(harness, GRACE_SWEEPS + 5)
    assert len(left(harness)) == 3


def test_a_server_killed_between_rows_and_files_leaves_files_to_the_next_one(
    harness: DispatcherHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping(harness, 1)
    *_, kept = ids = cancelled(harness, 3)
    seen: list[set[str]] = []

    def killed(artifacts: Artifacts, job: str) -> None:
        seen.append(left(harness))
        raise KeyboardInterrupt("killed here")

    with monkeypatch.context() as patch:
        patch.setattr(LocalArtifacts, "delete_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            sweep(harness, GRACE_SWEEPS + 1)
    assert seen == [{kept}], "no row names files that are being deleted"
    assert harness.artifacts.folders() == ids
    keeping(harness, None)
    sweep(harness, 1)
    assert harness.artifacts.folders() == [kept]
