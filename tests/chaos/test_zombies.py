"""Workers that freeze, are replaced and continue, and workers that freeze in a transaction."""

import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from service.store.dataset_files import DatasetFiles
from service.store.files.local import LocalArtifacts
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.database import Database
from service.store.stored_dataset import MNIST
from service.work.artifact_gc import JobLeftovers
from service.work.dispatcher import Dispatcher
from service.work.exit_codes import REPLACED_EXIT
from service.work.launchers.local import LocalLauncher
from service.work.lost_workers import LOST_AFTER_SWEEPS
from service.work.process_handle import ProcessHandle
from tests.conftest import submit
from tests.support.campaign import Campaign
from tests.support.fake_workers import Clock
from tests.support.ledger import Ledger, freeze, kill, sqlite_locks
from tests.support.server_process import Server, eventually

CONCURRENT = 4
JOB = {"hidden": [48], "batch_size": 512, "epochs": 15}


class UnreachableWorkers(LocalLauncher):
    """Workers that can't be killed from here, as if their machine were disconnected."""

    def __init__(self, directory: Path, environment: dict[str, str], capacity: int) -> None:
        super().__init__(directory, environment, capacity)
        self.started: list[ProcessHandle] = []

    def start(self, job: str, attempt: int) -> ProcessHandle:
        self.started.append(super().start(job, attempt))
        return self.started[-1]

    def kill(self, handle: ProcessHandle) -> None:
        pass

    def close(self) -> None:
        """End what still runs, and leave no zombies."""
        for handle in self.started:
            handle.send_signal(signal.SIGKILL)
        eventually(lambda: len(self.poll(self.started)) == len(self.started), "all to end")


class Host:
    """A dispatcher with real workers and a clock that the test moves."""

    def __init__(self, directory: Path, datasets: Path) -> None:
        url = f"sqlite:///{directory / 'jobs.sqlite3'}"
        self.directory, self.clock, self.database = directory, Clock(), Database(url)
        environment = {
            "MLP_DATABASE_URL": url,
            "MLP_ARTIFACTS_URL": str(directory / "jobs"),
            "MLP_DATASETS_DIR": str(datasets),
        }
        self.launcher = UnreachableWorkers(directory / "jobs", environment, 2 * CONCURRENT)
        self.jobs, self.ledger = JobStore(self.database), Ledger(directory)
        queue = Queue(self.database)
        leftovers = JobLeftovers(queue, LocalArtifacts(directory / "jobs"))
        self.dispatcher = Dispatcher(queue, self.launcher, leftovers, self.clock)

    def step(self, seconds: float = 0.0) -> None:
        self.clock.now += seconds
        self.dispatcher.step()

    def handle(self, job: str, attempt: int) -> ProcessHandle | None:
        worker = self.dispatcher.tracked.get((job, attempt))
        return worker.handle if worker else None

    def has_succeeded(self, job: str) -> bool:
        self.step(0.05)  # hardly faster than real time: a worker must have time for heartbeats
        return bool(self.ledger.row(job)["state"] == "succeeded")

    def has_reaped_all(self) -> bool:
        self.step(1)
        return not self.dispatcher.tracked

    def rows_of(self, job: str) -> list[Any]:
        """Return everything that the database holds about a job."""
        number = self.ledger.query("SELECT number FROM jobs WHERE id = ?", job)[0][0]
        tables = {"jobs": "number", "events": "job", "epochs": "job", "checkpoints": "job"}
        return [
            self.ledger.query(f"SELECT * FROM {table} WHERE {column} = ?", number)
            for table, column in tables.items()
        ]


@pytest.fixture
def host(tmp_path: Path, database_url: str, datasets_dir: Path) -> Iterator[Host]:
    # A worker that froze while it made the layout would block all.
    DatasetFiles(datasets_dir).data_layout(MNIST.sha256)
    host = Host(tmp_path, datasets_dir)
    yield host
    host.launcher.close()
    host.database.close()


def freeze_soon(handle: ProcessHandle, moment: random.Random) -> None:
    """Stop a worker at a random moment outside of transactions: those are tested below."""
    time.sleep(moment.uniform(0, 1.0))
    freeze(handle.pid)


def exit_code_of(handle: ProcessHandle) -> int | None:
    """Wait for a worker's end; return its exit code and leave it to be reaped."""
    options = os.WEXITED | os.WNOWAIT | os.WNOHANG
    found = eventually(lambda: os.waitid(os.P_PID, handle.pid, options), f"{handle} to end", 60)
    return found.si_status if found.si_code == os.CLD_EXITED else None


def test_replaced_workers_that_continue_change_nothing(host: Host, campaign: Campaign) -> None:
    moment = random.Random(3)
    rounds = [one_round(host, moment) for _ in range(campaign.of(1, 8))]
    stale = sum(it.stale_writes for it in rounds)
    files = [file for it in rounds for file in it.files]
    codes = [code for it in rounds for code in it.exit_codes]
    sums = [sha256 for it in rounds for sha256 in it.weights]
    campaign.figure("stale writes accepted", target="0", measured=stale, met=stale == 0)
    campaign.figure(
        "files of a replaced attempt left", target="0", measured=len(files), met=not files
    )
    left = codes.count(REPLACED_EXIT)
    campaign.figure(
        "replaced workers that exited by themselves (exit code 75)",
        target=f"{len(codes)} of {len(codes)}",
        measured=left,
        met=left == len(codes),
    )
    assert (stale, files, set(codes)) == (0, [], {REPLACED_EXIT})
    assert len(set(sums)) == 1
    assert None not in sums


