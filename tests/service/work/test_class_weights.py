"""A worker trains by the class weights of its job's spec, on the data set that the job names."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlp_client.job_spec import Spec
from mlp_core import initial_network
from service.api.job_records import job_record, new_job
from service.domain import cost
from service.domain.job_recipe import recipe_of
from service.store.checkpoints import CheckpointStore
from service.store.dataset_files import DatasetFiles
from service.store.jobs import JobStore
from service.store.sql.database import Database
from service.work.worker import Worker
from tests.support.engines import artifacts_of
from tests.support.job_records import claim
from tests.support.own_datasets import OwnSet, add_dataset, own_set

NAMES = ["round", "square", "rare"]
COUNTS = (16, 8, 2)  # of the rows to train on
TESTED = 6


@pytest.fixture
def unequal() -> OwnSet:
    """Return noise in three classes of very different sizes."""
    rng = np.random.default_rng(4)
    labels = np.concatenate([np.repeat(np.arange(3), COUNTS), np.arange(TESTED) % 3])
    rows = rng.integers(1, 256, (len(labels), 3, 4), dtype=np.uint8)
    return own_set(rows, labels.astype(np.uint8), NAMES, tested=TESTED)


def trained(
    database: Database, place: Path, made: OwnSet, **fields: Any
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Train the set's linear network for one step of all rows; return its arrays and its spec."""
    add_dataset(database, place / "datasets", "unequal", made)
    spec = Spec.model_validate(
        {"dataset": "unequal", "hidden": [], "epochs": 1, "batch_size": 64, **fields}
    )
    priced = cost.cost_of(recipe_of(spec.model_dump()), made.manifest.sizes)
    new = new_job(spec, priced, 1, "12-3", made.manifest)
    jobs = JobStore(database)
    job = jobs.submit(new, lambda stored: job_record(stored).model_dump_json()).job
    checkpoints = CheckpointStore(artifacts_of(place))
    worker = Worker(claim(database, job), checkpoints, DatasetFiles(place / "datasets"))
    assert worker.run(worker.begin()) == "succeeded"
    stored, [newest, *_] = jobs.with_checkpoints(job)
    return dict(checkpoints.load(newest).arrays), stored.spec


def after_one_step(
    made: OwnSet, spec: dict[str, Any], weights: list[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return W and b after a step on sum(w·loss) / sum(w), in float64."""
    images, labels = made.arrays["train"]
    start = initial_network(recipe_of(spec), 12, 3)
    W, b = (np.asarray(array[0], float) for array in (start.weights, start.biases))
    X, Y = images / 255, np.eye(3)[labels]
    scores = np.exp(X @ W + b)
    each = np.array(weights)[labels][:, np.newaxis]
    errors = (scores / scores.sum(axis=1, keepdims=True) - Y) * each / each.sum()
    return W - spec["learning_rate"] * X.T @ errors, b - spec["learning_rate"] * errors.sum(axis=0)


@pytest.mark.parametrize(
    ("given", "weights"),
    [
        (None, [1, 1, 1]),
        ("balanced", [26 / (3 * 16), 26 / (3 * 8), 26 / (3 * 2)]),
        ({"rare": 9, "round": 0.25}, [0.25, 1, 9]),
        ({"square": 0}, [1, 0, 1]),
    ],
)
def test_a_worker_weights_classes_by_their_names(
    database: Database, tmp_path: Path, unequal: OwnSet, given: Any, weights: list[float]
) -> None:
    arrays, spec = trained(database, tmp_path, unequal, class_weights=given)
    W, b = after_one_step(unequal, spec, weights)
    np.testing.assert_allclose(arrays["layers.1.weight"], W, atol=1e-6)
    np.testing.assert_allclose(arrays["layers.1.bias"], b, atol=1e-6)
