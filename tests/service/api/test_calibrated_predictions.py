"""Predictions whose probabilities are divided by the temperature that an evaluation has fitted."""

import csv
import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from tests.service.api.test_hostile_bodies import check_problem
from tests.service.conftest import World

ROWS = [0, 1, 2, 8, 115]
INPUTS = [{"dataset": "mnist", "index": row} for row in ROWS]


def predicted(reader: TestClient, ref: str, **options: Any) -> dict[str, Any]:
    body = {"inputs": INPUTS, "return": ["probabilities"], "normalize": "never", **options}
    answer = reader.post(f"/v1/models/{ref}/predict", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def probabilities(found: dict[str, Any]) -> NDArray[np.float64]:
    return np.array([each["probabilities"] for each in found["predictions"]])


def softened(plain: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return softmax(logits / T): powers of the probabilities, as far as they are no zeros."""
    powers = plain ** (1 / temperature)
    result: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return result


def test_probabilities_are_tempered_by_what_an_evaluation_has_fitted(
    reader: TestClient, world: World
) -> None:
    ref = f"{world.deep}@1"
    plain = predicted(reader, ref)
    refused = reader.post(f"/v1/models/{ref}/predict?calibrated=true", json={"inputs": INPUTS})
    check_problem(refused, 409)
    assert refused.json()["code"] == "not-calibrated"
    assert f"/v1/models/{ref}/evaluation?calibrate=temperature" in refused.json()["detail"]

    fitted = reader.get(f"/v1/models/{ref}/evaluation?calibrate=temperature").json()["tempered"]
    found = predicted(reader, ref, calibrated=True)
    assert found["tempered"] == {
        "temperature": fitted["temperature"],
        "split": "test",
        "fitted_on": "even rows",
        "fitted_rows": 5000,
    }
    expected = softened(probabilities(plain), fitted["temperature"])
    assert fitted["temperature"] != pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(probabilities(found), expected, rtol=1e-3, atol=1e-6)
    labels = [[each["label"] for each in it["predictions"]] for it in (plain, found)]
    assert labels[0] == labels[1]
    assert predicted(reader, ref) == plain, "without the option nothing has changed"
    assert "tempered" not in plain


def test_the_limit_below_which_a_network_abstains_is_one_of_tempered_probabilities(
    reader: TestClient, world: World
) -> None:
    reader.get(f"/v1/models/{world.deep}/evaluation?calibrate=temperature")
    found = predicted(reader, world.deep, calibrated=True)
    below = float(np.median(probabilities(found).max(axis=1)))
    again = predicted(reader, world.deep, calibrated=True, abstain_below=below)
    for each in again["predictions"]:
        assert each["abstained"] == (each["probability"] < below)
    assert len({each["abstained"] for each in again["predictions"]}) == 2


def test_arrays_and_tables_are_tempered_too(reader: TestClient, world: World) -> None:
    fitted = reader.get(f"/v1/models/{world.deep}/evaluation?calibrate=temperature").json()
    expected = probabilities(predicted(reader, world.deep, calibrated=True))
    array = reader.post(
        f"/v1/models/{world.deep}/predict.npy?calibrated=true&normalize=never",
        json={"inputs": INPUTS},
    )
    np.testing.assert_allclose(np.load(io.BytesIO(array.content)), expected, atol=1e-6)
    table = reader.post(
        f"/v1/models/{world.deep}/predict?calibrated=true&normalize=never",
        json={"inputs": INPUTS},
        headers={"Accept": "text/csv"},
    )
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [float(row["p(3)"]) for row in rows] == pytest.approx(expected[:, 3].tolist(), abs=1e-6)
    for answer in (array, table):
        value, _, split = answer.headers["Temperature"].partition("; ")
        assert float(value) == pytest.approx(fitted["tempered"]["temperature"], rel=1e-5)
        assert split == "fitted-on=test"
    plain = reader.post(f"/v1/models/{world.deep}/predict.npy", json={"inputs": INPUTS})
    assert "Temperature" not in plain.headers


def test_the_temperature_of_another_split_gives_way_to_that_of_the_test_set(
    reader: TestClient, world: World
) -> None:
    ref = f"{world.linear}@2"
    reader.get(f"/v1/models/{ref}/evaluation?calibrate=temperature&split=train")
    assert predicted(reader, ref, calibrated=True)["tempered"]["split"] == "train"
    reader.get(f"/v1/models/{ref}/evaluation?calibrate=temperature&split=test")
    assert predicted(reader, ref, calibrated=True)["tempered"]["split"] == "test"
