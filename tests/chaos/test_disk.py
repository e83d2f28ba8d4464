"""Disks that are full or read-only while the service runs and jobs train."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.campaign import Campaign
from tests.support.ledger import Ledger
from tests.support.server_process import Server, eventually


def can_mount() -> bool:
    tried = subprocess.run(["unshare", "-m", "true"], capture_output=True)
    return os.geteuid() == 0 and tried.returncode == 0


needs_mounts = pytest.mark.skipif(not can_mount(), reason="only root may mount file systems")
JOB = {"preset": "linear", "batch_size": 64, "epochs": 6}
RETRY = ("retry-after", "1")


# --- Full ---


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder = tmp_path / "data"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Fill the disk to the last byte."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    return ballast


@needs_mounts
def test_a_full_disk_refuses_new_work_and_costs_no_job(
    small_disk: Path, datasets_dir: Path, campaign: Campaign
) -> None:
    server = Server(small_disk, datasets_dir).start()
    try:
        survive_a_full_disk(server, campaign)
    finally:
        server.stop()


def survive_a_full_disk(server: Server, campaign: Campaign) -> None:
    spec = JOB | {"epochs": campaign.of(12, 100)}
    undisturbed = server.wait(server.submit(**JOB | {"epochs": 2}), "succeeded")["id"]
    jobs = [server.submit(**spec, seed=seed) for seed in (1, 1)]
    for job in jobs:
        wait_for_checkpoint(server, job)
    refused: list[httpx2.Response] = []
    for _ in range(campaign.of(1, 3)):
        ballast = fill(server.data_dir)
        refused += use_full_disk(server, [undisturbed, *jobs], seconds=campaign.of(2, 30))
        ballast.unlink()
        submitted = time.monotonic()
        eventually(lambda: server.http.get("/readyz").status_code == 200, "the service to be ready")
        jobs.append(server.submit(**spec))
        seconds = time.monotonic() - submitted
    ended = [server.wait(job, "succeeded", "failed", seconds=240) for job in jobs]
    note_full_disk(campaign, refused, ended, seconds)
    codes = {(answer.status_code, answer.json()["code"]) for answer in refused}
    assert (507, "disk-full") in codes <= {(507, "disk-full"), (503, "store-unavailable")}
    assert all(RETRY in answer.headers.items() for answer in refused)
    assert [job["state"] for job in ended] == ["succeeded"] * len(jobs)
    assert [job["lost_workers"] for job in ended] == [0] * len(jobs)
    assert len({job["weights_sha256"] for job in ended}) == 1
    Ledger(server.data_dir).check_checkpoints()
    assert "Traceback" not in server.log()


def use_full_disk(server: Server, jobs: list[str], seconds: float) -> list[httpx2.Response]:
    """Use the service while its disk is full; return the answers to submissions."""
    refused, unready = [], 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        fill(server.data_dir)  # a deleted file may have given space back
        refused.append(server.http.post("/v1/jobs", json=JOB))
        unready += server.http.get("/readyz").status_code == 503
        reads(server, jobs[0], jobs[1:])
        time.sleep(0.2)
    assert unready > 0
    return refused


def note_full_disk(
    campaign: Campaign, refused: list[httpx2.Response], ended: list[dict[str, Any]], seconds: float
) -> None:
    statuses = {answer.status_code for answer in refused}
    campaign.figure(
        "answers to submissions on a full disk",
        target="507 or 503, with Retry-After",
        measured=f"{', '.join(map(str, sorted(statuses)))} to {len(refused)} submissions",
        met=statuses <= {503, 507},
    )
    good = len({job["weights_sha256"] for job in ended}) == 1
    lost = sum(job["state"] != "succeeded" for job in ended)
    campaign.figure(
        "jobs that failed, were lost or ended with other bytes",
        target="0",
        measured=lost if good else "other bytes",
        met=good and not lost,
    )
    campaign.figure(
        "seconds from space to the next accepted job",
        target="≤ 5",
        measured=f"{seconds:.2f}",
        met=seconds <= 5,
    )


def wait_for_checkpoint(server: Server, job: str) -> None:
    weights = f"/v1/models/{job}/weights.safetensors"
    eventually(lambda: server.http.get(weights).status_code == 200, "a checkpoint", 60)


def reads(server: Server, trained: str, jobs: list[str]) -> None:
    """Read resources of several kinds, which must work in any state of the disk."""
    body = {"inputs": [{"dataset": "mnist", "index": 0}]}
    assert server.http.post(f"/v1/models/{trained}/predict", json=body).status_code == 200
    for job in jobs:
        assert server.http.get(f"/v1/jobs/{job}").status_code == 200
    for path in ("jobs", f"jobs/{trained}/epochs", f"models/{jobs[0]}/weights.safetensors"):
        assert server.http.get(f"/v1/{path}").status_code == 200


# --- Read-only ---


def in_namespace(server: Server, *command: str) -> None:
    subprocess.run(["nsenter", "-t", str(server.pid), "-m", *command], check=True)


@contextlib.contextmanager
def read_only(server: Server) -> Iterator[None]:
    """Make the data directory read-only for the server and its workers."""
    folder = str(server.data_dir)
    in_namespace(server, "mount", "--bind", folder, folder)
    in_namespace(server, "mount", "-o", "remount,bind,ro", folder)
    yield
    in_namespace(server, "mount", "-o", "remount,bind,rw", folder)


@needs_mounts
def test_a_directory_that_becomes_read_only_is_reported_and_survived(
    tmp_path: Path, datasets_dir: Path, monkeypatch: pytest.MonkeyPatch, campaign: Campaign
) -> None:
    server = Server(tmp_path / "data", datasets_dir)
    popen = subprocess.Popen
    with monkeypatch.context() as patch:
        unshare = ["unshare", "-m", "--propagation", "private"]
        patch.setattr(subprocess, "Popen", lambda command, **kw: popen([*unshare, *command], **kw))
        server.start()
    try:
        survive_read_only(server, campaign)
    finally:
        server.stop()


def accepted(answer: httpx2.Response) -> str:
    """Return the new job's id, or nothing if it was refused."""
    assert answer.status_code in (201, 503)
    return str(answer.json().get("id", ""))


