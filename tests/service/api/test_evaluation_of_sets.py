"""Networks of other sets than MNIST are evaluated on their own set, and on sets that fit them."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.domain.dataset_manifest import Column, ContentDigest, InputForm
from service.store.checkpoints import CheckpointStore
from service.store.dataset_files import DatasetFiles
from service.store.sql.database import Database
from service.store.sql.migrate import migrate
from service.store.stored_dataset import MNIST
from service.work.worker import Worker
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.conftest import URL
from tests.support.engines import artifacts_of, database_url_of
from tests.support.fashion_mnist import fashion
from tests.support.live_service import claimed, settings
from tests.support.own_datasets import OwnSet, add_dataset, own_set
from tests.support.pictures import picture, texts

ANIMALS = ["кошка", "狗", "🦊"]


def blocks(classes: list[str], shape: tuple[int, ...] = (8, 9), **facts: Any) -> OwnSet:
    """Return a set in which each class is a pattern of its own, with noise."""
    rng = np.random.default_rng(7)
    patterns = {name: rng.integers(0, 256, shape) for name in sorted(classes)}
    labels = np.arange(60 * len(classes), dtype=np.uint8) % len(classes)
    rows = np.array([patterns[classes[label]] for label in labels])
    noise = rng.normal(0, 90, rows.shape)
    made = (rows + noise).round().clip(0, 255).astype(np.uint8)
    return own_set(made, labels, classes, tested=20 * len(classes), **facts)


def sets(datasets_dir: Path) -> dict[str, OwnSet]:
    columns = (Column("length", 0, 1), Column("width", 0, 2), Column("=height", 1, 3))
    return {
        "animals": blocks(ANIMALS),
        "shuffled": blocks([ANIMALS[2], ANIMALS[0], ANIMALS[1]]),
        "others": blocks(["кошка", "狗", "🐼"]),
        "larger": blocks(ANIMALS, (9, 9)),
        "colours": blocks(["red", "green, or not"], (6, 5, 3)),
        "flowers": blocks(["a", "b"], (3,), input=InputForm.VECTOR, columns=columns),
        "digits": digits(datasets_dir, 0),
        "moved": digits(datasets_dir, 5),
        "halves": with_validation(blocks(["a", "b", "c"], (7, 7))),
        "signs": blocks([f"sign {k}" for k in range(40)], (5, 5)),
    }


def digits(datasets_dir: Path, moved: int) -> OwnSet:
    """Return some of MNIST's images, moved to the right."""
    folder = DatasetFiles(datasets_dir).folder(MNIST.sha256)
    images, labels = (np.load(folder / f"test.{it}.npy")[:1500] for it in ("images", "labels"))
    rows = np.roll(images.reshape(-1, 28, 28), moved, axis=2)
    return own_set(rows, labels, list("0123456789"), InputForm.DIGIT, tested=300)


def with_validation(made: OwnSet) -> OwnSet:
    """Return a set whose validation set is the first half of its training set."""
    images, labels = made.arrays["train"]
    half = len(images) // 2
    arrays = {
        "train": (images[half:], labels[half:]),
        "validation": (images[:half], labels[:half]),
        "test": made.arrays["test"],
    }
    names = made.manifest.classes
    counts = {
        split: np.bincount(found, minlength=len(names)).tolist()
        for split, (_, found) in arrays.items()
    }
    manifest = replace(made.manifest, class_counts=counts)
    digest = ContentDigest(manifest.shape, names, manifest.rows)
    for pair in arrays.values():
        for array in pair:
            digest.update(array.tobytes())
    return OwnSet(replace(manifest, sha256=digest.hexdigest()), arrays)


