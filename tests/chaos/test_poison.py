"""Jobs that kill their workers or need more memory than there is, and machines that sleep."""

import os
import resource
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.campaign import Campaign
from tests.support.ledger import Ledger, freeze, kill
from tests.support.server_process import Server, eventually

SMALL = {"hidden": [32], "batch_size": 512, "epochs": 4}
WIDE = {"hidden": [4096, 2048], "batch_size": 64, "epochs": 1}
MEMORY_GROUPS = Path("/sys/fs/cgroup/memory")


@dataclass
class Machine:
    """A suspended server with its worker, and the order in which they are resumed."""

    server: Server
    job: str
    worker: int
    first: str
    """What is resumed first: `server`, `workers` or `both`."""


@pytest.fixture(scope="module")
def asleep(
    tmp_path_factory: pytest.TempPathFactory, datasets_dir: Path, campaign: Campaign
) -> Iterator[tuple[float, list[Machine]]]:
    """Machines suspended at the beginning of all these tests, and the time of that."""
    machines = []
    for first in campaign.of(("server", "workers"), ("server", "workers", "both")):
        server = Server(tmp_path_factory.mktemp(first) / "data", datasets_dir).start()
        job = server.submit(**SMALL | {"epochs": 12})
        server.wait_for_progress(job, 0.05)
        machines.append(Machine(server, job, worker_of(server, job), first))
        assert freeze(machines[-1].worker)
        time.sleep(2.0)  # so that the server has done a sweep that found no heartbeat
        assert freeze(server.pid)
    yield time.monotonic(), machines
    for machine in machines:
        wake(machine.server.pid, *machine.server.workers())
        machine.server.stop()


def wake(*pids: int) -> None:
    for pid in pids:
        kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, datasets_dir: Path, asleep: object
) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("poison") / "data", datasets_dir)
    server.start()
    yield server
    server.stop()


def worker_of(server: Server, job: str) -> int:
    return eventually(lambda: server.worker(job), "a worker", 60)


def test_five_lost_workers_in_a_row_fail_the_job(server: Server, campaign: Campaign) -> None:
    job = server.submit(hidden=[32], epochs=200)
    log = server.data_dir / "jobs" / job / "worker.log"
    started, deaths = time.monotonic(), 0
    while server.job(job)["state"] in ("queued", "running"):
        assert time.monotonic() < started + 60, f"{deaths} lost workers did not fail the job"
        text = log.read_text() if log.exists() else ""
        if f"attempt {deaths + 1} begins" in text and (pid := server.worker(job)):
            deaths += kill(pid, signal.SIGSEGV)
        time.sleep(0.01)
    found = server.job(job)
    campaign.figure(
        "a job whose workers die before their first checkpoint",
        target="failed, worker_lost, after 5",
        measured=f"{found['state']}, {found['reason']['code']}, after {deaths}, "
        f"in {time.monotonic() - started:.0f} s",
        met=(found["state"], found["reason"]["code"], deaths) == ("failed", "worker_lost", 5),
    )
    assert (found["state"], found["attempt"], found["lost_workers"]) == ("failed", 5, 5)
    assert found["reason"]["code"] == "worker_lost"
    assert "ended by SIGSEGV. Its last log lines:" in found["reason"]["message"]
    assert "attempt 5 begins" in found["reason"]["message"]
    assert deaths == 5


def test_a_diverging_job_reports_epoch_and_step(server: Server, campaign: Campaign) -> None:
    job = server.submit(**SMALL | {"learning_rate": 1000.0, "hidden": [64, 64]})
    found = server.wait(job, "failed", "succeeded")
    campaign.figure(
        "a learning rate of 1000",
        target="diverged, at the first attempt",
        measured=f"{found['reason']['code']}, at attempt {found['attempt']}",
        met=(found["reason"]["code"], found["attempt"]) == ("diverged", 1),
    )
    assert (found["reason"]["code"], found["attempt"]) == ("diverged", 1)
    assert "epoch 1" in found["reason"]["message"]
    assert "step" in found["reason"]["message"]


def test_a_worker_without_memory_reports_it(server: Server, campaign: Campaign) -> None:
    job = server.submit(**WIDE)
    pid = worker_of(server, job)
    resource.prlimit(pid, resource.RLIMIT_AS, (450 * 2**20, 450 * 2**20))
    found = server.wait(job, "failed", "succeeded")
    campaign.figure(
        "a job that runs into its memory limit",
        target="out_of_memory",
        measured=found["reason"]["code"],
        met=found["reason"]["code"] == "out_of_memory",
    )
    assert (found["reason"]["code"], found["attempt"]) == ("out_of_memory", 1)


@pytest.fixture
def memory_group() -> Iterator[Path]:
    """A control group that may use 100 MB."""
    group = MEMORY_GROUPS / f"mlp-service-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(100 * 2**20))
    except OSError as exc:
        pytest.skip(f"no memory cgroup (version 1) can be made here: {exc}")
    yield group
    eventually(lambda: not (group / "cgroup.procs").read_text(), "the group to be empty")
    group.rmdir()


def test_a_job_whose_worker_was_oom_killed_is_tried_again(
    server: Server, campaign: Campaign, memory_group: Path
) -> None:
    job = server.submit(**WIDE)
    (memory_group / "cgroup.procs").write_text(str(worker_of(server, job)))
    ledger = Ledger(server.data_dir)
    lost = eventually(lambda: ledger.events(job, "state")[2:], "the worker to be lost", 60)[0]
    campaign.figure(
        "a worker killed by the kernel's out-of-memory killer",
        target="out_of_memory, and another attempt",
        measured=f"{lost['reason']['code']}, then {lost['state']}",
        met=(lost["reason"]["code"], lost["state"]) == ("out_of_memory", "queued"),
    )
    assert (lost["state"], lost["reason"]["code"]) == ("queued", "out_of_memory")
    eventually(lambda: ledger.row(job)["attempt"] == 2, "another attempt")
    server.act(job, "cancel")
    server.wait(job, "cancelled")


def test_a_suspended_machine_loses_nothing(
    asleep: tuple[float, list[Machine]], campaign: Campaign
) -> None:
    since, machines = asleep
    time.sleep(max(0.0, since + campaign.of(21, 300) - time.monotonic()))
    slept = time.monotonic() - since
    for machine in machines:
        woken = [machine.server.pid, machine.worker]
        if machine.first == "workers":
            woken.reverse()
        wake(*woken[: 2 if machine.first == "both" else 1])
    time.sleep(4)
    for machine in machines:
        wake(machine.server.pid, machine.worker)
    ended = {it.first: it.server.wait(it.job, "succeeded", seconds=90) for it in machines}
    attempts = {first: job["attempt"] for first, job in ended.items()}
    campaign.figure(
        "attempts begun again after a suspension, whatever is resumed first",
        target="0",
        measured=f"{sum(attempts.values()) - len(attempts)} after {slept:.0f} s",
        met=set(attempts.values()) == {1},
    )
    assert set(attempts.values()) == {1}
    assert len({job["weights_sha256"] for job in ended.values()}) == 1
