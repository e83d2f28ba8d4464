"""Evaluations and mistakes, compared with counts that a few plain loops make."""

import csv
import io
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load
from starlette.testclient import TestClient

from tests.service.api.test_hostile_bodies import check_problem
from tests.service.conftest import World
from tests.support.keyed_service import SharedService, bearer
from tests.support.pictures import picture, texts

Rows = list[dict[str, Any]]


def said_by(reader: TestClient, ref: str, datasets_dir: Path, split: str = "t10k") -> Rows:
    """Return what a linear network says about each image, computed in float64."""
    [images] = datasets_dir.glob(f"mnist-*/{split}-images-idx3-ubyte.npy")
    [labels] = datasets_dir.glob(f"mnist-*/{split}-labels-idx1-ubyte.npy")
    parameters = load(reader.get(f"/v1/models/{ref}/weights.safetensors").content)
    W, b = (parameters[f"layers.1.{name}"].astype(float) for name in ("weight", "bias"))
    logits = np.load(images).astype(float) / 255 @ W + b
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponents / exponents.sum(axis=1, keepdims=True)
    rows = []
    for index, label in enumerate(np.load(labels).tolist()):
        row: NDArray[np.float64] = probabilities[index]
        first, second = sorted(range(10), key=lambda digit: -row[digit])[:2]
        rows.append(
            {"index": index, "label": label, "predicted": first, "second": second}
            | {"probability": float(row[first]), "loss": -math.log(row[label])}
        )
    return rows


@pytest.fixture(scope="module")
def rows(reader: TestClient, world: World, datasets_dir: Path) -> Rows:
    return said_by(reader, world.linear, datasets_dir)


@pytest.fixture(scope="module")
def found(reader: TestClient, world: World) -> dict[str, Any]:
    answer: dict[str, Any] = reader.get(f"/v1/models/{world.linear}/evaluation.json").json()
    return answer


def test_the_evaluation_counts_what_the_network_says(found: dict[str, Any], rows: Rows) -> None:
    pairs = Counter((row["label"], row["predicted"]) for row in rows)
    assert found["confusion"] == [[pairs[true, said] for said in range(10)] for true in range(10)]
    right = sum(row["label"] == row["predicted"] for row in rows)
    assert (found["rows"], found["mistakes"]) == (10_000, 10_000 - right)
    assert found["accuracy"] == right / 10_000
    assert found["loss"] == pytest.approx(sum(row["loss"] for row in rows) / 10_000, rel=1e-5)
    assert found["majority_accuracy"] == 0.1135


def test_the_evaluation_agrees_with_the_record_of_its_epoch(
    reader: TestClient, world: World, found: dict[str, Any]
) -> None:
    for record in reader.get(f"/v1/jobs/{world.linear}/epochs").json()["data"]:
        ref = f"{world.linear}@{record['epoch']}"
        evaluation = reader.get(f"/v1/models/{ref}/evaluation.json").json()
        assert evaluation["accuracy"] == pytest.approx(record["test_accuracy"], abs=1e-4)
        assert evaluation["loss"] == pytest.approx(record["test_loss"], rel=1e-5)
        assert evaluation["epochs_done"] == record["epoch"]
        train = reader.get(f"/v1/models/{ref}/evaluation.json?split=train").json()
        assert train["rows"] == 60_000
        assert train["loss"] == pytest.approx(record["train_loss"], rel=1e-5)


def test_precision_recall_and_f1_follow_from_the_counts(found: dict[str, Any], rows: Rows) -> None:
    for digit, figures in enumerate(found["classes"]):
        hits = sum(row["label"] == row["predicted"] == digit for row in rows)
        said = sum(row["predicted"] == digit for row in rows)
        shown = sum(row["label"] == digit for row in rows)
        assert (figures["label"], figures["name"]) == (digit, str(digit))
        assert (figures["rows"], figures["predicted"]) == (shown, said)
        precision, recall = hits / said, hits / shown
        assert figures["precision"] == pytest.approx(precision)
        assert figures["recall"] == pytest.approx(recall)
        assert figures["f1"] == pytest.approx(2 * precision * recall / (precision + recall))