@dataclass(frozen=True)
class Zoo:
    """A service with some sets and networks."""

    client: TestClient
    sets: dict[str, OwnSet]
    jobs: dict[str, str]

    def get(self, name: str, path: str = "") -> Any:
        return self.client.get(f"/v1/models/{self.jobs[name]}/evaluation{path}")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory, datasets_dir: Path) -> Iterator[Zoo]:
    made = sets(datasets_dir)
    data_dir, datasets_dir = (tmp_path_factory.mktemp(name) for name in ("sets", "sets-data"))
    database = Database(database_url_of(data_dir))
    migrate(database.url)
    for name, each in made.items():
        add_dataset(database, datasets_dir, name, each)
    with TestClient(
        create_app(settings(data_dir, datasets_dir)), base_url=URL, raise_server_exceptions=False
    ) as client:
        jobs = {}
        for name in ("animals", "shuffled", "colours", "flowers", "signs", "halves", "digits"):
            spec = {"dataset": name, "hidden": [], "epochs": 2, "batch_size": 8}
            assert client.post("/v1/jobs", json=spec).status_code == 201
            jobs[name] = trained(database, data_dir, datasets_dir)
        yield Zoo(client, made, jobs)
    database.close()


def trained(database: Database, data_dir: Path, datasets_dir: Path) -> str:
    attempt = claimed(database)
    checkpoints = CheckpointStore(artifacts_of(data_dir))
    worker = Worker(attempt, checkpoints, DatasetFiles(datasets_dir))
    worker.run(worker.begin())
    return attempt.job


@pytest.mark.parametrize("name", ["animals", "colours", "flowers", "signs"])
def test_the_figures_of_any_set_are_those_of_its_last_epoch(zoo: Zoo, name: str) -> None:
    found = zoo.get(name).json()
    manifest = zoo.sets[name].manifest
    epoch = zoo.client.get(f"/v1/jobs/{zoo.jobs[name]}/epochs").json()["data"][-1]
    assert found["loss"] == pytest.approx(epoch["test_loss"], rel=1e-7)
    assert found["accuracy"] == pytest.approx(epoch["test_accuracy"], abs=1e-6)
    assert [each["name"] for each in found["classes"]] == list(manifest.classes)
    assert [each["support"] for each in found["classes"]] == manifest.class_counts["test"]
    assert found["dataset_sha256"] == manifest.sha256
    assert len(found["confused"]) <= 50
    for link in found["links"].values():
        assert zoo.client.get(link).status_code == 200


def test_classes_in_another_order_are_told_by_their_names(zoo: Zoo) -> None:
    """The same network says the same about the same images, whatever their labels are."""
    own, other = (zoo.get("animals", f"?dataset={it}").json() for it in ("animals", "shuffled"))
    assert [each["name"] for each in other["classes"]] == ANIMALS
    assert other["accuracy"] > 0.6, "labels as they are would give a third"
    table = zoo.get("animals", "/predictions.csv?dataset=shuffled").text.splitlines()
    images, labels = zoo.sets["shuffled"].arrays["test"]
    names = zoo.sets["shuffled"].manifest.classes
    assert [line.split(",")[1] for line in table[1:]] == [names[label] for label in labels]
    assert len(images) == other["rows"] == own["rows"]
    assert other["dataset"] == "shuffled"
    misread = zoo.get("animals", "/misread.json?dataset=shuffled").json()
    for image in misread["data"]:
        assert image["actual"] == names[labels[image["index"]]]
        assert image["sample"].startswith("/v1/datasets/shuffled/test/")


def test_networks_of_both_orders_are_compared(zoo: Zoo) -> None:
    path = f"/comparison?unlike={zoo.jobs['shuffled']}"
    found = zoo.get("animals", path).json()
    other = zoo.get("shuffled", "?dataset=animals").json()
    assert found["unlike_accuracy"] == other["accuracy"]
    assert sum(found[name] for name in ("both", "only_this", "only_other", "neither")) == 60


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ("others", "it has the classes '🐼' and it lacks '🦊'"),
        ("larger", "its images have 9x9 pixels, and not 8x9"),
        ("mnist", "its images have 28x28 pixels, and not 8x9"),
    ],
)
def test_a_set_that_differs_is_refused_with_the_difference(
    zoo: Zoo, dataset: str, words: str
) -> None:
    for path in ("", "/confusion.png", "/misread.json", "/predictions.npy"):
        answer = zoo.get("animals", f"{path}?dataset={dataset}")
        check_problem(answer, 409)
        problem = answer.json()
        assert problem["code"] == "dataset-differs"
        assert words in problem["detail"]


