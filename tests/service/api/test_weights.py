"""Weights as pictures and as files."""

import base64
import hashlib
import io
import json
import re

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load
from starlette.testclient import TestClient

import service
from service.pictures import weight_matrix
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.api.test_jobs import submit
from tests.service.conftest import World
from tests.support.pictures import picture, texts

TEN = [f"Digit {digit}" for digit in range(10)]


def test_the_linear_models_weights_are_ten_named_templates(
    reader: TestClient, world: World
) -> None:
    path = f"/v1/models/{world.linear}/layers/1/weights"
    assert texts(reader.get(f"{path}.svg"))[:10] == TEN
    wide, high = picture(reader.get(f"{path}.png")).size
    assert 1.9 < wide / high < 2.1  # five columns, two rows with their titles, and the bar


def test_templates_show_the_weights(reader: TestClient, world: World) -> None:
    answer = reader.get(
        f"/v1/models/{world.linear}/layers/1/weights.svg?units=1&offset=3&tile=28&columns=1"
    )
    [data] = re.findall(r"data:image/png;base64,([^\"]+)", answer.text)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"), float)
    shown = pixels[-28 - 3 : -3, 3:31]  # a tile of 28 is 28 // 9 = 3 pixels from the edges
    weights = load(reader.get(f"/v1/models/{world.linear}/weights.safetensors").content)
    template = weights["layers.1.weight"][:, 3].reshape(28, 28)
    strongest = np.unravel_index(np.abs(template).argmax(), template.shape)
    red, _, blue = shown[strongest]
    assert (blue > red) == (template[strongest] > 0)
    redness = (shown[..., 0] - shown[..., 2]).ravel()
    assert np.corrcoef(redness, template.ravel())[0, 1] < -0.9


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("units=3", TEN[:3]),
        ("offset=7", TEN[7:]),
        ("units=2&offset=4", TEN[4:6]),
        ("units=1024&offset=9", TEN[9:]),
        ("scale=each&theme=dark", TEN),
    ],
)
def test_a_part_of_the_units_can_be_drawn(
    reader: TestClient, world: World, query: str, titles: list[str]
) -> None:
    answer = reader.get(f"/v1/models/{world.linear}/layers/1/weights.svg?{query}")
    assert [it for it in texts(answer) if it.startswith("Digit")] == titles


def test_columns_and_tiles_decide_the_pictures_shape(reader: TestClient, world: World) -> None:
    path = f"/v1/models/{world.linear}/layers/1/weights.png"
    row = picture(reader.get(f"{path}?columns=10&tile=56")).size
    column = picture(reader.get(f"{path}?columns=1&tile=56")).size
    assert row[0] > 560 > 150 > row[1]
    assert column[1] > 560 > 150 > column[0]


def test_a_scale_for_each_template_changes_the_tiles(reader: TestClient, world: World) -> None:
    path = f"/v1/models/{world.linear}/layers/1/weights.png"
    shared, each = (reader.get(f"{path}?scale={scale}").content for scale in ("shared", "each"))
    assert shared != each


def numbers(first: int, count: int) -> list[str]:
    return [str(number) for number in range(first, first + count)]


def test_hidden_units_are_numbered_and_have_a_colour_scale_each_unless_one_is_asked_for(
    reader: TestClient, world: World
) -> None:
    path = f"/v1/models/{world.deep}/layers/1/weights.svg"
    each = ["12 units, each in its own colour scale", "-max", "max"]
    assert texts(reader.get(path)) == numbers(0, 12) + each
    assert texts(reader.get(f"{path}?scale=each")) == numbers(0, 12) + each
    weights = load(reader.get(f"/v1/models/{world.deep}/weights.safetensors").content)
    most = f"{np.abs(weights['layers.1.weight']).max():.2g}"
    shared = ["12 units, in one colour scale", f"-{most}", most]
    assert texts(reader.get(f"{path}?scale=shared")) == numbers(0, 12) + shared


def test_a_deeper_layer_is_a_matrix_with_numbered_rows_and_columns(
    reader: TestClient, world: World
) -> None:
    path = f"/v1/models/{world.deep}/layers"
    weights = load(reader.get(f"/v1/models/{world.deep}/weights.safetensors").content)
    for layer, title, inputs, units in (
        (2, "Layer 2: 11 units (rows), 12 inputs (columns)", 12, 11),
        (3, "Layer 3: 10 digits (rows), 11 inputs (columns)", 11, 10),
    ):
        most = f"{np.abs(weights[f'layers.{layer}.weight']).max():.2g}"
        expected = [title, *numbers(0, units), *numbers(0, inputs), f"units of layer {layer - 1}"]
        found = texts(reader.get(f"{path}/{layer}/weights.svg"))
        assert found == [*expected, f"-{most}", most]
    part = texts(reader.get(f"{path}/2/weights.svg?units=5&offset=3"))
    assert part[:6] == [
        "Layer 2: 5 of 11 units, from 3 on (rows), 12 inputs (columns)",
        *numbers(3, 5),
    ]