@pytest.mark.parametrize("bins", [10, 7])
def test_the_calibration_compares_probabilities_with_accuracies(
    reader: TestClient, world: World, rows: Rows, bins: int
) -> None:
    path = f"/v1/models/{world.linear}/evaluation.json?bins={bins}"
    calibration = reader.get(path).json()["calibration"]
    error = 0.0
    for k, found in enumerate(calibration["bins"]):
        inside = [row for row in rows if k / bins <= row["probability"] < (k + 1) / bins]
        assert (found["from"], found["to"]) == pytest.approx((k / bins, (k + 1) / bins))
        assert abs(found["rows"] - len(inside)) <= 2, "float32 may put a row on the other side"
        if not inside:
            assert (found["confidence"], found["accuracy"]) == (None, None)
            continue
        sure = sum(row["probability"] for row in inside) / len(inside)
        right = sum(row["label"] == row["predicted"] for row in inside) / len(inside)
        assert found["confidence"] == pytest.approx(sure, abs=1e-3)
        assert found["accuracy"] == pytest.approx(right, abs=3e-3)
        error += abs(sure - right) * len(inside) / len(rows)
    assert len(calibration["bins"]) == bins
    assert calibration["ece"] == pytest.approx(error, abs=1e-4)


def test_the_matrix_is_the_same_as_a_table_and_as_pictures(
    reader: TestClient, world: World, found: dict[str, Any]
) -> None:
    path = f"/v1/models/{world.linear}/evaluation"
    table = list(csv.reader(io.StringIO(reader.get(f"{path}.csv").text)))
    assert table[0] == ["actual", *map(str, range(10))]
    assert [list(map(int, row[1:])) for row in table[1:]] == found["confusion"]
    written = texts(reader.get(f"{path}.svg"))
    counts = [f"{count:,}" if count else "·" for row in found["confusion"] for count in row]
    assert written[:100] == counts
    assert f"{found['mistakes']:,} of 10,000 test images are misread" in written
    light, dark = (
        np.asarray(picture(reader.get(f"{path}.png?theme={it}")).convert("L"))
        for it in ("light", "dark")
    )
    assert light.shape == dark.shape
    assert light[1, 1] > 240 > 30 > dark[1, 1]


def test_an_evaluation_has_an_etag_and_names_its_network(reader: TestClient, world: World) -> None:
    for path in ("evaluation.json", "evaluation.png", "mistakes"):
        address = f"/v1/models/{world.linear}/{path}"
        answer = reader.get(address)
        assert answer.headers["Model"] == world.linear
        tag = {"If-None-Match": answer.headers["ETag"]}
        assert reader.get(address, headers=tag).status_code == 304
        assert reader.get(f"{address}?split=train", headers=tag).status_code == 200


# --- Mistakes ---


def surest(rows: Rows) -> list[int]:
    wrong = [row for row in rows if row["label"] != row["predicted"]]
    return [row["index"] for row in sorted(wrong, key=lambda row: -row["probability"])]


def all_mistakes(reader: TestClient, ref: str, query: str = "") -> Rows:
    """Read all pages."""
    found: Rows = []
    after = ""
    while True:
        page = reader.get(f"/v1/models/{ref}/mistakes?limit=400{query}{after}").json()
        found += page["data"]
        assert page["total"] >= len(found)
        if not page["has_more"]:
            assert page["total"] == len(found)
            return found
        after = f"&after={found[-1]['index']}"


def test_the_mistakes_are_those_of_the_network_the_surest_first(
    reader: TestClient, world: World, rows: Rows
) -> None:
    found = all_mistakes(reader, world.linear)
    assert {it["index"] for it in found} == set(surest(rows))
    probabilities = [it["probability"] for it in found]
    assert probabilities == sorted(probabilities, reverse=True)
    for it in found:
        row = rows[it["index"]]
        assert (it["label"], it["predicted"]) == (row["label"], row["predicted"])
        assert it["probability"] == pytest.approx(row["probability"], abs=1e-5)
        assert it["second"] == row["second"]
        assert it["unlike"] is None


