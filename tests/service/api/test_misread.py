"""Misread images and the comparison of two networks, with what a few plain loops find."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.service.conftest import World
from tests.support.pictures import picture
from tests.support.plain_readings import Rows, said_by


@pytest.fixture(scope="module")
def rows(reader: TestClient, world: World, datasets_dir: Path) -> Rows:
    return said_by(reader, world.linear, datasets_dir)


@pytest.fixture(scope="module")
def found(reader: TestClient, world: World) -> dict[str, Any]:
    answer: dict[str, Any] = reader.get(f"/v1/models/{world.linear}/evaluation").json()
    return answer


def surest(rows: Rows) -> list[int]:
    wrong = [row for row in rows if row["label"] != row["predicted"]]
    return [row["index"] for row in sorted(wrong, key=lambda row: -row["probability"])]


def all_misread(reader: TestClient, ref: str, query: str = "") -> Rows:
    """Read all pages."""
    found: Rows = []
    after = ""
    while True:
        page = reader.get(
            f"/v1/models/{ref}/evaluation/misread.json?limit=400{query}{after}"
        ).json()
        found += page["data"]
        assert page["total"] >= len(found)
        if not page["has_more"]:
            assert page["total"] == len(found)
            return found
        after = f"&after={found[-1]['index']}"


def test_the_misread_images_are_those_of_the_network_the_surest_first(
    reader: TestClient, world: World, rows: Rows
) -> None:
    found = all_misread(reader, world.linear)
    assert {it["index"] for it in found} == set(surest(rows))
    probabilities = [it["probability"] for it in found]
    assert probabilities == sorted(probabilities, reverse=True)
    for it in found:
        row = rows[it["index"]]
        assert (it["actual"], it["predicted"]) == (str(row["label"]), str(row["predicted"]))
        assert it["probability"] == pytest.approx(row["probability"], abs=1e-5)
        assert it["second"] == str(row["second"])
        assert it["unlike"] is None


def test_misread_images_of_a_cell_are_as_many_as_the_matrix_says(
    reader: TestClient, world: World, found: dict[str, Any]
) -> None:
    for label, predicted in ((4, 9), (9, 4), (0, 0)):
        listed = all_misread(reader, world.linear, f"&actual={label}&predicted={predicted}")
        expected = 0 if label == predicted else found["confusion"]["counts"][label][predicted]
        assert len(listed) == expected
        assert {(it["actual"], it["predicted"]) for it in listed} <= {(str(label), str(predicted))}


def test_pages_lead_through_all_misread_images_once(reader: TestClient, world: World) -> None:
    whole = reader.get(f"/v1/models/{world.linear}/evaluation/misread.json?limit=30").json()["data"]
    listed: Rows = []
    for _ in range(3):
        after = f"&after={listed[-1]['index']}" if listed else ""
        page = reader.get(
            f"/v1/models/{world.linear}/evaluation/misread.json?limit=10{after}"
        ).json()
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
    lost = all_misread(reader, world.linear, f"&unlike={first}")
    won = all_misread(reader, first, f"&unlike={world.linear}")
    assert {it["index"] for it in lost} == right_before - right
    assert {it["index"] for it in won} == right - right_before
    page = reader.get(f"/v1/models/{first}/evaluation/misread.json?unlike={world.linear}").json()
    assert (page["total"], page["reverse_total"]) == (len(won), len(lost))
    assert (page["epochs_done"], page["unlike"]["epochs_done"]) == (1, 2)
    for it in won:
        assert it["unlike"]["predicted"] == it["actual"] != it["predicted"]
        expected = rows[it["index"]]["probability"]
        assert it["unlike"]["probability"] == pytest.approx(expected, abs=1e-5)


def test_a_comparison_counts_what_each_of_two_networks_reads(
    reader: TestClient, world: World, rows: Rows, datasets_dir: Path
) -> None:
    earlier = said_by(reader, f"{world.linear}@1", datasets_dir)
    pairs = Counter(
        (now["label"] == now["predicted"], before["label"] == before["predicted"])
        for now, before in zip(rows, earlier, strict=True)
    )
    path = f"/v1/models/{world.linear}/evaluation/comparison?unlike={world.linear}@1"
    found = reader.get(path).json()
    assert found["both"] == pairs[True, True]
    assert found["only_this"] == pairs[True, False]
    assert found["only_other"] == pairs[False, True]
    assert found["neither"] == pairs[False, False]
    statistic = (abs(found["only_this"] - found["only_other"]) - 1) ** 2
    statistic /= found["only_this"] + found["only_other"]
    assert found["mcnemar"]["method"] == "chi-squared"
    assert found["mcnemar"]["statistic"] == pytest.approx(statistic)
    assert found["mcnemar"]["p_value"] < 0.01
    assert (found["epochs_done"], found["unlike"]["epochs_done"]) == (2, 1)
    for name, link in found["links"].items():
        assert reader.get(link).json()["total"] == found[name]
    same = reader.get(path.replace("@1", "")).json()
    assert (same["only_this"], same["mcnemar"]["p_value"]) == (0, 1)


def test_misread_images_are_drawn_over_what_they_are_read_as(
    reader: TestClient, world: World
) -> None:
    path = f"/v1/models/{world.linear}/evaluation/misread"
    [image] = reader.get(f"{path}.json?limit=1&actual=4&predicted=9").json()["data"]
    pixels = np.asarray(picture(reader.get(image["sample"])))
    sheet = np.asarray(
        picture(reader.get(f"{path}.png?limit=1&actual=4&predicted=9&tile=28")).convert("L")
    )
    places = np.lib.stride_tricks.sliding_window_view(sheet, (28, 28))
    assert (places == pixels).all(axis=(2, 3)).any()
    assert picture(reader.get(f"{path}.png?actual=0&predicted=0")).height < 60, "there are none"


def test_the_orders_of_misread_images(reader: TestClient, world: World) -> None:
    def read(order: str) -> Rows:
        path = f"/v1/models/{world.linear}/evaluation/misread.json?limit=20&order={order}"
        data: Rows = reader.get(path).json()["data"]
        return data

    doubtful = [it["probability"] for it in read("doubt")]
    assert doubtful == sorted(doubtful)
    assert doubtful[-1] < read("confidence")[-1]["probability"]
    indices = [it["index"] for it in read("index")]
    assert indices == sorted(indices)
    assert indices[-1] < 1000
