import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlp_core import Checkpoint, Cursor
from service.domain.errors import JobNotFound, NotTrainedYet, StoreBroken
from service.inference import model_cache as module
from service.inference.loaded_model import LoadedModel
from service.inference.model_cache import ModelCache
from service.store.attempts import Attempt
from service.store.checkpoints import CheckpointRef, CheckpointStore
from service.store.files.local import LocalArtifacts
from service.store.jobs import JobStore
from service.store.sql.database import Database
from tests.conftest import submit
from tests.support.job_records import ENVIRONMENT, HANDLE, claim, finish, saved, started, taken


@pytest.fixture
def networks(jobs: JobStore, checkpoints: CheckpointStore) -> ModelCache:
    return ModelCache(jobs, checkpoints)


def save(checkpoints: CheckpointStore, attempt: Attempt, number: int) -> CheckpointRef:
    """Commit a checkpoint of the linear model with all biases equal to `number`."""
    arrays = {
        "layers.1.weight": np.zeros((784, 10), np.float32),
        "layers.1.bias": np.full(10, number, np.float32),
        "momentum.layers.1.bias": np.ones(10, np.float32),
    }
    saved = checkpoints.save(
        attempt.job, attempt.number, Checkpoint(Cursor(0, number), arrays, 0.0)
    )
    _, dropped = attempt.commit(saved, [])
    for key in dropped:
        checkpoints.delete(key)
    return saved


def bias(networks: ModelCache, ref: str) -> float:
    return float(networks.get(ref).arrays["layers.1.bias"][0])


def test_the_newest_checkpoint_is_the_network(
    database: Database, checkpoints: CheckpointStore, networks: ModelCache
) -> None:
    attempt = started(database, preset="linear")
    save(checkpoints, attempt, 1)
    newest = save(checkpoints, attempt, 2)
    trained = networks.get(attempt.job)
    assert (trained.job, trained.checkpoint) == (attempt.job, newest)
    assert set(trained.arrays) == {"layers.1.weight", "layers.1.bias"}
    assert trained.network.sizes == (784, 10)
    assert bias(networks, attempt.job) == 2


def test_a_job_without_a_checkpoint_is_not_trained_yet(
    jobs: JobStore, networks: ModelCache
) -> None:
    job = submit(jobs)
    with pytest.raises(NotTrainedYet, match="queued"):
        networks.get(job)
    with pytest.raises(JobNotFound, match="job_none"):
        networks.get("job_none")


def test_latest_is_the_newest_job_that_learned_something(
    database: Database, checkpoints: CheckpointStore, networks: ModelCache
) -> None:
    with pytest.raises(JobNotFound, match="no latest model"):
        networks.get("latest")
    for number in (1, 2, 3):
        attempt = started(database, preset="linear")
        save(checkpoints, attempt, number)
        if number < 3:
            finish(attempt)
    assert bias(networks, "latest") == 2


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


@pytest.mark.parametrize("harm", [damage, Path.unlink], ids=["damaged", "lost"])
def test_the_previous_checkpoint_replaces_a_damaged_one(
    database: Database,
    checkpoints: CheckpointStore,
    networks: ModelCache,
    tmp_path: Path,
    harm: Callable[[Path], object],
) -> None:
    attempt = started(database, preset="linear")
    save(checkpoints, attempt, 1)
    harm(tmp_path / "jobs" / save(checkpoints, attempt, 2).key)
    assert bias(networks, attempt.job) == 1


def test_when_all_checkpoints_are_damaged_the_store_is_broken(
    database: Database, checkpoints: CheckpointStore, networks: ModelCache, tmp_path: Path
) -> None:
    attempt = started(database, preset="linear")
    for number in (1, 2):
        damage(tmp_path / "jobs" / save(checkpoints, attempt, number).key)
    with pytest.raises(StoreBroken, match="damaged"):
        networks.get(attempt.job)


def test_when_no_file_can_be_found_the_store_is_broken(
    database: Database, checkpoints: CheckpointStore, networks: ModelCache
) -> None:
    attempt = started(database, preset="linear")
    checkpoints.delete(save(checkpoints, attempt, 1).key)
    with pytest.raises(StoreBroken, match=f"no checkpoint file of job {attempt.job}"):
        networks.get(attempt.job)


