"""Workers that freeze, are replaced and come back, and those that freeze in a transaction."""

import random
import signal
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from service.store.files.local import Artifacts
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.database import Database
from service.work.dispatcher import LOST_AFTER_SWEEPS, Dispatcher
from service.work.launchers.local import LocalLauncher
from service.work.process import ProcessHandle
from service.work.worker import REPLACED_EXIT
from tests.conftest import submit
from tests.support.campaign import Campaign
from tests.support.fake_workers import Clock
from tests.support.ledger import Ledger, freeze, kill, sqlite_locks
from tests.support.server_process import Server, eventually

AT_ONCE = 4
JOB = {"hidden": [48], "batch_size": 512, "epochs": 15}


class Elsewhere(LocalLauncher):
    """Workers that can't be killed from here, as if on a machine that is cut off."""

    def kill(self, handle: ProcessHandle) -> None:
        pass


class LimitedPool:
    """A dispatcher whose clock a test turns, with real workers."""

    def __init__(self, directory: Path, datasets: Path, clock: Clock) -> None:
        url = f"sqlite:///{directory / 'jobs.sqlite3'}"
        self.directory, self.clock, self.database = directory, clock, Database(url)
        environment = {
            "MLP_DATABASE_URL": url,
            "MLP_ARTIFACTS_DIR": str(directory / "jobs"),
            "MLP_DATASETS_DIR": str(datasets),
        }
        self.launcher = Elsewhere(directory / "jobs", environment, 2 * AT_ONCE)
        self.jobs, self.ledger = JobStore(self.database), Ledger(directory)
        queue, artifacts = Queue(self.database), Artifacts(directory / "jobs")
        self.dispatcher = Dispatcher(queue, self.launcher, artifacts, clock)
        self.exits: dict[int, int | None] = {}

    def step(self, seconds: float = 0.0) -> None:
        self.clock.now += seconds
        self.dispatcher.step()

    def handle(self, job: str, attempt: int) -> ProcessHandle | None:
        watch = self.dispatcher._tracked.get((job, attempt))
        return watch.handle if watch else None

    def end(self) -> None:
        for child in self.launcher._children.values():
            child.process.kill()
            child.process.wait()
        self.database.close()


@pytest.fixture
def workshop(tmp_path: Path, database_url: str, datasets_dir: Path) -> Iterator[LimitedPool]:
    workshop = LimitedPool(tmp_path, datasets_dir, Clock())
    yield workshop
    workshop.end()


def freeze_soon(handle: ProcessHandle, moment: random.Random) -> None:
    """Stop a worker at a random moment, but for transactions: those are the other test's below."""
    time.sleep(moment.uniform(0, 1.0))
    freeze(handle.pid)


def test_replaced_workers_that_come_back_change_nothing(
    workshop: LimitedPool, campaign: Campaign
) -> None:
    rounds, moment = campaign.of(1, 8), random.Random(3)
    found = [one_round(workshop, moment) for _ in range(rounds)]
    rows, files, codes, sums = ([*chain(*column)] for column in zip(*found, strict=True))
    stale = sum(rows)
    campaign.figure("stale writes accepted", target="0", measured=stale, met=stale == 0)
    campaign.figure(
        "files of a replaced attempt left", target="0", measured=len(files), met=not files
    )
    left = codes.count(REPLACED_EXIT)
    campaign.figure(
        "zombies that left by themselves (exit code 75)",
        target=f"{len(codes)} of {len(codes)}",
        measured=left,
        met=left == len(codes),
    )
    assert (stale, files, set(codes)) == (0, [], {REPLACED_EXIT})
    assert len(set(sums)) == 1
    assert None not in sums


def one_round(
    workshop: LimitedPool, moment: random.Random
) -> tuple[list[bool], list[str], list[int | None], list[str | None]]:
    """Freeze some workers at once until they are replaced, let them come back, look."""
    jobs = [submit(workshop.jobs, **JOB) for _ in range(AT_ONCE)]
    workshop.step()
    old = {job: workshop.handle(job, 1) for job in jobs}
    begun(workshop, jobs)
    for handle in old.values():
        assert handle
        freeze_soon(handle, moment)
    alive = [job for job, handle in old.items() if handle and handle.is_alive()]
    for _ in range(LOST_AFTER_SWEEPS + 2):
        workshop.step(1)
    begun(workshop, alive)
    news = [handle for job in alive if (handle := workshop.handle(job, 2))]
    for handle in news:  # so that whatever changes now, a zombie has done it
        freeze_soon(handle, moment)
    before = [content(workshop, job) for job in jobs]
    codes = []
    for job in alive:
        handle = old[job]
        assert handle
        child = workshop.launcher._children[handle]
        kill(handle.pid, signal.SIGCONT)
        codes.append(child.process.wait(60))
    rows = [content(workshop, job) != was for job, was in zip(jobs, before, strict=True)]
    for handle in news:
        kill(handle.pid, signal.SIGCONT)
    for job in jobs:
        eventually(lambda job=job: over(workshop, job), f"{job} to end", 90)
    workshop.step(1)
    eventually(lambda: (workshop.step(1), not workshop.dispatcher._tracked)[1], "the last reaped")
    sums = [workshop.ledger.row(job)["weights_sha256"] for job in jobs]
    return rows, sorted(workshop.ledger.strangers()), codes, sums


def begun(workshop: LimitedPool, jobs: list[str]) -> None:
    try:
        for job in jobs:
            eventually(lambda job=job: workshop.ledger.row(job)["handle"], f"{job} to beat", 60)
    except AssertionError as exc:
        logs = sorted(workshop.directory.rglob("worker.log"))
        told = [f"{path.parent.name}: {path.read_text()[-1000:]}" for path in logs]
        exc.add_note("\n".join([*(f"{job} {workshop.ledger.row(job)}" for job in jobs), *told]))
        raise


def over(workshop: LimitedPool, job: str) -> bool:
    workshop.step(0.05)  # hardly faster than real time: a worker must have time to beat
    return workshop.ledger.row(job)["state"] == "succeeded"


def content(workshop: LimitedPool, job: str) -> list[Any]:
    number = workshop.ledger.query("SELECT number FROM jobs WHERE id = ?", job)[0][0]
    tables = {"jobs": "number", "events": "job", "epochs": "job", "checkpoints": "job"}
    return [
        workshop.ledger.query(f"SELECT * FROM {table} WHERE {column} = ?", number)
        for table, column in tables.items()
    ]


# --- Inside a transaction ---


@pytest.mark.parametrize("lock", ["reserved", "exclusive"])
def test_a_worker_frozen_inside_a_transaction_does_not_hold_up_the_others(
    server: Server, campaign: Campaign, lock: str
) -> None:
    times, answers, attempts = campaign.of(1, 10), [], []
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
    """Stop the job's worker while it holds `lock`, and no stronger one."""
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
    raise AssertionError(f"nobody could write for a minute, {refused} were refused")
