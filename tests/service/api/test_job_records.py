"""The records that clients read, built from stored jobs."""

import pytest

from mlp_client.job_state import State
from service.api.job_records import epoch_record, job_record
from service.store.attempts import SUCCEEDED
from service.store.jobs import JobStore
from service.store.sql.database import Database
from tests.conftest import submit
from tests.support.job_records import DONE, epoch, in_state, saved, started, stored_epoch, succeed


def test_progress_is_worked_out_from_the_cursor(database: Database, jobs: JobStore) -> None:
    attempt = started(database, epochs=4, batch_size=6000)  # 10 batches an epoch
    attempt.heartbeat((1, 5), [epoch(1, seconds=2.0)])
    progress = job_record(jobs.get(attempt.job)).progress
    assert (progress.epochs_done, progress.epochs) == (1, 4)
    assert (progress.batches_done, progress.batches_per_epoch) == (5, 10)
    assert progress.fraction == 1.5 / 4
    assert progress.eta_seconds == 2.5 * 2.0


def test_before_the_first_epoch_the_cost_model_estimates_the_time_left(
    database: Database, jobs: JobStore
) -> None:
    attempt = started(database, epochs=4, batch_size=6000)
    attempt.heartbeat((0, 5))
    job = job_record(jobs.get(attempt.job))
    assert job.progress.eta_seconds == pytest.approx(job.cost.seconds * 3.5 / 4, abs=0.06)


@pytest.mark.parametrize("state", [state for state in State if state != "running"])
def test_only_a_running_job_has_a_time_left(
    database: Database, jobs: JobStore, state: State
) -> None:
    assert job_record(jobs.get(in_state(database, state))).progress.eta_seconds is None


def test_metrics_are_the_latest_best_and_final_epoch(database: Database, jobs: JobStore) -> None:
    attempt = started(database, epochs=3)
    epochs = [epoch(1, accuracy=0.8), epoch(2, accuracy=0.9), epoch(3, accuracy=0.9)]
    attempt.heartbeat((2, 0), epochs[:2])
    _, second, third = (epoch_record(stored_epoch(epoch)) for epoch in epochs)
    metrics = job_record(jobs.get(attempt.job)).metrics
    assert (metrics.latest, metrics.best, metrics.final) == (second, second, None)
    attempt.end(SUCCEEDED, DONE, saved(attempt, 3), epochs[2:])
    metrics = job_record(jobs.get(attempt.job)).metrics
    assert (metrics.latest, metrics.best, metrics.final) == (third, second, third)


def test_links_lead_to_the_job(jobs: JobStore) -> None:
    id_ = submit(jobs)
    links = job_record(jobs.get(id_)).links
    assert (links.self, links.epochs) == (f"/v1/jobs/{id_}", f"/v1/jobs/{id_}/epochs")
    assert links.predict == f"/v1/models/{id_}/predict"


def test_the_checkpoint_is_the_newest_that_counts(database: Database, jobs: JobStore) -> None:
    attempt = started(database, epochs=3)
    assert job_record(jobs.get(attempt.job)).checkpoint is None
    for epochs_done, batches_done in [(0, 7), (1, 0), (1, 5)]:
        attempt.commit(saved(attempt, epochs_done, batches_done), [])
        checkpoint = job_record(jobs.get(attempt.job)).checkpoint
        assert checkpoint
        assert (checkpoint.epochs_done, checkpoint.batches_done) == (epochs_done, batches_done)
        assert checkpoint.sha256 == "0" * 64


def test_a_list_has_the_checkpoint_of_each_job(database: Database, jobs: JobStore) -> None:
    trained = succeed(database, name="trained")
    waiting = submit(jobs)
    found = {job.id: job_record(job).checkpoint for job in jobs.page(10).jobs}
    assert found.pop(waiting) is None
    [(id_, checkpoint)] = found.items()
    assert (id_, checkpoint and checkpoint.epochs_done) == (trained, 1)
