"""Each host deletes the logs of jobs that have been deleted, wherever that was done."""

from pathlib import Path

import pytest

from service.store import worker_logs
from service.store.jobs import JobStore
from service.store.sql.database import Database
from service.store.worker_logs import WorkerLogs
from tests.conftest import submit


def test_logs_stay_as_long_as_their_jobs(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_logs, "LOOKED_UP_TOGETHER", 2)
    jobs = JobStore(database)
    kept = {submit(jobs) for _ in range(3)}
    deleted = [submit(jobs) for _ in range(2)]
    for job in (*kept, *deleted, "ev_unknown"):
        (tmp_path / "logs" / job).mkdir(parents=True)
        (tmp_path / "logs" / job / "worker.log").write_text("trained\n")
    (tmp_path / "logs" / "README").write_text("not a folder of the service")
    for job in deleted:
        jobs.act("cancel", job)
        jobs.delete(job)
    WorkerLogs(database, tmp_path / "logs").delete_unneeded()
    assert {path.name for path in (tmp_path / "logs").iterdir()} == kept | {"README"}


def test_a_host_without_logs_has_nothing_to_delete(database: Database, tmp_path: Path) -> None:
    WorkerLogs(database, tmp_path / "logs").delete_unneeded()
