"""Damaged checkpoints and databases: found, passed over, and never believed."""

import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.domain.errors import StoreBroken
from service.store.checkpoints import CheckpointRef, CheckpointStore
from tests.conftest import submit
from tests.service.work.test_worker import TINY, Bench, bench
from tests.support.campaign import Campaign
from tests.support.server_process import Server

__all__ = ["bench"]  # a fixture

Harm = Callable[[Path, random.Random], object]


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


HARMS: dict[str, tuple[Harm, int]] = {
    "bit flips": (flip_bit, 1000),
    "truncations": (truncate, 200),
    "longer files": (lengthen, 50),
    "empty files": (empty, 1),
    "deleted files": (delete, 1),
}


def trained(bench: Bench) -> tuple[str, CheckpointRef, CheckpointRef]:
    """A job with two checkpoints, queued again; return it with them, the newest first."""
    job = submit(bench.jobs, **TINY)
    for _ in range(2):
        bench.run(job, {20: "leave"})
    newest, before = bench.jobs.with_checkpoints(job)[1]
    return job, newest, before


def is_found(store: CheckpointStore, saved: CheckpointRef) -> bool:
    try:
        store.load(saved)
    except (StoreBroken, FileNotFoundError):
        return True
    return False


@pytest.mark.parametrize("name", HARMS)
def test_every_damage_is_found(bench: Bench, tmp_path: Path, campaign: Campaign, name: str) -> None:
    harm, number = HARMS[name]
    _, saved, _ = trained(bench)
    path, chance = tmp_path / "jobs" / saved.key, random.Random(7)
    whole, found = path.read_bytes(), 0
    for _ in range(number):
        harm(path, chance)
        found += is_found(bench.checkpoints, saved)
        path.write_bytes(whole)
    assert not is_found(bench.checkpoints, saved)
    campaign.figure(
        f"{name} found, of {number}", target=str(number), measured=found, met=found == number
    )
    assert found == number


def test_checkpoints_exchanged_between_cursors_or_jobs_are_found(
    bench: Bench, tmp_path: Path, campaign: Campaign
) -> None:
    [_, newest, before], [_, foreign, _] = trained(bench), trained(bench)
    root, found = tmp_path / "jobs", 0
    for other in (before, foreign):
        one, two = root / newest.key, root / other.key
        spare = root / "spare"
        one.rename(spare), two.rename(one), spare.rename(two)
        found += is_found(bench.checkpoints, newest) and is_found(bench.checkpoints, other)
        one.rename(spare), two.rename(one), spare.rename(two)
    campaign.figure("exchanged pairs found, of 2", target="2", measured=found, met=found == 2)
    assert found == 2


@pytest.mark.parametrize("name", [*HARMS, "both bit flips", "both deleted files"])
def test_a_job_with_a_damaged_checkpoint_ends_with_the_same_bits(
    bench: Bench, tmp_path: Path, campaign: Campaign, name: str
) -> None:
    undisturbed, chance = submit(bench.jobs, **TINY), random.Random(3)
    bench.run(undisturbed)
    reference = bench.jobs.get(undisturbed).weights_sha256
    harm, _ = HARMS[name.removeprefix("both ")]
    same, number = 0, campaign.of(1, 20)
    for _ in range(number):
        job, *saved = trained(bench)
        for it in saved if name.startswith("both") else saved[:1]:
            harm(tmp_path / "jobs" / it.key, chance)
        assert bench.run(job) == "succeeded"
        done = bench.jobs.get(job)
        same += (done.weights_sha256, done.lost_workers) == (reference, 0)
        warned = bench.warnings(job)
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
def spoilt(server: Server) -> tuple[Server, str, str]:
    """A server whose job has run and now waits with all its checkpoints damaged."""
    undisturbed = server.submit(**JOB)
    job = server.submit(**JOB)
    server.wait_for_progress(job, 0.1)
    server.act(job, "pause")
    server.wait(job, "paused")
    for path in (server.data_dir / "jobs" / job).glob("*/*.safetensors"):
        flip_bit(path, random.Random(1))
    return server, undisturbed, job


def test_a_service_whose_checkpoints_are_all_damaged_begins_again(
    spoilt: tuple[Server, str, str],
) -> None:
    server, undisturbed, job = spoilt
    refused = server.http.get(f"/v1/models/{job}/weights.safetensors")
    assert (refused.status_code, refused.json()["code"]) == (503, "store-unavailable")
    assert "damaged" in refused.json()["detail"]
    server.act(job, "resume")
    ended, reference = (server.wait(it, "succeeded", "failed") for it in (job, undisturbed))
    assert ended["weights_sha256"] == reference["weights_sha256"]
    assert (ended["lost_workers"], ended["attempt"]) == (0, 2)


@pytest.mark.parametrize("harm", [flip_bit, delete])
def test_a_finished_job_never_answers_with_other_weights_than_its_own(
    bench: Bench, harm: Harm, tmp_path: Path
) -> None:
    from service.inference.model_cache import ModelCache

    job = submit(bench.jobs, **TINY)
    bench.run(job)
    [last] = bench.jobs.with_checkpoints(job)[1]
    networks = ModelCache(bench.jobs, bench.checkpoints)
    harm(tmp_path / "jobs" / last.key, random.Random(2))
    with pytest.raises(StoreBroken):
        networks.get(job)


# --- The database ---


def header(path: Path) -> None:
    path.write_bytes(b"SQLite garbage 3" + path.read_bytes()[16:])


def half(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2 + 100])


def middle(path: Path) -> None:
    """Overwrite the root pages of the tables, as a lost or foreign block would."""
    data = bytearray(path.read_bytes())
    for page in range(2, len(data) // 4096, 2):
        data[page * 4096 : page * 4096 + 100] = b"\xff" * 100
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [header, half, middle])
def test_a_damaged_database_ends_the_start_with_one_plain_line(
    tmp_path: Path, datasets_dir: Path, empty_database: Path, harm: Callable[[Path], None]
) -> None:
    path = Path(shutil.copy(empty_database, tmp_path / "jobs.sqlite3"))
    harm(path)
    before = path.read_bytes()
    command = [sys.executable, "-m", "service", "serve", "--port", "0", "--data-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("mlp-service can't start: the database ")
    assert done.stderr.count("\n") == 1
    assert path.read_bytes() == before
