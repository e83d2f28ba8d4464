"""Evaluations, compared with counts that a few plain loops make."""

import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from service.api import evaluated
from service.app import create_app
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.conftest import URL, World
from tests.support.keyed_service import SharedService, bearer
from tests.support.live_service import settings
from tests.support.pictures import picture, texts
from tests.support.plain_readings import Rows, said_by


@pytest.fixture(scope="module")
def rows(reader: TestClient, world: World, datasets_dir: Path) -> Rows:
    return said_by(reader, world.linear, datasets_dir)


@pytest.fixture(scope="module")
def found(reader: TestClient, world: World) -> dict[str, Any]:
    answer: dict[str, Any] = reader.get(f"/v1/models/{world.linear}/evaluation").json()
    return answer


def test_the_evaluation_counts_what_the_network_says(found: dict[str, Any], rows: Rows) -> None:
    pairs = Counter((row["label"], row["predicted"]) for row in rows)
    assert found["confusion"]["counts"] == [
        [pairs[true, said] for said in range(10)] for true in range(10)
    ]
    right = sum(row["label"] == row["predicted"] for row in rows)
    assert (found["rows"], found["misread"]) == (10_000, 10_000 - right)
    assert found["accuracy"] == right / 10_000
    assert found["loss"] == pytest.approx(sum(row["loss"] for row in rows) / 10_000, rel=1e-5)
    assert found["majority_accuracy"] == 0.1135


def test_the_evaluation_agrees_with_the_record_of_its_epoch(
    reader: TestClient, world: World, found: dict[str, Any]
) -> None:
    for record in reader.get(f"/v1/jobs/{world.linear}/epochs").json()["data"]:
        ref = f"{world.linear}@{record['epoch']}"
        evaluation = reader.get(f"/v1/models/{ref}/evaluation").json()
        train = reader.get(f"/v1/models/{ref}/evaluation?split=train").json()
        for split, figures in (("test", evaluation), ("train", train)):
            # Only a worker in a process of its own has one thread, and then all bits are the same.
            assert figures["loss"] == pytest.approx(record[f"{split}_loss"], rel=1e-7)
            assert figures["accuracy"] == pytest.approx(record[f"{split}_accuracy"], abs=1e-4)
            assert figures["epochs_done"] == record["epoch"]
        assert train["rows"] == 60_000


def test_precision_recall_and_f1_follow_from_the_counts(found: dict[str, Any], rows: Rows) -> None:
    for digit, figures in enumerate(found["classes"]):
        hits = sum(row["label"] == row["predicted"] == digit for row in rows)
        said = sum(row["predicted"] == digit for row in rows)
        shown = sum(row["label"] == digit for row in rows)
        assert (figures["index"], figures["name"]) == (digit, str(digit))
        assert (figures["support"], figures["predicted"]) == (shown, said)
        precision, recall = hits / said, hits / shown
        assert figures["precision"] == pytest.approx(precision)
        assert figures["recall"] == pytest.approx(recall)
        assert figures["f1"] == pytest.approx(2 * precision * recall / (precision + recall))


@pytest.mark.parametrize("bins", [10, 7])
def test_the_calibration_compares_probabilities_with_accuracies(
    reader: TestClient, world: World, rows: Rows, bins: int
) -> None:
    path = f"/v1/models/{world.linear}/evaluation?bins={bins}"
    calibration = reader.get(path).json()["calibration"]
    error = 0.0
    for k, found in enumerate(calibration["bins"]):
        inside = [row for row in rows if k / bins <= row["probability"] < (k + 1) / bins]
        assert (found["from"], found["to"]) == pytest.approx((k / bins, (k + 1) / bins))
        assert abs(found["count"] - len(inside)) <= 2, "float32 may put a row on the other side"
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
    path = f"/v1/models/{world.linear}/evaluation/confusion"
    table = list(csv.reader(io.StringIO(reader.get(f"{path}.csv").text)))
    assert table[0] == ["actual", *map(str, range(10))]
    matrix = found["confusion"]["counts"]
    assert [list(map(int, row[1:])) for row in table[1:]] == matrix
    shares = list(csv.reader(io.StringIO(reader.get(f"{path}.csv?share=actual").text)))
    assert [sum(map(float, row[1:])) for row in shares[1:]] == pytest.approx([1] * 10)
    written = texts(reader.get(f"{path}.svg"))
    counts = [f"{count:,}" if count else "·" for row in matrix for count in row]
    assert written[23:123] == counts, "after the title, two axes and the names"
    assert f"{found['misread']:,} of 10,000 test images are misread" in written
    light, dark = (
        np.asarray(picture(reader.get(f"{path}.png?theme={it}")).convert("L"))
        for it in ("light", "dark")
    )
    assert light.shape == dark.shape
    assert light[1, 1] > 240 > 30 > dark[1, 1]


def test_an_evaluation_has_an_etag_and_names_its_network(reader: TestClient, world: World) -> None:
    for path in ("evaluation", "evaluation/confusion.png", "evaluation/misread.json"):
        address = f"/v1/models/{world.linear}/{path}"
        answer = reader.get(address)
        assert answer.headers["Model"] == world.linear
        tag = {"If-None-Match": answer.headers["ETag"]}
        assert reader.get(address, headers=tag).status_code == 304
        assert reader.get(f"{address}?split=train", headers=tag).status_code == 200