def test_a_picture_of_what_was_learned_says_so_and_has_no_noise_outside_the_ink(
    reader: TestClient, world: World
) -> None:
    deep, linear = (f"/v1/models/{job}/layers" for job in (world.deep, world.linear))
    hidden = texts(reader.get(f"{deep}/1/weights.svg?minus=start"))
    assert "12 units, minus start, each in its own colour scale" in hidden
    assert texts(reader.get(f"{linear}/1/weights.svg?minus=start"))[10] == "minus start"
    assert texts(reader.get(f"{deep}/2/weights.svg?minus=start"))[0].endswith(", minus start")
    query = "tile=28&units=1&columns=1"
    corners = [
        np.asarray(picture(reader.get(f"{linear}/1/weights.png?{query}{minus}")).convert("L"))
        for minus in ("", "&minus=start")
    ]  # no digit has ink in the first row of pixels, so training leaves it as it began
    rows = [image[-3 - 28, 3:31].astype(int) for image in corners]
    assert np.ptp(rows[0]) > 20
    assert np.ptp(rows[1]) <= 2


def test_a_picture_without_some_units_says_so(reader: TestClient, world: World) -> None:
    path = f"/v1/models/{world.deep}/layers/1/weights.svg"
    caption = "8 of 12 units, each in its own colour scale"
    assert caption in texts(reader.get(f"{path}?units=8"))
    later = texts(reader.get(f"{path}?offset=4&theme=dark"))
    assert later[:9] == [*numbers(4, 8), "8 of 12 units, from 4 on, each in its own colour scale"]
    narrow = texts(reader.get(f"{path}?units=2&tile=56"))
    assert narrow == ["0", "1", "2 of 12 units"]  # there is no room for more
    assert texts(reader.get(f"{path}?units=1&tile=28")) == ["0"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("layers/2/weights.png", "layer-not-found"),
        ("layers/2147483648/weights.png", "layer-not-found"),
        ("layers/1/weights.png?offset=10", "not-found"),
        ("layers/1/weights.svg?offset=2147483648", "not-found"),
    ],
)
def test_a_missing_layer_or_unit_is_not_found(
    reader: TestClient, world: World, path: str, code: str
) -> None:
    answer = reader.get(f"/v1/models/{world.linear}/{path}")
    check_problem(answer, 404)
    assert answer.json()["code"] == code


