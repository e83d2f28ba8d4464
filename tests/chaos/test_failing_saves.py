"""Saves of which one call fails, as on a disk that is full or broken."""

import errno
from pathlib import Path
from typing import Any

import pytest

from service.domain.errors import Replaced, StoreBroken, StoreFull
from service.store.attempts import Attempt
from service.store.jobs import JobStore
from service.store.sql.database import Database
from service.work import artifact_gc
from tests.conftest import submit
from tests.support.campaign import Campaign
from tests.support.failing_calls import FailingCalls
from tests.support.job_records import claim, query
from tests.support.ledger import Ledger
from tests.support.syscall_tracing import needs_strace, strace
from tests.support.worker_harness import TINY, WorkerHarness


def test_each_call_of_a_save_may_fail(
    workers: WorkerHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, campaign: Campaign
) -> None:
    undisturbed = submit(workers.jobs, **TINY)
    workers.run(undisturbed)
    sha256 = workers.jobs.get(undisturbed).weights_sha256
    failing, at, calls = FailingCalls(monkeypatch), 0, 1
    with campaign.cases("jobs harmed by one failing call of a save") as case:
        while at < calls:
            at += campaign.of(2, 1)
            failing.fail_at(at, (errno.ENOSPC, errno.EIO)[at // 2 % 2])
            job = submit(workers.jobs, **TINY)
            with case():
                assert workers.run(job) == "succeeded", f"call {at}"
                calls = failing.count
                assert workers.jobs.get(job).weights_sha256 == sha256
                assert left_over(workers, job) == set(), f"call {at}"
    Ledger(tmp_path).check_checkpoints()


def left_over(workers: WorkerHarness, job: str) -> set[str]:
    """Return the files that no row names and garbage collection leaves."""
    artifact_gc.collect(workers.queue, workers.artifacts, job, delete_if_unknown=True)
    _, saved, snapshots = workers.jobs.with_snapshots(job)
    named = {file.key for file in (*saved, *(snapshot.file for snapshot in snapshots))}
    return set(workers.artifacts.keys(job)) - named


@pytest.mark.parametrize("happened", [True, False], ids=["but was done", "and was not done"])
@pytest.mark.parametrize("name", ["heartbeat", "commit", "end"])
def test_a_transaction_that_seems_to_fail_is_repeated(
    workers: WorkerHarness, monkeypatch: pytest.MonkeyPatch, name: str, happened: bool
) -> None:
    """When the last sync of a commit fails, its outcome is unknown."""
    undisturbed, job = (submit(workers.jobs, **TINY) for _ in range(2))
    workers.run(undisturbed)
    real, fails = getattr(Attempt, name), iter([False, True, True, False, True] * 99)

    def flaky(self: Attempt, *arguments: Any) -> Any:
        if not next(fails):
            return real(self, *arguments)
        if happened:
            real(self, *arguments)
        raise StoreBroken("the database failed: disk I/O error")

    monkeypatch.setattr(Attempt, name, flaky)
    if name == "end" and happened:
        next(fails)
        with pytest.raises(Replaced):  # its first try has ended the attempt
            workers.run(job)
    else:
        workers.run(job, tick=0.4)
    done = workers.jobs.get(job)
    assert (done.state, done.lost_workers) == ("succeeded", 0)
    assert done.weights_sha256 == workers.jobs.get(undisturbed).weights_sha256
    assert [epoch["epoch"] for epoch in workers.jobs.epochs(job)] == [1, 2, 3, 4]
    named = [saved.key for saved in workers.saved(job)]
    assert len(set(named)) == len(named)
    assert left_over(workers, job) == set()


def test_a_full_database_is_distinguished_from_a_broken_one(
    database: Database, jobs: JobStore
) -> None:
    with database.read() as transaction:
        [found] = transaction.rows("PRAGMA page_count")
    submit(jobs)

    def grow() -> None:
        with database.write() as transaction:
            transaction.execute(f"PRAGMA max_page_count={found['page_count']}")
            transaction.execute("CREATE TABLE big AS SELECT zeroblob(9999999) AS zeros")

    with pytest.raises(StoreFull, match="full"):
        grow()
    submit(jobs)
    assert query(database, "SELECT count(*) FROM jobs") == [(2,)]


CALLS = ("write", "pwrite64", "fsync", "fdatasync", "rename", "unlink", "mkdir", "ftruncate")


@needs_strace
def test_each_system_call_of_a_save_may_fail(
    tmp_path: Path, database: Database, campaign: Campaign
) -> None:
    """Some of the calls are SQLite's own, after which SQLite must recover by itself."""
    small = [("fdatasync", "EIO"), ("pwrite64", "ENOSPC")]
    pairs = campaign.of(small, [(call, code) for call in CALLS for code in ("ENOSPC", "EIO")])
    injected = 0
    with campaign.cases("saves harmed by one failing system call") as case:
        for call, code in pairs:
            for at in campaign.of([2], range(1, 1000)):
                trace = ""
                with case():
                    inject = f"inject={call}:error={code}:when={at}"
                    trace = save_with_a_fault(tmp_path, database, inject)
                if "(INJECTED)" not in trace:
                    break
                injected += 1
    assert injected >= len(pairs)


def save_with_a_fault(folder: Path, database: Database, inject: str) -> str:
    """Let a worker save while one of its calls fails; return the trace of that call."""
    jobs = JobStore(database)
    job = submit(jobs, **TINY)
    claim(database, job)
    program = ["-m", "tests.support.checkpoint_saver", str(folder), job]
    call = inject.partition("=")[2].partition(":")[0]
    trace = strace(["-e", f"trace={call}", "-e", inject], program, PYTHONDONTWRITEBYTECODE="1")
    if jobs.get(job).state == "running":  # it failed before it began; the next worker succeeds
        assert "StoreBroken" in trace or "StoreFull" in trace, trace
        strace(["-e", "trace=none"], program)
    done, saved = jobs.with_checkpoints(job)
    assert (done.state, done.lost_workers, len(saved)) == ("queued", 0, 1), f"{inject}: {trace}"
    Ledger(folder).check_checkpoints()
    assert [path.name for path in (folder / "jobs" / job / "1").iterdir()] == [
        Path(saved[0].key).name
    ]
    jobs.act("cancel", job)
    return trace
