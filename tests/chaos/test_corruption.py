"""Damaged checkpoints and databases are detected and never used."""

import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.domain.errors import StoreBroken
from service.inference.model_cache import ModelCache
from service.store.checkpoints import CheckpointRef, CheckpointStore
from tests.conftest import submit
from tests.support.campaign import Campaign
from tests.support.server_process import Server
from tests.support.worker_harness import TINY, WorkerHarness

Damage = Callable[[Path, random.Random], object]


def flip_bit(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def truncate(path: Path, chance: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: chance.randrange(len(data))])


def lengthen(path: Path, chance: random.Random) -> None:
    path.write_bytes(path.read_bytes() + chance.randbytes(1 + chance.randrange(9)))


def empty(path: Path, _: random.Random) -> None:
    path.write_bytes(b"")


def delete(path: Path, _: random.Random) -> None:
    path.unlink()


DAMAGES: dict[str, tuple[Damage, int]] = {
    "bit flips": (flip_bit, 1000),
    "truncations": (truncate, 200),
    "longer files": (lengthen, 50),
    "empty files": (empty, 1),
    "deleted files": (delete, 1),
}


def trained(workers: WorkerHarness) -> tuple[str, CheckpointRef, CheckpointRef]:
    """Return a queued job with its two checkpoints, the newest first."""
    job = submit(workers.jobs, **TINY)
    for _ in range(2):
        workers.run(job, {20: "stop"})
    newest, before = workers.saved(job)
    return job, newest, before


def finds_damage(store: CheckpointStore, saved: CheckpointRef) -> bool:
    try:
        store.load(saved)
    except (StoreBroken, FileNotFoundError):
        return True
    return False


@pytest.mark.parametrize("name", DAMAGES)
def test_all_damage_is_detected(
    workers: WorkerHarness, tmp_path: Path, campaign: Campaign, name: str
) -> None:
    damage, number = DAMAGES[name]
    _, saved, _ = trained(workers)
    path, chance = tmp_path / "jobs" / saved.key, random.Random(7)
    whole, found = path.read_bytes(), 0
    for _ in range(number):
        damage(path, chance)
        found += finds_damage(workers.checkpoints, saved)
        path.write_bytes(whole)
    assert not finds_damage(workers.checkpoints, saved)
    campaign.figure(
        f"{name} found, of {number}", target=str(number), measured=found, met=found == number
    )
    assert found == number


def test_checkpoints_exchanged_between_cursors_or_jobs_are_detected(
    workers: WorkerHarness, tmp_path: Path, campaign: Campaign
) -> None:
    [_, newest, before], [_, foreign, _] = trained(workers), trained(workers)
    root, found = tmp_path / "jobs", 0
    for other in (before, foreign):
        one, two = root / newest.key, root / other.key
        spare = root / "spare"
        one.rename(spare), two.rename(one), spare.rename(two)
        found += all(finds_damage(workers.checkpoints, it) for it in (newest, other))
        one.rename(spare), two.rename(one), spare.rename(two)
    campaign.figure("exchanged pairs found, of 2", target="2", measured=found, met=found == 2)
    assert found == 2


@pytest.mark.parametrize("name", [*DAMAGES, "both bit flips", "both deleted files"])
def test_a_job_with_a_damaged_checkpoint_ends_with_the_same_bits(
    workers: WorkerHarness, tmp_path: Path, campaign: Campaign, name: str
) -> None:
    undisturbed, chance = submit(workers.jobs, **TINY), random.Random(3)
    workers.run(undisturbed)
    reference = workers.jobs.get(undisturbed).weights_sha256
    damage, _ = DAMAGES[name.removeprefix("both ")]
    same, number = 0, campaign.of(1, 20)
    for _ in range(number):
        job, *saved = trained(workers)
        for it in saved if name.startswith("both") else saved[:1]:
            damage(tmp_path / "jobs" / it.key, chance)
        assert workers.run(job) == "succeeded"
        done = workers.jobs.get(job)
        same += (done.weights_sha256, done.lost_workers) == (reference, 0)
        warned = workers.warnings(job)
        assert warned.count("begun_again") == name.startswith("both")
    campaign.figure(
        f"jobs with the same bytes after {name}, of {number}",
        target=str(number),
        measured=same,
        met=same == number,
    )
    assert same == number


# --- Through the service ---

JOB = {"preset": "linear", "batch_size": 256, "epochs": 30}


@pytest.fixture
def damaged_service(server: Server) -> tuple[Server, str, str]:
    """A server with a paused job whose checkpoints are all damaged, and an undisturbed job."""
    undisturbed = server.submit(**JOB)
    job = server.submit(**JOB)
    server.wait_for_progress(job, 0.1)
    server.act(job, "pause")
    server.wait(job, "paused")
    for path in (server.data_dir / "jobs" / job).glob("*/*.safetensors"):
        flip_bit(path, random.Random(1))
    return server, undisturbed, job


def test_a_job_whose_checkpoints_are_all_damaged_begins_again(
    damaged_service: tuple[Server, str, str],
) -> None:
    server, undisturbed, job = damaged_service
    refused = server.http.get(f"/v1/models/{job}/weights.safetensors")
    assert (refused.status_code, refused.json()["code"]) == (503, "store-unavailable")
    assert "damaged" in refused.json()["detail"]
    server.act(job, "resume")
    ended, reference = (server.wait(it, "succeeded", "failed") for it in (job, undisturbed))
    assert ended["weights_sha256"] == reference["weights_sha256"]
    assert (ended["lost_workers"], ended["attempt"]) == (0, 2)


@pytest.mark.parametrize("damage", [flip_bit, delete])
def test_a_finished_job_without_its_last_checkpoint_returns_no_weights(
    workers: WorkerHarness, damage: Damage, tmp_path: Path
) -> None:
    job = submit(workers.jobs, **TINY)
    workers.run(job)
    [last] = workers.saved(job)
    networks = ModelCache(workers.jobs, workers.checkpoints)
    damage(tmp_path / "jobs" / last.key, random.Random(2))
    with pytest.raises(StoreBroken):
        networks.get(job)


# --- The database ---


def overwrite_header(path: Path) -> None:
    path.write_bytes(b"SQLite garbage 3" + path.read_bytes()[16:])


def cut_in_half(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2 + 100])


def overwrite_pages(path: Path) -> None:
    """Overwrite the root pages of the tables, as a lost or foreign block would."""
    data = bytearray(path.read_bytes())
    for page in range(2, len(data) // 4096, 2):
        data[page * 4096 : page * 4096 + 100] = b"\xff" * 100
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [overwrite_header, cut_in_half, overwrite_pages])
def test_a_damaged_database_stops_the_start_with_one_plain_line(
    tmp_path: Path, datasets_dir: Path, empty_database: Path, damage: Callable[[Path], None]
) -> None:
    path = Path(shutil.copy(empty_database, tmp_path / "jobs.sqlite3"))
    damage(path)
    before = path.read_bytes()
    command = [sys.executable, "-m", "service", "serve", "--port", "0", "--data-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("mlp-service can't start: the database ")
    assert done.stderr.count("\n") == 1
    assert path.read_bytes() == before