def test_mistakes_of_a_cell_are_as_many_as_the_matrix_says(
    reader: TestClient, world: World, found: dict[str, Any]
) -> None:
    for label, predicted in ((4, 9), (9, 4), (0, 0)):
        listed = all_mistakes(reader, world.linear, f"&label={label}&predicted={predicted}")
        expected = 0 if label == predicted else found["confusion"][label][predicted]
        assert len(listed) == expected
        assert {(it["label"], it["predicted"]) for it in listed} <= {(label, predicted)}


def test_pages_lead_through_all_mistakes_once(reader: TestClient, world: World) -> None:
    whole = reader.get(f"/v1/models/{world.linear}/mistakes?limit=30").json()["data"]
    listed: Rows = []
    for _ in range(3):
        after = f"&after={listed[-1]['index']}" if listed else ""
        page = reader.get(f"/v1/models/{world.linear}/mistakes?limit=10{after}").json()
        assert page["has_more"]
        listed += page["data"]
    assert listed == whole


def test_two_networks_are_compared_in_both_directions(
    reader: TestClient, world: World, rows: Rows, datasets_dir: Path
) -> None:
    first = f"{world.linear}@1"
    earlier = said_by(reader, first, datasets_dir)
    right, right_before = (
        {row["index"] for row in each if row["label"] == row["predicted"]}
        for each in (rows, earlier)
    )
    lost = all_mistakes(reader, world.linear, f"&unlike={first}")
    won = all_mistakes(reader, first, f"&unlike={world.linear}")
    assert {it["index"] for it in lost} == right_before - right
    assert {it["index"] for it in won} == right - right_before
    page = reader.get(f"/v1/models/{first}/mistakes?unlike={world.linear}").json()
    assert (page["total"], page["reverse_total"]) == (len(won), len(lost))
    assert (page["epochs_done"], page["unlike"]["epochs_done"]) == (1, 2)
    for it in won:
        assert it["unlike"]["predicted"] == it["label"] != it["predicted"]
        expected = rows[it["index"]]["probability"]
        assert it["unlike"]["probability"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("mistakes?unlike=job_nobody", 404),
        ("mistakes?unlike=latest@9", 404),
        ("mistakes?after=10000", 422),
        ("mistakes?limit=0", 422),
        ("mistakes?label=-1", 422),
        ("mistakes?dataset=cifar", 404),
        ("mistakes?offset=3", 422),
        ("evaluation.json?dataset=cifar", 404),
        ("evaluation.json?split=all", 422),
        ("evaluation.json?bins=1", 422),
        ("evaluation.gif", 404),
    ],
)
def test_what_does_not_exist_is_refused(
    reader: TestClient, world: World, query: str, status: int
) -> None:
    check_problem(reader.get(f"/v1/models/{world.linear}/{query}"), status)


def test_owners_are_apart_for_both_networks(shared: SharedService) -> None:
    """Over a connection; the evaluation of the one may be in memory for the other."""
    ada, bob = (shared.trained[owner] for owner in ("ada", "bob"))
    headers = {owner: bearer(shared.key[owner, "read"]) for owner in ("ada", "bob")}
    for path in (f"{ada}/evaluation.json", f"{ada}/mistakes", f"{ada}/mistakes?unlike={ada}@0"):
        address = f"/v1/models/{path}"
        assert shared.client.get(address, headers=headers["ada"]).status_code == 200
        assert shared.client.get(address, headers=headers["bob"]).status_code == 404
    for own, other, owner in ((ada, bob, "ada"), (bob, ada, "bob")):
        answer = shared.client.get(
            f"/v1/models/{own}/mistakes?unlike={other}", headers=headers[owner]
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "job-not-found")