@pytest.mark.parametrize(
    "query",
    ["units=0", "units=1025", "offset=-1", "tile=7", "tile=513", "columns=0", "columns=65"],
)
def test_a_number_out_of_range_is_refused_by_name(
    reader: TestClient, world: World, query: str
) -> None:
    answer = reader.get(f"/v1/models/{world.linear}/layers/1/weights.png?{query}")
    check_problem(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == "?" + query.split("=")[0]


def test_weights_are_the_same_in_every_format(reader: TestClient, world: World) -> None:
    path = f"/v1/models/{world.deep}/weights"
    tensors = load(reader.get(f"{path}.safetensors").content)
    arrays = np.load(io.BytesIO(reader.get(f"{path}.npz").content), allow_pickle=False)
    lists = reader.get(f"{path}.json").json()
    shapes = {name: array.shape for name, array in tensors.items()}
    sizes = [784, 12, 11, 10]
    assert shapes == {f"layers.{k}.weight": (sizes[k - 1], sizes[k]) for k in (1, 2, 3)} | {
        f"layers.{k}.bias": (sizes[k],) for k in (1, 2, 3)
    }
    assert set(arrays) == {*tensors, "metadata.json"}
    assert set(lists) == {*tensors, "__metadata__"}
    for name, tensor in tensors.items():
        assert tensor.dtype == np.float32
        np.testing.assert_array_equal(arrays[name], tensor)
        np.testing.assert_array_equal(np.array(lists[name], np.float32), tensor)


def test_the_jobs_digest_is_that_of_the_tensor_data(reader: TestClient, world: World) -> None:
    # safetensors: 8 bytes of header length, little-endian; the header; the data.
    for job in (world.linear, world.deep):
        file = reader.get(f"/v1/models/{job}/weights.safetensors").content
        data = file[8 + int.from_bytes(file[:8], "little") :]
        known = reader.get(f"/v1/jobs/{job}").json()["weights_sha256"]
        assert hashlib.sha256(data).hexdigest() == known


def test_a_file_of_weights_says_how_to_use_it_elsewhere(reader: TestClient, world: World) -> None:
    path = f"/v1/models/{world.deep}/weights"
    answers = {suffix: reader.get(f"{path}.{suffix}") for suffix in ("safetensors", "npz", "json")}
    header = answers["safetensors"].content[8:]
    found = json.JSONDecoder().raw_decode(header.decode("latin-1"))[0]["__metadata__"]
    assert found.pop("service_version") == service.__version__
    assert re.fullmatch("[0-9a-f]{64}", found.pop("checkpoint_sha256"))
    assert found.pop("dataset_sha256") == reader.get("/v1/datasets/mnist").json()["sha256"]
    assert found == {
        "model": world.deep,
        "epochs_done": "1",
        "dataset": "mnist",
        "inputs": "784",
        "input_scale": "1/255",
        "hidden": "[12, 11]",
        "activation": "tanh",
        "output": "softmax",
    }
    npz = np.load(io.BytesIO(answers["npz"].content))
    in_npz, in_json = json.loads(npz["metadata.json"]), answers["json"].json()["__metadata__"]
    assert in_npz == in_json
    assert in_npz.items() >= found.items()


@pytest.mark.parametrize(
    "file", ["weights.safetensors", "weights.npz", "weights.json", "layers/1/weights.svg"]
)
def test_headers_name_the_network_of_a_file(reader: TestClient, world: World, file: str) -> None:
    answer = reader.get(f"/v1/models/latest/{file}")
    predicted = reader.post(
        "/v1/models/latest/predict", json={"inputs": [{"dataset": "mnist", "index": 1}]}
    )
    for name in ("Model", "Epochs-Done", "Checkpoint-Sha256"):
        assert answer.headers[name] == predicted.headers[name]
    assert answer.headers["Model"] == world.linear


def test_a_file_of_weights_is_named_after_its_job(reader: TestClient, world: World) -> None:
    for suffix, media_type in (
        ("safetensors", "application/octet-stream"),
        ("npz", "application/zip"),
        ("json", "application/json"),
    ):
        answer = reader.get(f"/v1/models/latest/weights.{suffix}")
        assert answer.headers["Content-Type"] == media_type
        named = f'attachment; filename="{world.linear}.{suffix}"'
        assert answer.headers["Content-Disposition"] == named


def test_too_many_weights_for_json_are_offered_in_other_formats(
    reader: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.api.weights.MAX_JSON_PARAMETERS", 7_849)
    answer = reader.get("/v1/models/latest/weights.json")
    check_problem(answer, 422)
    assert ".safetensors" in answer.json()["detail"]
    assert reader.get("/v1/models/latest/weights.npz").status_code == 200


def test_one_column_of_many_tiles_stays_a_picture_of_bounded_size(
    reader: TestClient, world: World
) -> None:
    answer = reader.get(f"/v1/models/{world.deep}/layers/1/weights.png?columns=1")
    width, _ = Image.open(io.BytesIO(answer.content)).size
    assert width < 150


def test_latest_is_the_job_that_succeeded_last(reader: TestClient, world: World) -> None:
    path = "layers/1/weights.png?units=2"
    latest = reader.get(f"/v1/models/latest/{path}")
    assert latest.content == reader.get(f"/v1/models/{world.linear}/{path}").content
    assert latest.content != reader.get(f"/v1/models/{world.deep}/{path}").content


@pytest.mark.parametrize("path", ["weights.npz", "layers/1/weights.svg"])
def test_weights_that_do_not_exist_yet_suggest_a_retry(api: TestClient, path: str) -> None:
    answer = api.get(f"/v1/models/{submit(api)}/{path}")
    check_problem(answer, 409)
    assert answer.json()["code"] == "no-checkpoint-yet"
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("n_in", "units", "pixels"), [(1000, 10, 14), (32, 10, 1), (448, 10, 7), (128, 500, 1)]
)
def test_each_unit_of_a_wide_layer_has_a_row_that_can_be_seen(
    n_in: int, units: int, pixels: NDArray[np.uint8]
) -> None:
    assert weight_matrix.row_height(n_in, units) == pixels
