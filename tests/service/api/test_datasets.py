"""Data sets and their samples."""

import re
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.service.api.test_hostile_bodies import check_problem
from tests.support.pictures import picture, split_of


@pytest.mark.parametrize(
    ("split", "folder", "index"),
    [("test", "t10k", 0), ("test", "t10k", 9999), ("train", "train", 59_999)],
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
    images, _ = split_of(datasets_dir, "t10k")
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
    assert len(listed["sha256"]) == 4


@pytest.mark.parametrize(
    "path", ["", "/samples.png", "/test/0.png", "/test/0.json"], ids=lambda path: path or "itself"
)
@pytest.mark.parametrize("name", ["fashion", "%00", "%2e%2e", "MNIST"])
def test_an_unknown_data_set_is_not_found(reader: TestClient, name: str, path: str) -> None:
    answer = reader.get(f"/v1/datasets/{name}{path}")
    check_problem(answer, 404)
    assert answer.json()["code"] == "dataset-not-found"