def survive_read_only(server: Server, campaign: Campaign) -> None:
    spec = JOB | {"epochs": campaign.of(10, 40)}
    undisturbed = server.wait(server.submit(**spec), "succeeded")
    job = server.submit(**spec)
    wait_for_checkpoint(server, job)
    with read_only(server):
        until = time.monotonic() + campaign.of(2, 20)
        while time.monotonic() < until:
            ready = server.http.get("/readyz")
            assert (ready.status_code, ready.json()["checks"]["data_dir"]) == (503, False)
            refused = server.http.post("/v1/jobs", json=JOB)
            assert (refused.status_code, refused.json()["code"]) == (503, "store-unavailable")
            assert RETRY in refused.headers.items()
            reads(server, undisturbed["id"], [job])
    started = time.monotonic()
    eventually(lambda: server.http.get("/readyz").status_code == 200, "the service to be ready")
    # The first use of a connection opened while the disk was read-only fails and closes it.
    last = JOB | {"epochs": 1}
    answer = eventually(lambda: accepted(server.http.post("/v1/jobs", json=last)), "a new job", 10)
    server.wait(answer, "succeeded", seconds=90)
    seconds = time.monotonic() - started
    ended = server.wait(job, "succeeded", "failed", seconds=90)
    same = ended["weights_sha256"] == undisturbed["weights_sha256"]
    campaign.figure(
        "jobs that failed or ended with other bytes because the disk was read-only for a while",
        target="0",
        measured=int(not same),
        met=same,
    )
    assert (same, ended["lost_workers"]) == (True, 0)
    assert seconds < 60


@needs_mounts
def test_a_read_only_directory_stops_the_start_with_one_plain_line(
    tmp_path: Path, datasets_dir: Path, campaign: Campaign
) -> None:
    (tmp_path / "data").mkdir()
    script = (
        f"mount --bind {tmp_path}/data {tmp_path}/data && "
        f"mount -o remount,bind,ro {tmp_path}/data && exec {sys.executable} -X importtime "
        f"-m service serve --port 0 --data-dir {tmp_path}/data"
    )
    environment = os.environ | {"MLP_DATASETS_DIR": str(datasets_dir)}
    command = ["unshare", "-m", "--propagation", "private", "sh", "-c", script]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    seconds = time.monotonic() - started
    lines = done.stderr.splitlines()
    messages = [line for line in lines if not line.startswith("import time:")]
    imports = [re.match(r"import time: +(\d+) \|", line) for line in lines]
    work = seconds - sum(int(found[1]) for found in imports if found) / 1e6
    campaign.figure(
        "seconds of a start on a read-only directory, without imports",
        target="≤ 1",
        measured=f"{work:.2f}",
        met=work <= 1,
    )
    assert done.returncode == 1
    assert len(messages) == 1
    assert "can't be written" in messages[0]
    assert "Read-only file system" in messages[0]


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "postgresql://user:hunter2@host/db"])
def test_a_bad_database_url_stops_the_start_with_one_plain_line(
    tmp_path: Path, datasets_dir: Path, url: str
) -> None:
    environment = os.environ | {"MLP_DATASETS_DIR": str(datasets_dir), "MLP_DATABASE_URL": url}
    command = [sys.executable, "-m", "service", "serve", "--port", "0", "--data-dir"]
    done = subprocess.run(
        [*command, str(tmp_path / "data")], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 1
    assert done.stderr.startswith("mlp-service can't start: ")
    assert done.stderr.count("\n") == 1
    assert "MLP_DATABASE_URL" in done.stderr
    assert "hunter2" not in done.stderr
