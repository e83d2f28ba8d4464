"""The epochs of many jobs, as arrays."""

import numpy as np
import pytest

from service.store.epoch_arrays import EPOCH_FIELDS
from service.store.jobs import JobStore
from service.store.sql import transaction
from service.store.sql.database import Database
from tests.conftest import submit
from tests.support.job_records import epoch, query, started


@pytest.mark.parametrize("rows", [1, 3, 10_000])
def test_each_job_has_its_own_epochs_in_order(
    database: Database, jobs: JobStore, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "PIECE_ROWS", rows)
    first, second, waiting = started(database), started(database), submit(jobs)
    second.heartbeat((2, 0), [epoch(1, loss=3.0), epoch(2, loss=1.0)])
    first.heartbeat((1, 0), [epoch(1, loss=2.0)])
    found = jobs.epoch_arrays([waiting, second.job, "job_x", first.job])
    assert set(found) == {waiting, second.job, first.job}
    assert found[second.job].tolist() == [[1, 3, 0.9, 3, 0.9, 2], [2, 1, 0.9, 1, 0.9, 2]]
    assert found[first.job][0, EPOCH_FIELDS.index("test_loss")] == 2
    assert found[waiting].shape == (0, len(EPOCH_FIELDS))
    assert jobs.epoch_arrays([second.job], after=1)[second.job].tolist() == [[2, 1, 0.9, 1, 0.9, 2]]
    assert jobs.last_epochs([waiting, second.job, "job_x"]) == {waiting: 0, second.job: 2}


def test_no_job_is_asked_for(jobs: JobStore) -> None:
    assert (jobs.epoch_arrays([]), jobs.last_epochs([])) == ({}, {})
    assert jobs.epoch_arrays(["job_x"]) == {}


def test_an_owner_sees_the_epochs_of_its_own_jobs_only(database: Database, jobs: JobStore) -> None:
    attempt = started(database)
    attempt.heartbeat((1, 0), [epoch(1)])
    query(database, "UPDATE jobs SET owner = 'ada'")
    ada, eve = (jobs.seen_by(owner, everything=False) for owner in ("ada", "eve"))
    assert np.array_equal(ada.epoch_arrays([attempt.job])[attempt.job][:, 0], [1])
    assert (eve.epoch_arrays([attempt.job]), eve.last_epochs([attempt.job])) == ({}, {})
