"""The worker as a program of its own: arguments, exit codes, signals and limits."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.database import Database
from service.work.exit_codes import REPLACED_EXIT
from service.work.process_handle import ProcessHandle
from tests.conftest import QUICK, submit
from tests.support.job_records import claim, content
from tests.support.server_process import eventually


@pytest.fixture
def worker_environment(database_url: str, datasets_dir: Path, tmp_path: Path) -> dict[str, str]:
    return {
        "MLP_DATABASE_URL": database_url,
        "MLP_ARTIFACTS_URL": str(tmp_path / "jobs"),
        "MLP_DATASETS_DIR": str(datasets_dir),
        "OPENBLAS_NUM_THREADS": "1",
    }


def start_worker(
    job: str, attempt: int, worker_environment: dict[str, str]
) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-m", "service.work.worker"]
    command += [job, "--attempt", str(attempt)]
    environment = os.environ | worker_environment
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def test_the_program_trains_a_job_and_a_second_start_changes_nothing(
    jobs: JobStore, database: Database, worker_environment: dict[str, str]
) -> None:
    job = submit(jobs, **QUICK)
    claim(database, job)
    first = start_worker(job, 1, worker_environment)
    _, log = first.communicate(timeout=60)
    assert (first.returncode, jobs.get(job).state) == (0, "succeeded"), log
    assert "attempt 1 begins" in log
    before = content(database)
    second = start_worker(job, 1, worker_environment)
    _, log = second.communicate(timeout=60)
    assert second.returncode == REPLACED_EXIT == 75
    assert f"Attempt 1 of job {job} is over" in log
    assert content(database) == before


@pytest.fixture
def long_run(
    jobs: JobStore, database: Database, worker_environment: dict[str, str]
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    job = submit(jobs, preset="mlp-relu", epochs=500)
    claim(database, job)
    worker = start_worker(job, 1, worker_environment)
    eventually(lambda: jobs.get(job).batches_done, "the worker to train")
    yield job, worker
    worker.kill()
    worker.communicate()


def test_the_program_exits_at_a_signal_with_its_work_saved(
    jobs: JobStore, long_run: tuple[str, subprocess.Popen[str]]
) -> None:
    job, worker = long_run
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=10)
    assert worker.returncode == 0
    left, saved = jobs.with_checkpoints(job)
    assert (left.state, left.lost_workers) == ("queued", 0)
    assert saved != []


def test_the_program_has_a_low_priority_and_its_limits(
    queue: Queue, jobs: JobStore, long_run: tuple[str, subprocess.Popen[str]]
) -> None:
    job, worker = long_run
    [row] = queue.active()
    assert ProcessHandle.from_record(row.handle) == ProcessHandle.of(worker.pid)
    assert os.getpriority(os.PRIO_PROCESS, worker.pid) == os.getpriority(os.PRIO_PROCESS, 0) + 5
    limit = 2 * 1024**3 + 3 * (jobs.get(job).cost["bytes"] + 16 * 1024**2)
    limit += 5 * 70_000 * 785  # MNIST, and twice its layout
    assert resource.prlimit(worker.pid, resource.RLIMIT_AS) == (limit, limit)
    assert resource.prlimit(worker.pid, resource.RLIMIT_CORE) == (0, 0)
    threads = Path(f"/proc/{worker.pid}/task")
    what = "a moment with one thread: another one may evaluate meanwhile"
    eventually(lambda: len(list(threads.iterdir())) == 1, what)
