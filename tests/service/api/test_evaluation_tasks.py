"""Evaluations that are too large for one answer, over HTTP, with real workers."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.store.backup import Original, backup
from service.store.dataset_files import DatasetFiles
from service.store.files.local import LocalArtifacts
from service.store.uploads import Uploads
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.conftest import URL, World
from tests.support.engines import local_files
from tests.support.keyed_service import SharedService, bearer
from tests.support.live_service import settings
from tests.support.server_process import eventually

pytestmark = local_files
"""The service is a backup of another one; tests/journeys/test_two_servers.py is about the rest."""


@contextmanager
def serving(world: World, datasets_dir: Path, data_dir: Path) -> Iterator[TestClient]:
    """Yield a service of the same networks that answers hardly any evaluation at once."""
    artifacts, uploads = LocalArtifacts(world.data_dir / "jobs"), Uploads(data_dir / "uploads")
    url = f"sqlite:///{world.data_dir / 'jobs.sqlite3'}"
    backup(Original(url, artifacts, DatasetFiles(datasets_dir), uploads), data_dir)
    with closing(sqlite3.connect(data_dir / "jobs.sqlite3")) as copy, copy:
        copy.execute("DELETE FROM evaluations")  # other tests may have asked for the same ones
    made = settings(data_dir, datasets_dir, max_evaluation_flops=1e6, max_job_flops=1e9)
    with TestClient(create_app(made), base_url=URL, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def small(
    world: World, datasets_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    with serving(world, datasets_dir, tmp_path_factory.mktemp("small") / "data") as client:
        yield client


@pytest.fixture
def unused(world: World, datasets_dir: Path, tmp_path: Path) -> Iterator[TestClient]:
    """A service of which no other test has asked anything."""
    with serving(world, datasets_dir, tmp_path / "data") as client:
        yield client


def queue(client: TestClient, **asked: Any) -> dict[str, Any]:
    answer = client.post("/v1/evaluations", json=asked)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == found["links"]["self"]
    return found


def metrics(client: TestClient) -> dict[str, float]:
    """Return the values of all samples, by name and labels."""
    lines = [line for line in client.get("/metrics").text.splitlines() if line[0] != "#"]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def finished(client: TestClient, task: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"{task['links']['self']}?wait=60").json()
    assert found["state"] == "succeeded", found
    return found


def test_what_is_too_large_is_queued_and_then_answered(
    small: TestClient, reader: TestClient, world: World
) -> None:
    path = f"/v1/models/{world.linear}@1/evaluation"
    refused = small.get(path)
    check_problem(refused, 409)
    assert refused.json()["code"] == "evaluation-too-large"
    assert "POST /v1/evaluations" in refused.json()["detail"]
    task = queue(small, model=f"{world.linear}@1")
    assert (task["model"], task["epochs_done"], task["rows"]) == (world.linear, 1, 10_000)
    assert task["links"]["evaluation"] == path
    done = finished(small, task)
    assert done["finished_at"] > done["created_at"]
    found, expected = small.get(path), reader.get(path)
    for figure in ("accuracy", "misread", "confusion", "links"):
        assert found.json()[figure] == expected.json()[figure]
    assert found.json()["loss"] == pytest.approx(expected.json()["loss"], rel=1e-7)
    for file in ("confusion.png", "misread.json", "predictions.npy"):
        assert small.get(f"{path}/{file}").status_code == 200
    check_problem(small.get(f"{path}?split=train"), 409)
    assert queue(small, model=f"{world.linear}@1")["id"] == task["id"]
    assert small.get("/v1/evaluations").json()["data"][0] == done


def test_results_are_read_a_few_at_a_time_however_often_the_same_is_asked(
    small: TestClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"model": world.linear, "normalize": "auto"}
    task = finished(small, queue(small, **asked))
    get, guard, here, seen = LocalArtifacts.get, threading.Lock(), 0, []

    def slow(artifacts: LocalArtifacts, key: str, size: int, sha256: str) -> bytes:
        nonlocal here
        with guard:
            here += 1
            seen.append(here)
        time.sleep(0.05)
        with guard:
            here -= 1
        return get(artifacts, key, size, sha256)

    monkeypatch.setattr(LocalArtifacts, "get", slow)
    with ThreadPoolExecutor(12) as clients:
        answers = list(clients.map(lambda _: queue(small, **asked), range(12)))
    assert {answer["id"] for answer in answers} == {task["id"]}
    assert len(seen) >= 12
    assert max(seen) == 2


def test_it_can_be_deleted_and_is_refused_again(small: TestClient, world: World) -> None:
    task = queue(small, model=world.linear)
    finished(small, task)
    assert small.delete(task["links"]["self"]).status_code == 204
    check_problem(small.get(task["links"]["self"]), 404)
    check_problem(small.delete(task["links"]["self"]), 404)
    check_problem(small.get(f"/v1/models/{world.linear}/evaluation"), 409)


def test_the_metrics_count_and_time_the_workers_of_evaluations(
    unused: TestClient, world: World
) -> None:
    labels = 'kind="evaluation"'

    def measured(what: str, outcome: str) -> float:
        name = f'mlp_task_duration_seconds_{what}{{{labels},outcome="{outcome}"}}'
        return metrics(unused)[name]

    task = queue(unused, model=world.linear)
    finished(unused, task)
    # The row says that it is done before its process has ended.
    eventually(lambda: measured("count", "succeeded"), "the end of a worker")
    counted = {it: measured("count", it) for it in ("succeeded", "failed", "requeued", "deleted")}
    assert counted == {"succeeded": 1, "failed": 0, "requeued": 0, "deleted": 0}
    assert 0.05 < measured("sum", "succeeded") < 60
    tasks = {name: value for name, value in metrics(unused).items() if "mlp_tasks" in name}
    assert tasks == {
        f'mlp_tasks{{kind="{kind}",state="{state}"}}': 0
        for kind in ("dataset_check", "evaluation")
        for state in ("queued", "running")
    }


def test_what_is_too_large_for_a_worker_is_refused_with_another_way_out(
    small: TestClient, world: World
) -> None:
    for answer in (
        small.post("/v1/evaluations", json={"model": world.deep, "split": "train"}),
        small.get(f"/v1/models/{world.deep}/evaluation?split=train"),
    ):
        check_problem(answer, 409)
        assert answer.json()["code"] == "evaluation-too-large"
        assert "POST" not in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"model": "job_nobody"}, 404),
        ({"dataset": "cifar"}, 404),
        ({"split": "validation"}, 404),
        ({"split": "all"}, 422),
        ({"dataset": ""}, 422),
        ({"dataset": "mnist@"}, 422),
        ({"dataset": "mnist@sha256:"}, 404),
        ({"bins": 3}, 422),
        ([], 422),
    ],
)
def test_what_cannot_be_asked_is_refused(small: TestClient, body: object, status: int) -> None:
    check_problem(small.post("/v1/evaluations", json=body), status)
    check_problem(small.post("/v1/evaluations?wait=3", json={}), 422)


def test_owners_see_their_own_evaluations_only(shared: SharedService) -> None:
    ada, bob = (bearer(shared.key[owner, "train"]) for owner in ("ada", "bob"))
    model = {"model": shared.trained["ada"]}
    check_problem(shared.client.post("/v1/evaluations", json=model, headers=bob), 404)
    task = shared.client.post("/v1/evaluations", json=model, headers=ada).json()
    path = task["links"]["self"]
    readers = {owner: bearer(shared.key[owner, "read"]) for owner in ("ada", "bob")}
    assert shared.client.get(path, headers=readers["ada"]).json()["owner"] == "ada"
    check_problem(shared.client.get(path, headers=readers["bob"]), 404)
    check_problem(shared.client.delete(path, headers=bob), 404)
    check_problem(shared.client.delete(path, headers=readers["ada"]), 403)
    assert shared.client.get("/v1/evaluations", headers=readers["bob"]).json()["data"] == []
    assert shared.client.delete(path, headers=ada).status_code == 204