def test_names_that_a_png_cannot_show_are_in_the_svg(zoo: Zoo) -> None:
    written = texts(zoo.get("animals", "/confusion.svg"))
    assert set(ANIMALS) <= set(written)
    assert picture(zoo.get("animals", "/confusion.png")).mode == "RGB"


def test_more_than_thirty_classes_have_no_numbers(zoo: Zoo) -> None:
    written = texts(zoo.get("signs", "/confusion.svg"))
    assert "sign 0" in written
    assert not [line for line in written if line == "·"]
    assert picture(zoo.get("signs", "/confusions.png")).width > 600


def test_images_in_colour_are_shown_in_colour(zoo: Zoo) -> None:
    sheet = np.asarray(picture(zoo.get("colours", "/misread.png?split=train&order=index")))
    if zoo.get("colours", "?split=train").json()["misread"]:
        assert (sheet[..., 0] != sheet[..., 1]).any()


def test_a_class_is_named_by_its_name_or_else_by_its_number(zoo: Zoo) -> None:
    by_name = zoo.get("animals", "/misread.json?actual=🦊&order=index").json()
    by_number = zoo.get("animals", "/misread.json?actual=2&order=index").json()
    assert by_name["data"] == by_number["data"]
    answer = zoo.get("animals", "/misread.json?actual=3")
    check_problem(answer, 422)
    problem = answer.json()
    assert "'3'" in problem["detail"]


def test_a_name_with_a_comma_is_one_cell_of_the_table(zoo: Zoo) -> None:
    first = zoo.get("colours", "/confusion.csv").text.splitlines()[0]
    assert first == 'actual,red,"green, or not"'


def test_a_validation_set_is_evaluated_like_the_others(zoo: Zoo) -> None:
    found = zoo.get("halves", "?split=validation").json()
    images, labels = zoo.sets["halves"].arrays["validation"]
    table = np.load(io.BytesIO(zoo.get("halves", "/predictions.npy?split=validation").content))
    assert (found["split"], found["rows"]) == ("validation", len(images))
    assert found["accuracy"] == pytest.approx((table.argmax(axis=1) == labels).mean(), abs=0.02)
    for image in zoo.get("halves", "/misread.json?split=validation&limit=3").json()["data"]:
        assert image["sample"].startswith("/v1/datasets/halves")
        assert image["sample"].endswith(f"/validation/{image['index']}.png")
        assert zoo.client.get(image["sample"]).status_code == 200
    answer = zoo.get("animals", "?split=validation")
    check_problem(answer, 404)
    assert "it has: train, test" in answer.json()["detail"]


def test_samples_of_a_validation_set_are_served_like_those_of_the_others(zoo: Zoo) -> None:
    images, labels = zoo.sets["halves"].arrays["validation"]
    shape = zoo.sets["halves"].manifest.shape
    client, path = zoo.client, "/v1/datasets/halves/validation"

    chosen = np.load(io.BytesIO(client.get(f"{path}.npy?indices=2,0").content))
    assert (chosen == images[[2, 0]].reshape(2, *shape)).all()
    assert (np.load(io.BytesIO(client.get(f"{path}/labels.npy").content)) == labels).all()
    sample = client.get(f"{path}/1.json").json()
    assert (sample["split"], sample["label"]) == ("validation", labels[1])
    assert sample["pixels"] == images[1].reshape(shape).tolist()
    assert client.get(f"{path}/1.png").headers["content-type"] == "image/png"
    assert client.get("/v1/datasets/halves/samples.png?split=validation").status_code == 200

    table = np.load(io.BytesIO(zoo.get("halves", "/predictions.npy?split=validation").content))
    asked = {"dataset": "halves", "split": "validation", "index": 1}
    answer = client.post(f"/v1/models/{zoo.jobs['halves']}/predict", json={"images": [asked]})
    (prediction,) = answer.json()["predictions"]
    assert prediction["label"] == table[1].argmax()
    assert prediction["probability"] == pytest.approx(table[1].max(), abs=1e-6)

    check_problem(client.get(f"{path}/{len(labels)}.png"), 404)
    for other in ("validation/0.json", "validation/labels.npy", "validation.npy?label=0"):
        answer = client.get(f"/v1/datasets/animals/{other}")
        check_problem(answer, 404)
        assert "it has: train, test" in answer.json()["detail"]


