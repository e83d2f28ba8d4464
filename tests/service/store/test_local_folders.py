"""Each host deletes its folders of what has been deleted or ended, wherever that was done."""

from pathlib import Path

import pytest

from service.store import local_folders
from service.store.jobs import JobStore
from service.store.local_folders import (
    CHECK_LOGS_NEEDED,
    LOGS_NEEDED,
    UPLOADS_NEEDED,
    LocalFolders,
)
from service.store.sql.database import Database
from tests.conftest import submit
from tests.support.stored_datasets import DatasetHarness


def test_logs_stay_as_long_as_their_jobs(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_folders, "LOOKED_UP_TOGETHER", 2)
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
    LocalFolders(database, tmp_path / "logs", LOGS_NEEDED).delete_unneeded()
    assert {path.name for path in (tmp_path / "logs").iterdir()} == kept | {"README"}


def test_a_host_without_logs_has_nothing_to_delete(database: Database, tmp_path: Path) -> None:
    LocalFolders(database, tmp_path / "logs", LOGS_NEEDED).delete_unneeded()


def test_what_was_sent_is_kept_until_it_is_checked_and_the_log_as_long_as_the_set(
    database: Database, tmp_path: Path
) -> None:
    sets = DatasetHarness(database, tmp_path)
    ready, deleted = sets.ready("ready", seed=1).id, sets.ready("deleted", seed=2).id
    waiting = sets.send("waiting").id
    sets.store.delete("deleted")
    for id_ in (ready, deleted, waiting):
        (sets.logs / id_).mkdir(parents=True)
    LocalFolders(database, sets.uploads.directory, UPLOADS_NEEDED).delete_unneeded()
    LocalFolders(database, sets.logs, CHECK_LOGS_NEEDED).delete_unneeded()
    assert [path.name for path in sets.uploads.directory.iterdir()] == [waiting]
    assert {path.name for path in sets.logs.iterdir()} == {ready, waiting}
