"""Whole splits of a data set, as arrays and as CSV."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.service.api.test_hostile_bodies import check_problem
from tests.support.pictures import split_of


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_split_is_downloaded_as_arrays(
    reader: TestClient, datasets_dir: Path, split: str
) -> None:
    images, labels = split_of(datasets_dir, split)
    answer = reader.get(f"/v1/datasets/mnist/{split}.npz")
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="mnist-{split}.npz"'
    arrays = np.load(io.BytesIO(answer.content))
    np.testing.assert_array_equal(arrays[f"x_{split}"], images)
    np.testing.assert_array_equal(arrays[f"y_{split}"], labels)
    assert arrays["classes"].tolist() == list("0123456789")
    assert {arrays[name].dtype for name in (f"x_{split}", f"y_{split}")} == {np.dtype(np.uint8)}


def test_a_split_is_downloaded_as_csv(reader: TestClient, datasets_dir: Path) -> None:
    images, labels = split_of(datasets_dir, "test")
    header, *rows = csv.reader(reader.get("/v1/datasets/mnist/test.csv").text.splitlines())
    assert header[:3] == ["label", "pixel0", "pixel1"]
    assert (len(header), len(rows)) == (785, 10_000)
    for index in (0, 17, 9999):
        assert rows[index][0] == str(labels[index])
        assert list(map(int, rows[index][1:])) == images[index].ravel().tolist()


def test_who_has_the_bytes_gets_none(reader: TestClient) -> None:
    path = "/v1/datasets/mnist/test.npz"
    first = reader.get(path)
    assert reader.get(path).content == first.content
    again = reader.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("suffix", ["npz", "csv"])
def test_a_split_that_a_set_does_not_have_is_named(reader: TestClient, suffix: str) -> None:
    answer = reader.get(f"/v1/datasets/mnist/validation.{suffix}")
    check_problem(answer, 404)
    assert answer.json()["detail"].endswith("has no split 'validation'; it has: train, test.")


def test_a_request_waits_no_longer_than_until_a_set_is_ready(reader: TestClient) -> None:
    assert reader.get("/v1/datasets/mnist?wait=60").json()["state"] == "ready"
    check_problem(reader.get("/v1/datasets/mnist?wait=61"), 422)


def test_a_shipped_set_has_a_report_of_its_rows(reader: TestClient) -> None:
    report = reader.get("/v1/datasets/mnist/report").json()
    assert (report["rows"], report["shape"]) == ({"train": 60_000, "test": 10_000}, [28, 28])
    assert [each["train"] for each in report["classes"]][:2] == [5923, 6742]
    assert (report["input"], report["warnings"], report["errors"]) == ("digit", [], [])
