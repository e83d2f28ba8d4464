"""The weights and biases of a layer as arrays."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from httpx2 import Response
from numpy.typing import NDArray
from safetensors.numpy import load
from starlette.testclient import TestClient

from mlp_core import ARITHMETIC, Network
from service.api import layer_arrays
from service.store.sql.database import Database
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.conftest import World
from tests.support.live_service import Live, train


def array(answer: Response) -> NDArray[Any]:
    assert answer.status_code == 200, answer.text
    found: NDArray[Any] = np.load(io.BytesIO(answer.content))
    return found


def tensors(reader: TestClient, job: str) -> dict[str, NDArray[np.float32]]:
    return load(reader.get(f"/v1/models/{job}/weights.safetensors").content)


def test_every_layer_can_be_had_as_rows_of_units_and_biases(
    reader: TestClient, world: World
) -> None:
    expected = tensors(reader, world.deep)
    for layer, units in ((1, 12), (2, 11), (3, 10)):
        path = f"/v1/models/{world.deep}/layers/{layer}"
        weights, biases = (reader.get(f"{path}/{part}.npy") for part in ("weights", "biases"))
        W = array(weights)
        assert W.dtype == np.float32
        assert (W.flags.c_contiguous, len(W)) == (True, units)
        assert W.tobytes() == expected[f"layers.{layer}.weight"].T.tobytes()
        assert array(biases).tobytes() == expected[f"layers.{layer}.bias"].tobytes()
        assert (weights.headers["Units"], biases.headers["Units"]) == (str(units), str(units))
        assert weights.headers["Content-Type"] == "application/x-npy"
        assert weights.headers["Model"] == world.deep


@pytest.mark.parametrize(
    ("query", "rows"),
    [("units=3", slice(3)), ("offset=9", slice(9, 12)), ("units=5&offset=4", slice(4, 9))],
)
def test_some_units_can_be_chosen(
    reader: TestClient, world: World, query: str, rows: slice
) -> None:
    path = f"/v1/models/{world.deep}/layers/1"
    for part in ("weights", "biases"):
        answer = reader.get(f"{path}/{part}.npy?{query}")
        assert array(answer).tobytes() == array(reader.get(f"{path}/{part}.npy"))[rows].tobytes()
        assert answer.headers["Units"] == "12"


@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_int8_is_the_weight_divided_by_the_scale(
    reader: TestClient, world: World, coding: str
) -> None:
    path = f"/v1/models/{world.deep}/layers/1/weights.npy?units=4"
    answer = reader.get(f"{path}&dtype=int8", headers={"Accept-Encoding": coding})
    levels, exact = array(answer), array(reader.get(path))
    scale = float(answer.headers["Scale"])
    assert levels.dtype == np.int8
    assert (np.abs(levels).max(), answer.headers.get("Content-Encoding")) == (
        127,
        "gzip" if coding == "gzip" else None,
    )
    assert np.abs(levels * scale - exact).max() <= scale * 0.5001


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [("gzip, deflate, br", True), ("br;q=1, gzip;q=0.5", True), ("gzip;q=0", False), ("br", False)],
)
def test_int8_is_packed_for_clients_that_read_gzip(
    reader: TestClient, world: World, accepted: str, packed: bool
) -> None:
    path = f"/v1/models/{world.deep}/layers/1/weights.npy"
    headers = {"Accept-Encoding": accepted}
    with reader.stream("GET", f"{path}?dtype=int8", headers=headers) as answer:
        raw = b"".join(answer.iter_raw())
    assert ("Content-Encoding" in answer.headers) == packed
    plain = gzip.decompress(raw) if packed else raw
    assert np.load(io.BytesIO(plain)).shape == (12, 784)
    assert "Accept-Encoding" in answer.headers["Vary"]
    floats = reader.get(path, headers=headers)
    assert "Content-Encoding" not in floats.headers
    assert answer.headers["ETag"] != floats.headers["ETag"]


def test_weights_that_are_not_finite_or_all_zero_have_levels_too() -> None:
    odd = np.array([[np.nan, np.inf, -np.inf, 2, -4, 0]], np.float32)
    scale = layer_arrays.scale_of(odd)
    assert layer_arrays.as_int8(odd, scale).tolist() == [[-128, -128, -128, 64, -127, 0]]
    nothing = np.zeros((2, 2), np.float32)
    assert layer_arrays.as_int8(nothing, layer_arrays.scale_of(nothing)).tolist() == [[0, 0]] * 2


def test_an_answer_has_an_etag_of_its_own_for_each_choice(reader: TestClient, world: World) -> None:
    path = f"/v1/models/{world.deep}/layers/1"
    choices = ("weights.npy", "weights.npy?units=2", "weights.npy?dtype=int8", "biases.npy")
    tags = [reader.get(f"{path}/{choice}").headers["ETag"] for choice in choices]
    assert len(set(tags)) == len(tags)
    for choice, tag in zip(choices, tags, strict=True):
        again = reader.get(f"{path}/{choice}", headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("layers/4/weights.npy", "layer-not-found"),
        ("layers/1/biases.npy?offset=12", "not-found"),
        ("layers/1/weights.npy?units=0", "invalid"),
        ("layers/1/weights.npy?dtype=float64", "invalid"),
        ("layers/1/weights.npy?theme=dark", "invalid"),
    ],
)
def test_what_is_not_there_is_refused(
    reader: TestClient, world: World, path: str, code: str
) -> None:
    answer = reader.get(f"/v1/models/{world.deep}/{path}")
    check_problem(answer, 422 if code == "invalid" else 404)
    assert answer.json()["code"] == code


def test_too_many_weights_for_one_answer_are_refused_with_the_number_of_units_to_ask_for(
    reader: TestClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_arrays, "MAX_NUMBERS", 784 * 5)
    path = f"/v1/models/{world.deep}/layers/1/weights.npy"
    answer = reader.get(path)
    check_problem(answer, 422)
    assert "ask for 5 units at a time" in answer.json()["detail"]
    assert array(reader.get(f"{path}?units=5&offset=6")).shape == (5, 784)


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_minus_start_subtracts_what_the_seed_gave_bit_for_bit(
    reader: TestClient, world: World, layer: int
) -> None:
    path = f"/v1/models/{world.deep}/layers/{layer}"
    spec = reader.get(f"/v1/jobs/{world.deep}").json()["spec"]
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([spec["seed"], 0, 0])))
    sizes = (784, 12, 11, 10)
    start = Network.random(sizes, "tanh", spec["initialization"], spec["initial_bias"], rng)
    W, b = start.weights[layer - 1], start.biases[layer - 1]
    for part, drawn in (("weights", W.T), ("biases", b)):
        trained = array(reader.get(f"{path}/{part}.npy"))
        learned = reader.get(f"{path}/{part}.npy?minus=start&offset=2&units=6")
        assert array(learned).tobytes() == (trained - drawn)[2:8].tobytes()
        assert np.abs(array(learned)).max() > 0


def test_int8_has_a_scale_of_its_own_for_what_was_learned(reader: TestClient, world: World) -> None:
    path = f"/v1/models/{world.linear}/layers/1/weights.npy?minus=start"
    exact, levels = array(reader.get(path)), reader.get(f"{path}&dtype=int8")
    scale = float(levels.headers["Scale"])
    assert np.abs(array(levels) * scale - exact).max() <= scale * 0.5001
    assert scale == pytest.approx(np.abs(exact).max() / 127)


@pytest.mark.parametrize("path", ["weights.npy?", "biases.npy?", "weights.png?", "weights.svg?"])
def test_a_start_that_another_numpy_drew_is_refused(
    api: TestClient, data_dir: Path, datasets_dir: Path, api_database: Database, path: str
) -> None:
    job = train(data_dir, datasets_dir, hidden=[8], epochs=1, batch_size=4096)
    environment = {"arithmetic": ARITHMETIC, "numpy": "1.25.0"}
    with api_database.write() as transaction:
        statement = "UPDATE jobs SET environment = :environment WHERE id = :job"
        transaction.execute(statement, environment=json.dumps(environment), job=job)
    answer = api.get(f"/v1/models/{job}/layers/1/{path}minus=start")
    check_problem(answer, 409)
    assert "NumPy 1.25.0" in answer.json()["detail"]
    assert api.get(f"/v1/models/{job}/layers/1/{path}units=2").status_code == 200


def test_an_unchanged_layer_is_not_sent_again_over_http(
    live: Live, data_dir: Path, datasets_dir: Path
) -> None:
    job = train(data_dir, datasets_dir, hidden=[8], epochs=1, batch_size=4096)
    path = f"/v1/models/{job}/layers/1/weights.npy?dtype=int8&minus=start"
    answer = live.http.get(path)
    assert (array(answer).shape, answer.headers["Content-Encoding"]) == ((8, 784), "gzip")
    again = live.http.get(path, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