def test_a_reader_that_finds_its_checkpoint_replaced_reads_the_row_again(
    database: Database, checkpoints: CheckpointStore
) -> None:
    attempt = started(database, preset="linear")

    class Overtaken(JobStore):
        """Let the worker save twice more after the first reader has the row and before the file."""

        reads = 0

        def with_checkpoints(self, id_: str) -> Any:
            found = super().with_checkpoints(id_)
            self.reads += 1
            if self.reads == 1:
                save(checkpoints, attempt, 3), save(checkpoints, attempt, 4)
            return found

    save(checkpoints, attempt, 1), save(checkpoints, attempt, 2)
    jobs = Overtaken(database)
    assert bias(ModelCache(jobs, checkpoints), attempt.job) == 4
    assert jobs.reads == 2


def test_a_network_is_read_from_its_file_once(
    database: Database, checkpoints: CheckpointStore, networks: ModelCache
) -> None:
    attempt = started(database, preset="linear")
    saved = save(checkpoints, attempt, 1)
    first = networks.get(attempt.job)
    checkpoints.delete(saved.key)
    assert networks.get(attempt.job) is first
    save(checkpoints, attempt, 2)
    assert bias(networks, attempt.job) == 2, "a newer one is another file"


@pytest.mark.parametrize("limit", [{"CACHED": 2}, {"CACHED_BYTES": 2 * 4 * (784 * 10 + 10)}])
def test_the_least_recently_used_network_is_evicted(
    database: Database,
    checkpoints: CheckpointStore,
    networks: ModelCache,
    monkeypatch: pytest.MonkeyPatch,
    limit: dict[str, int],
) -> None:
    for name, value in limit.items():
        monkeypatch.setattr(module, name, value)
    first, second, third = (started(database, preset="linear") for _ in range(3))
    keys = {attempt.job: save(checkpoints, attempt, 1).key for attempt in (first, second, third)}
    for attempt in (first, second, first, third):
        networks.get(attempt.job)
    for key in keys.values():
        checkpoints.delete(key)
    networks.get(first.job), networks.get(third.job)
    with pytest.raises(StoreBroken):
        networks.get(second.job)