@pytest.mark.parametrize(("name", "fitted_on"), [("halves", "validation"), ("signs", "even rows")])
def test_a_temperature_is_fitted_on_other_rows_than_it_is_measured_on(
    zoo: Zoo, name: str, fitted_on: str
) -> None:
    plain = zoo.get(name).json()
    assert plain["tempered"] is None
    found = zoo.get(name, "?calibrate=temperature").json()
    assert {**found, "tempered": None} == plain, "the network is still the same"
    tempered = found["tempered"]
    assert tempered["fitted_on"] == fitted_on
    rows = {"validation": (60, 60), "even rows": (400, 400)}[fitted_on]
    assert (tempered["fitted_rows"], tempered["rows"]) == rows
    table = np.load(io.BytesIO(zoo.get(name, "/predictions.npy").content)).astype(float)
    labels = zoo.sets[name].arrays["test"][1]
    measured = slice(None) if fitted_on == "validation" else slice(1, None, 2)
    logits, labels = np.log(table[measured]), labels[measured]
    for moment, t in (("before", 1.0), ("after", tempered["temperature"])):
        Z = logits / t
        losses = np.log(np.exp(Z).sum(axis=1)) - Z[np.arange(len(Z)), labels]
        assert tempered[f"loss_{moment}"] == pytest.approx(losses.mean(), rel=1e-4)


def test_images_of_digits_can_be_brought_into_mnists_form(zoo: Zoo) -> None:
    """Digits that were moved are read as well as the others once they are back in their place."""
    own = zoo.get("digits").json()
    moved = zoo.get("digits", "?dataset=moved").json()
    back = zoo.get("digits", "?dataset=moved&normalize=auto").json()
    assert (own["normalize"], back["normalize"]) == ("never", "auto")
    assert moved["accuracy"] < 0.6 < own["accuracy"]
    assert back["accuracy"] == pytest.approx(own["accuracy"], abs=0.05)
    assert zoo.get("digits", "?normalize=auto").json()["loss"] == own["loss"]
    assert "normalize=auto" in back["links"]["misread"]
    answer = zoo.get("animals", "?normalize=auto")
    check_problem(answer, 422)
    assert "digits" in answer.json()["detail"]


def test_fashion_with_a_class_left_out(tmp_path: Path) -> None:
    """A class without images has no recall, and the means leave it out."""
    images, labels = (array[:6000] for array in fashion("test"))
    kept = (labels != 3) | (np.arange(len(labels)) < 5000)
    classes = [f"class {k}" for k in range(10)]
    made = own_set(images[kept], labels[kept], classes, tested=int(kept[5000:].sum()))
    database = Database(database_url_of(tmp_path))
    migrate(database.url)
    add_dataset(database, tmp_path / "datasets", "fashion", made)
    with TestClient(create_app(settings(tmp_path, tmp_path / "datasets")), base_url=URL) as client:
        spec = {"dataset": "fashion", "hidden": [], "epochs": 3, "batch_size": 16}
        assert client.post("/v1/jobs", json=spec).status_code == 201
        job = trained(database, tmp_path, tmp_path / "datasets")
        found = client.get(f"/v1/models/{job}/evaluation").json()
        lines = client.get(f"/v1/models/{job}/evaluation/predictions.csv").text.splitlines()
    database.close()
    assert found["classes"][3]["recall"] is None
    assert found["classes"][3]["roc_auc"] is None
    recalls = [each["recall"] for each in found["classes"] if each["support"]]
    assert found["balanced_accuracy"] == found["macro"]["recall"] == pytest.approx(sum(recalls) / 9)
    right = sum(line.split(",")[1] == line.split(",")[2] for line in lines[1:])
    assert found["accuracy"] == right / found["rows"] > 0.6