# --- Refusals and owners ---


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("evaluation/misread.json?unlike=job_nobody", 404),
        ("evaluation/misread.json?unlike=latest@9", 404),
        ("evaluation/comparison?unlike=job_nobody", 404),
        ("evaluation/comparison", 422),
        ("evaluation/misread.json?after=10000", 422),
        ("evaluation/misread.json?limit=0", 422),
        ("evaluation/misread.json?actual=10", 422),
        ("evaluation/misread.json?dataset=cifar", 404),
        ("evaluation/misread.json?offset=3", 422),
        ("evaluation?dataset=cifar", 404),
        ("evaluation?split=all", 422),
        ("evaluation?bins=1", 422),
        ("evaluation.json", 404),
        ("evaluation/confusion.gif", 404),
        ("evaluation/confusion.png?share=all", 422),
        ("evaluation?top_k=0", 422),
        ("evaluation/misread.png?limit=400&tile=256", 422),
        ("evaluation/predictions.csv?split=valid", 422),
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
    for path in (f"{ada}/evaluation", f"{ada}/evaluation/misread.json?unlike={ada}@0"):
        address = f"/v1/models/{path}"
        assert shared.client.get(address, headers=headers["ada"]).status_code == 200
        assert shared.client.get(address, headers=headers["bob"]).status_code == 404
    for own, other, owner in ((ada, bob, "ada"), (bob, ada, "bob")):
        answer = shared.client.get(
            f"/v1/models/{own}/evaluation/misread.json?unlike={other}", headers=headers[owner]
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "job-not-found")


# --- Files and links ---


def test_the_links_of_an_evaluation_lead_to_files_about_the_same_images(
    reader: TestClient, world: World
) -> None:
    path = f"/v1/models/{world.linear}@1/evaluation?split=train"
    answer = reader.get(path).json()
    for name, link in answer["links"].items():
        found = reader.get(link)
        assert found.status_code == 200, name
        assert found.headers["Epochs-Done"] == "1"
    assert reader.get(answer["links"]["misread"]).json()["total"] == answer["misread"]
    worst = answer["confused"][0]
    counts = answer["confusion"]["counts"]
    wrong = [counts[i][j] for i in range(10) for j in range(10) if i != j]
    assert worst["count"] == max(wrong) == counts[int(worst["actual"])][int(worst["predicted"])]
    assert picture(reader.get(worst["examples"])).width > 400


def test_predictions_for_a_whole_set_are_those_of_predict(
    reader: TestClient, world: World, rows: Rows
) -> None:
    path = f"/v1/models/{world.linear}/evaluation/predictions"
    table = np.load(io.BytesIO(reader.get(f"{path}.npy").content))
    assert (table.dtype, table.shape) == (np.float32, (10_000, 10))
    images = reader.get("/v1/datasets/mnist/test.npy?limit=50").content
    headers = {"Content-Type": "application/x-npy", "Accept": "application/x-npy"}
    said = reader.post(f"/v1/models/{world.linear}/predict", content=images, headers=headers)
    np.testing.assert_allclose(table[:50], np.load(io.BytesIO(said.content)), atol=1e-6)
    lines = list(csv.DictReader(io.StringIO(reader.get(f"{path}.csv").text)))
    for line, row, probabilities in zip(lines, rows, table.tolist(), strict=True):
        assert (int(line["index"]), int(line["actual"])) == (row["index"], row["label"])
        assert int(line["predicted"]) == row["predicted"]
        assert float(line[f"p({row['predicted']})"]) == pytest.approx(max(probabilities), rel=1e-6)


def test_figures_beyond_the_classes_are_left_out(reader: TestClient, world: World) -> None:
    path = f"/v1/models/{world.linear}/evaluation"
    found = reader.get(f"{path}?top_k=1,10,11").json()
    assert list(found["top_k"]) == ["1", "10"]
    assert found["top_k"]["1"] == found["accuracy"]
    assert found["top_k"]["10"] == 1


def test_an_evaluation_is_kept_when_the_service_ends(
    reader: TestClient, world: World, datasets_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/v1/models/{world.deep}/evaluation?bins=9"
    first = reader.get(path)

    def forbidden(*_: object) -> None:
        raise AssertionError("it is computed again")

    monkeypatch.setattr(evaluated, "evaluate", forbidden)
    app = create_app(settings(world.data_dir, datasets_dir))
    with TestClient(app, base_url=URL) as restarted:
        again = restarted.get(path)
        assert again.content == first.content
        assert again.headers["ETag"] == first.headers["ETag"]
        assert again.headers["Model"] == world.deep
        with pytest.raises(AssertionError, match="computed again"):
            restarted.get(path.replace("bins=9", "bins=8"))


def test_each_class_is_followed_through_the_epochs(reader: TestClient, world: World) -> None:
    path = f"/v1/models/{world.linear}/evaluation/classes"
    table = list(csv.reader(io.StringIO(reader.get(f"{path}.csv").text)))
    assert table[0] == ["class", "1", "2"]
    for column, epoch in ((1, 1), (2, 2)):
        found = reader.get(f"/v1/models/{world.linear}@{epoch}/evaluation").json()["classes"]
        shares = [float(row[column]) for row in table[1:]]
        assert shares == pytest.approx([each["recall"] for each in found])
    written = texts(reader.get(f"{path}.svg"))
    assert f"{100 * float(table[1][1]):.3g}" in written
    answer = reader.get(f"{path}.png?theme=dark")
    assert picture(answer).width > 200
    tag = {"If-None-Match": answer.headers["ETag"]}
    assert reader.get(f"{path}.png?theme=dark", headers=tag).status_code == 304
    check_problem(reader.get(f"{path}.png?dataset=cifar"), 404)