def test_the_last_network_stays_cached_even_if_it_is_too_large(
    database: Database,
    checkpoints: CheckpointStore,
    networks: ModelCache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CACHED_BYTES", 1)
    first, second = (started(database, preset="linear") for _ in range(2))
    keys = [save(checkpoints, attempt, 1).key for attempt in (first, second)]
    networks.get(first.job), networks.get(second.job)
    for key in keys:
        checkpoints.delete(key)
    networks.get(second.job)
    with pytest.raises(StoreBroken):
        networks.get(first.job)


class Slow(CheckpointStore):
    """Waits for `go` before each read, and counts the reads."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(LocalArtifacts(data_dir / "jobs"))
        self.go, self.reads = threading.Event(), 0

    def load(self, saved: CheckpointRef) -> Checkpoint:
        self.reads += 1
        assert self.go.wait(20)
        return super().load(saved)


def load_concurrently(networks: ModelCache, slow: Slow, ref: str) -> list[LoadedModel | Exception]:
    answers: list[LoadedModel | Exception] = []

    def ask() -> None:
        try:
            answers.append(networks.get(ref))
        except StoreBroken as exc:
            answers.append(exc)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(0.2)
    slow.go.set()
    for thread in threads:
        thread.join(20)
    return answers


def test_concurrent_callers_share_one_read(
    database: Database, jobs: JobStore, checkpoints: CheckpointStore, tmp_path: Path
) -> None:
    attempt = started(database, preset="linear")
    save(checkpoints, attempt, 1)
    slow = Slow(tmp_path)
    answers = load_concurrently(ModelCache(jobs, slow), slow, attempt.job)
    assert slow.reads == 1
    assert len(answers) == 4
    assert all(answer is answers[0] for answer in answers)


def test_concurrent_callers_all_get_the_error_of_a_damaged_file_and_can_try_again(
    database: Database, jobs: JobStore, checkpoints: CheckpointStore, tmp_path: Path
) -> None:
    attempt = started(database, preset="linear")
    path = tmp_path / "jobs" / save(checkpoints, attempt, 1).key
    whole = path.read_bytes()
    damage(path)
    slow = Slow(tmp_path)
    networks = ModelCache(jobs, slow)
    answers = load_concurrently(networks, slow, attempt.job)
    assert slow.reads == 1
    assert [type(answer).__mro__.count(StoreBroken) for answer in answers] == [1] * 4
    path.write_bytes(whole)
    assert bias(networks, attempt.job) == 1


def test_the_newest_checkpoint_is_known_without_its_file(
    database: Database, checkpoints: CheckpointStore, networks: ModelCache
) -> None:
    attempt = started(database, preset="linear")
    with pytest.raises(NotTrainedYet):
        networks.newest_checkpoint(attempt.job)
    saved = save(checkpoints, attempt, 1)
    checkpoints.delete(saved.key)
    assert networks.newest_checkpoint(attempt.job) == saved


def test_a_cached_network_is_found_as_long_as_it_is_the_newest(
    database: Database, checkpoints: CheckpointStore, networks: ModelCache
) -> None:
    attempt = started(database, preset="linear")
    save(checkpoints, attempt, 1)
    assert networks.cached(attempt.job) is None
    trained = networks.get(attempt.job)
    attempt.heartbeat((0, 2), [])
    assert networks.cached(attempt.job) is trained
    assert networks.cached("latest") is None
    save(checkpoints, attempt, 2)
    assert networks.cached(attempt.job) is None
    assert bias(networks, attempt.job) == 2
    finish(attempt)
    assert networks.cached(attempt.job) is networks.cached("latest") is networks.get("latest")
    JobStore(database).delete(attempt.job)
    assert networks.cached(attempt.job) is networks.cached("latest") is None


def test_the_cached_network_of_one_owner_is_hidden_from_another(
    database: Database, jobs: JobStore, checkpoints: CheckpointStore, networks: ModelCache
) -> None:
    ada, eve, nobody, operator = (
        networks.seen_by(jobs.seen_by(owner, everything=everything))
        for owner, everything in (("ada", False), ("eve", False), (None, False), ("ada", True))
    )
    job = submit(jobs.seen_by("ada", everything=False), preset="linear")
    attempt = claim(database, job)
    attempt.begin(HANDLE, ENVIRONMENT)
    save(checkpoints, attempt, 1)
    trained = ada.get(job)
    finish(attempt)
    for ref in (job, "latest"):
        assert ada.cached(ref) is operator.cached(ref) is networks.cached(ref) is trained
        assert eve.cached(ref) is nobody.cached(ref) is None
    with pytest.raises(JobNotFound):
        eve.get(job)


def test_the_replacement_of_a_damaged_checkpoint_is_looked_up_each_time(
    database: Database, checkpoints: CheckpointStore, networks: ModelCache, tmp_path: Path
) -> None:
    attempt = started(database, preset="linear")
    save(checkpoints, attempt, 1)
    path = tmp_path / "jobs" / save(checkpoints, attempt, 2).key
    whole = path.read_bytes()
    damage(path)
    assert bias(networks, attempt.job) == 1
    assert networks.cached(attempt.job) is None
    path.write_bytes(whole)
    assert bias(networks, attempt.job) == 2


def test_the_lasting_reference_of_a_job_that_trains_is_its_newest_network_that_stays(
    database: Database, networks: ModelCache
) -> None:
    attempt = started(database)
    assert networks.lasting_ref(attempt.job) == attempt.job, "nothing is kept yet"
    planned = [taken(attempt, number, planned=True) for number in (1, 2)]
    best = taken(attempt, 3, accuracy=0.99)
    attempt.commit(saved(attempt, 3), [it.epoch for it in (*planned, best)], [*planned, best])
    assert networks.lasting_ref(attempt.job) == f"{attempt.job}@2"
    assert networks.lasting_ref(f"{attempt.job}@1") == f"{attempt.job}@1"
    finish(attempt)
    assert networks.lasting_ref(attempt.job) == attempt.job
    assert networks.lasting_ref("latest") == "latest"
    with pytest.raises(JobNotFound):
        networks.lasting_ref("job_nobody")