@dataclass(frozen=True)
class Round:
    """What frozen workers did when they continued after they had been replaced."""

    stale_writes: int
    files: list[str]
    exit_codes: list[int | None]
    weights: list[str | None]


def one_round(host: Host, moment: random.Random) -> Round:
    """Freeze several workers until they are replaced, let them continue, and look."""
    jobs = [submit(host.jobs, **JOB) for _ in range(CONCURRENT)]
    frozen, replacements = freeze_until_replaced(host, jobs, moment)
    for handle in replacements:  # whatever changes now, a replaced worker has changed it
        freeze_soon(handle, moment)
    before = [host.rows_of(job) for job in jobs]
    codes = []
    for handle in frozen:
        kill(handle.pid, signal.SIGCONT)
        codes.append(exit_code_of(handle))
    stale = sum(host.rows_of(job) != rows for job, rows in zip(jobs, before, strict=True))
    for handle in replacements:
        kill(handle.pid, signal.SIGCONT)
    for job in jobs:
        eventually(partial(host.has_succeeded, job), f"{job} to end", 90)
    host.step(1)
    eventually(host.has_reaped_all, "the last workers to be reaped")
    weights = [host.ledger.row(job)["weights_sha256"] for job in jobs]
    return Round(stale, sorted(host.ledger.strangers()), codes, weights)


def freeze_until_replaced(
    host: Host, jobs: list[str], moment: random.Random
) -> tuple[list[ProcessHandle], list[ProcessHandle]]:
    """Return the frozen workers and those of the next attempts, which have begun."""
    host.step()
    workers = {job: handle for job in jobs if (handle := host.handle(job, 1))}
    assert len(workers) == len(jobs)
    wait_for_handles(host, jobs)
    for handle in workers.values():
        freeze_soon(handle, moment)
    frozen = {job: handle for job, handle in workers.items() if handle.is_alive()}
    for _ in range(LOST_AFTER_SWEEPS + 2):
        host.step(1)
    wait_for_handles(host, list(frozen))
    replacements = [handle for job in frozen if (handle := host.handle(job, 2))]
    return list(frozen.values()), replacements


def wait_for_handles(host: Host, jobs: list[str]) -> None:
    """Wait for the first heartbeat of each job's worker."""
    try:
        for job in jobs:
            what = f"the first heartbeat of {job}"
            eventually(partial(lambda job: host.ledger.row(job)["handle"], job), what, 60)
    except AssertionError as exc:
        logs = sorted(host.directory.rglob("worker.log"))
        texts = [f"{path.parent.name}: {path.read_text()[-1000:]}" for path in logs]
        exc.add_note("\n".join([*(f"{job} {host.ledger.row(job)}" for job in jobs), *texts]))
        raise


# --- Inside a transaction ---


@pytest.mark.parametrize("lock", ["reserved", "exclusive"])
def test_a_worker_frozen_inside_a_transaction_does_not_block_the_others(
    server: Server, campaign: Campaign, lock: str
) -> None:
    times = campaign.of(1, 10)
    answers: list[tuple[float, int]] = []
    attempts: list[int] = []
    for _ in range(times):
        job = server.submit(hidden=[48], epochs=10, batch_size=512)
        catch(server, job, lock)
        answers.append(first_submission(server))
        server.wait(job, "succeeded", seconds=100)
        attempts.append(server.job(job)["attempt"])
    longest, refused = max(seconds for seconds, _ in answers), sum(n for _, n in answers)
    campaign.figure(
        f"seconds until a client can write again ({lock} lock)",
        target="8",
        measured=f"{longest:.1f} at most in {times}, with {refused} answers 503 before",
        met=longest <= 8,
    )
    assert longest < 12
    assert attempts == [2] * times


def catch(server: Server, job: str, lock: str) -> int:
    """Stop the job's worker while it holds `lock` and no stronger one; return its pid."""
    pid = eventually(lambda: server.worker(job), "a worker")
    strong = {"reserved", "pending", "exclusive"}
    wanted = {"reserved"} if lock == "reserved" else strong
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if sqlite_locks(pid) & strong == wanted:
            kill(pid, signal.SIGSTOP)
            eventually(lambda: ") T " in Path(f"/proc/{pid}/stat").read_text(), "it to stop")
            if sqlite_locks(pid) & strong == wanted:
                return pid
            kill(pid, signal.SIGCONT)
    raise AssertionError(f"the worker was never caught with its {lock} lock")


def first_submission(server: Server) -> tuple[float, int]:
    """Submit until it is accepted; return the seconds it took and the answers 503 before."""
    started, refused = time.monotonic(), 0
    while time.monotonic() < started + 60:
        answer = server.http.post("/v1/jobs", json={"preset": "linear", "epochs": 1})
        if answer.status_code == 201:
            return time.monotonic() - started, refused
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1"), answer.text
        refused += 1
        time.sleep(1)
    raise AssertionError(f"nothing could be written for a minute, {refused} were refused")
