"""Data sets and their samples."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from httpx2 import Response
from numpy.typing import NDArray
from starlette.testclient import TestClient

from tests.service.api.test_hostile_bodies import check_problem
from tests.support.pictures import picture, split_of


@pytest.mark.parametrize(
    ("split", "folder", "index"),
    [("test", "test", 0), ("test", "test", 9999), ("train", "train", 59_999)],
)
def test_a_sample_is_the_data_sets_own_pixels(
    reader: TestClient, datasets_dir: Path, split: str, folder: str, index: int
) -> None:
    images, labels = split_of(datasets_dir, folder)
    path = f"/v1/datasets/mnist/{split}/{index}"
    sample = reader.get(f"{path}.json").json()
    assert sample["pixels"] == images[index].tolist()
    assert (sample["dataset"], sample["split"], sample["index"]) == ("mnist", split, index)
    assert sample["label"] == labels[index]
    np.testing.assert_array_equal(np.asarray(picture(reader.get(f"{path}.png"))), images[index])


@pytest.mark.parametrize(
    "path",
    [
        "test/10000.png",
        "test/10000.json",
        "train/60000.png",
        "test/2147483648.json",
        "samples.png?offset=10000",
        "samples.png?split=train&offset=60000",
    ],
)
def test_a_missing_row_is_not_found(reader: TestClient, path: str) -> None:
    answer = reader.get(f"/v1/datasets/mnist/{path}")
    check_problem(answer, 404)
    assert re.search(r"has rows 0 to 5?9999\.", answer.json()["detail"])


def test_a_contact_sheet_shows_the_samples(reader: TestClient, datasets_dir: Path) -> None:
    images, _ = split_of(datasets_dir, "test")
    sheet = picture(reader.get("/v1/datasets/mnist/samples.png?limit=3&offset=7&columns=3&tile=28"))
    pixels = np.asarray(sheet.convert("L"))
    for n in range(3):  # tiles of 28 are 28 // 14 = 2 pixels apart
        left = 2 + 30 * n
        np.testing.assert_array_equal(pixels[2:30, left : left + 28], images[7 + n])


def test_the_last_sheet_is_shorter(reader: TestClient) -> None:
    path = "/v1/datasets/mnist/samples.png?columns=5&limit=10"
    assert picture(reader.get(f"{path}&offset=9999")).height < picture(reader.get(path)).height


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("limit=0", "?limit"),
        ("limit=401", "?limit"),
        ("offset=-1", "?offset"),
        ("columns=51", "?columns"),
        ("tile=257", "?tile"),
        ("split=all", "?split"),
    ],
)
def test_a_sheet_option_out_of_range_is_refused_by_name(
    reader: TestClient, path: str, pointer: str
) -> None:
    answer = reader.get(f"/v1/datasets/mnist/samples.png?{path}")
    check_problem(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_a_picture_that_would_be_huge_is_refused(reader: TestClient) -> None:
    answer = reader.get("/v1/datasets/mnist/samples.png?limit=400&tile=256")
    check_problem(answer, 422)
    assert answer.json()["detail"] == (
        "400 tiles of 256x256 pixels are too many for one picture, which may have 16,000,000; "
        "draw fewer or smaller ones."
    )


def test_the_data_set_is_described_with_its_licence(reader: TestClient) -> None:
    [listed] = reader.get("/v1/datasets").json()["data"]
    assert reader.get("/v1/datasets/mnist").json() == listed
    assert (listed["train_rows"], listed["test_rows"]) == (60_000, 10_000)
    assert (listed["image_shape"], listed["classes"]) == ([28, 28], list("0123456789"))
    assert listed["license"] == "CC BY-SA 3.0"
    assert "LeCun" in listed["attribution"]
    assert len(listed["files"]) == 4


@pytest.mark.parametrize(("split", "folder"), [("train", "train"), ("test", "test")])
def test_the_samples_of_each_class_are_counted(
    reader: TestClient, datasets_dir: Path, split: str, folder: str
) -> None:
    _, labels = split_of(datasets_dir, folder)
    counts = reader.get("/v1/datasets/mnist").json()["class_counts"][split]
    assert counts == np.bincount(labels).tolist()


def array(answer: Response) -> NDArray[np.uint8]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/x-npy"
    found: NDArray[np.uint8] = np.load(io.BytesIO(answer.content))
    return found


@pytest.mark.parametrize(("split", "folder"), [("train", "train"), ("test", "test")])
def test_all_labels_of_a_split_come_in_one_array(
    reader: TestClient, datasets_dir: Path, split: str, folder: str
) -> None:
    _, labels = split_of(datasets_dir, folder)
    found = array(reader.get(f"/v1/datasets/mnist/{split}/labels.npy"))
    assert found.dtype == np.uint8
    assert found.tobytes() == labels.tobytes()


@pytest.mark.parametrize("query", ["indices=9999,3,3,0", "indices=9999&indices=3, 3&indices=0"])
def test_images_come_in_the_order_of_their_indices(
    reader: TestClient, datasets_dir: Path, query: str
) -> None:
    images, _ = split_of(datasets_dir, "test")
    found = array(reader.get(f"/v1/datasets/mnist/test.npy?{query}"))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, images[[9999, 3, 3, 0]])


def test_images_come_in_pages_also_of_one_class(reader: TestClient, datasets_dir: Path) -> None:
    images, labels = split_of(datasets_dir, "train")
    path = "/v1/datasets/mnist/train.npy"
    np.testing.assert_array_equal(array(reader.get(path)), images[:50])
    page = array(reader.get(f"{path}?limit=400&offset=59900"))
    np.testing.assert_array_equal(page, images[59900:])
    fives = array(reader.get(f"{path}?label=5&limit=3&offset=5419"))
    np.testing.assert_array_equal(fives, images[labels == 5][5419:])


def test_a_sheet_shows_the_chosen_samples_with_their_rows(
    reader: TestClient, datasets_dir: Path
) -> None:
    images, labels = split_of(datasets_dir, "test")
    seven = int(np.flatnonzero(labels == 7)[5])
    for query in (f"indices={seven}", "label=7&offset=5&limit=1"):
        path = f"/v1/datasets/mnist/samples.png?{query}&tile=28"
        pixels = np.asarray(picture(reader.get(path)).convert("L"))
        np.testing.assert_array_equal(pixels[2:30, 2:30], images[seven])


@pytest.mark.parametrize("path", ["test.npy?", "samples.png?split=test&"])
@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("indices=3,10000", 404, "no row 10000; test has rows 0 to 9999"),
        ("label=10", 404, "labels are 0 to 9"),
        ("label=5&offset=892", 404, "892 samples of class 5 in test"),
        ("indices=3&label=7", 422, "leave out ?label"),
        ("indices=3&offset=0", 422, "leave out ?offset"),
        ("indices=3,x", 422, "?indices/1: must be a whole number"),
        ("indices=-1", 422, "?indices/0: must be 0 or more"),
        ("indices=", 422, "?indices: must not be empty"),
        ("indices=" + ",".join(["7"] * 401), 422, "must have 400 items or fewer"),
    ],
)
def test_samples_that_do_not_exist_are_refused(
    reader: TestClient, path: str, query: str, status: int, words: str
) -> None:
    answer = reader.get(f"/v1/datasets/mnist/{path}{query}")
    check_problem(answer, status)
    assert words in answer.json()["detail"]


def test_the_most_samples_come_in_one_request(reader: TestClient, datasets_dir: Path) -> None:
    images, _ = split_of(datasets_dir, "test")
    rows = ",".join(map(str, range(9600, 10_000)))
    found = array(reader.get(f"/v1/datasets/mnist/test.npy?indices={rows}"))
    np.testing.assert_array_equal(found, images[9600:])


@pytest.mark.parametrize(
    "path",
    ["", "/samples.png", "/test/0.png", "/test/0.json", "/test.npy", "/test/labels.npy"],
    ids=lambda path: path or "itself",
)
@pytest.mark.parametrize("name", ["fashion", "%00", "%2e%2e", "MNIST"])
def test_an_unknown_data_set_is_not_found(reader: TestClient, name: str, path: str) -> None:
    answer = reader.get(f"/v1/datasets/{name}{path}")
    check_problem(answer, 404)
    assert answer.json()["code"] == "dataset-not-found"
