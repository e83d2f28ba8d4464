"""A service with a network of each form of data set."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load
from starlette.testclient import TestClient

from service.app import create_app
from service.domain.dataset_manifest import Column, InputForm
from service.store.checkpoints import CheckpointStore
from service.store.dataset_files import DatasetFiles
from service.store.sql.database import Database
from service.store.sql.migrate import migrate
from service.work.worker import Worker
from tests.service.conftest import URL
from tests.support.engines import artifacts_of, database_url_of
from tests.support.live_service import claimed, settings
from tests.support.oracles import row_probabilities
from tests.support.own_datasets import OwnSet, add_dataset, own_set

LETTERS = [*"ABCDEFGHIJKLMNOPQRSTUV", "Ж", "中", "ب", "🙂"]


FLOWERS = ("sepal length", "sepal width", "petal length", "petal width")


def made_sets() -> dict[str, OwnSet]:
    """Return small sets of all forms; a class is a random pattern with noise."""
    columns = tuple(Column(name, 0.1 * at, 4 + at) for at, name in enumerate(FLOWERS))
    return {
        "clothes": noisy((28, 28), [f"class {it}" for it in range(10)]),
        "signs": noisy((16, 16), ["round", "square"], invert=True),
        "paper": noisy((28, 28), ["full", "empty", "torn"], invert=True),
        "letters": noisy((8, 8), LETTERS),
        "omniglot": noisy((105, 105), ["Δ", "Θ", "Ω"]),
        "colours": noisy((12, 10, 3), ["red", "green", "blue", "grey"]),
        "turned": noisy((6, 9), ["up", "down"], transpose=True),
        "flowers": noisy((4,), ["setosa", "versicolor"], InputForm.VECTOR, columns=columns),
    }


def noisy(
    shape: tuple[int, ...], classes: list[str], form: InputForm = InputForm.IMAGE, **facts: Any
) -> OwnSet:
    rng = np.random.default_rng(len(classes))
    patterns = rng.integers(0, 256, (len(classes), *shape))
    labels = np.arange(12 * len(classes), dtype=np.uint8) % len(classes)
    rows = patterns[labels] + rng.normal(0, 20, (len(labels), *shape))
    return own_set(
        rows.round().clip(2, 255).astype(np.uint8), labels, classes, form, len(classes), **facts
    )


@dataclass(frozen=True)
class Zoo:
    """A service with a network of each set."""

    client: TestClient
    sets: dict[str, OwnSet]
    jobs: dict[str, str]

    def expected(self, name: str, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Return the probabilities for rows as the set stores them, one by one in float64."""
        path = f"/v1/models/{self.jobs[name]}/weights.safetensors"
        tensors = load(self.client.get(path).content)
        layers = [
            (tensors[f"layers.{k}.weight"].astype(float), tensors[f"layers.{k}.bias"])
            for k in (1, 2)
        ]
        flat = np.asarray(rows, float).reshape(len(rows), -1) / 255
        return np.array([row_probabilities(layers, "relu", row) for row in flat])

    def rows(self, name: str, count: int) -> NDArray[np.uint8]:
        """Return the first rows of a test set in its shape."""
        made = self.sets[name]
        return made.arrays["test"][0][:count].reshape(-1, *made.manifest.shape)

    def post(self, name: str, body: bytes, media_type: str, suffix: str = "", **query: Any) -> Any:
        return self.client.post(
            f"/v1/models/{self.jobs[name]}/predict{suffix}",
            content=body,
            headers={"Content-Type": media_type},
            params=query,
        )

    def ask(self, name: str, body: bytes, media_type: str, **query: Any) -> NDArray[np.float32]:
        """Return the probabilities that a request gets."""
        answer = self.post(name, body, media_type, ".npy", **query)
        assert answer.status_code == 200, answer.text
        found: NDArray[np.float32] = np.load(io.BytesIO(answer.content))
        return found

    def ask_json(self, name: str, body: Any) -> list[dict[str, Any]]:
        answer = self.post(name, json.dumps(body).encode(), "application/json")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["predictions"]
        return found


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    data_dir, datasets_dir = (tmp_path_factory.mktemp(name) for name in ("zoo", "zoo-data"))
    sets = made_sets()
    database = Database(database_url_of(data_dir))
    migrate(database.url)
    for name, made in sets.items():
        add_dataset(database, datasets_dir, name, made)
    with TestClient(
        create_app(settings(data_dir, datasets_dir)), base_url=URL, raise_server_exceptions=False
    ) as client:
        jobs = {name: train(client, database, data_dir, datasets_dir, name) for name in sets}
        yield Zoo(client, sets, jobs)
    database.close()


def train(
    client: TestClient, database: Database, data_dir: Path, datasets_dir: Path, name: str
) -> str:
    epochs = 30 if name == "flowers" else 3  # a film of many frames
    spec = {"dataset": name, "hidden": [16], "epochs": epochs, "batch_size": 8}
    answer = client.post("/v1/jobs", json=spec)
    assert answer.status_code == 201, answer.text
    attempt = claimed(database)
    checkpoints = CheckpointStore(artifacts_of(data_dir))
    worker = Worker(attempt, checkpoints, DatasetFiles(datasets_dir))
    worker.run(worker.begin())
    return attempt.job


IMAGES = ["clothes", "signs", "paper", "letters", "omniglot", "colours", "turned"]
