"""JSON in the forms of other services is read where its meaning is plain."""

import base64
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from tests.service.api.test_hostile_bodies import check_problem
from tests.support.image_requests import PATH, SEVEN, ask, check, encoded, npy, only

Grey = NDArray[np.uint8]
Expected = list[NDArray[np.float64]]


def b64(grey: Grey) -> str:
    return base64.b64encode(encoded(grey)).decode()


def typed(numbers: list[Any]) -> dict[str, Any]:
    """Return what JSON.stringify makes of a Uint8Array or Float32Array."""
    return {str(at): number for at, number in enumerate(numbers)}


def forms(grey: Grey) -> dict[str, Any]:
    row, rows = grey.ravel().tolist(), grey.tolist()
    floats = (grey / 255).tolist()
    tensor = {"name": "input-0", "datatype": "FP32"}
    return {
        "instances of rows": {"signature_name": "serving_default", "instances": [row]},
        "instances of pictures": {"instances": [rows]},
        "instances with a channel": {"instances": grey[None, ..., None].tolist()},
        "instances of floats": {"instances": [floats]},
        "instances of b64": {"instances": [{"b64": b64(grey)}]},
        "instances of named b64": {"instances": [{"image_bytes": {"b64": b64(grey)}}]},
        "image": {"image": "data:image/png;base64," + b64(grey)},
        "images": {"images": [b64(grey)], "top_k": 3},
        "data": {"data": [row]},
        "data of a data URL": {"data": ["data:image/png;base64," + b64(grey)]},
        "pixels": {"pixels": rows},
        "values": {"values": floats, "top_k": 3},
        "base64": {"base64": b64(grey)},
        "inputs of numbers": {"inputs": [row]},
        "a picture's bytes": {"image": list(encoded(grey))},
        "Node's Buffer": {"images": [{"type": "Buffer", "data": list(encoded(grey))}]},
        "a typed array": {"image": typed(row)},
        "a typed array of floats": {"data": [typed((grey.ravel() / 255).tolist())]},
        "a typed array alone": typed(row),
        "a field of any name": {"imageBase64": b64(grey), "top_k": 3},
        "a data URL of any name": {"canvas": "data:image/png;base64," + b64(grey)},
        "a text": "data:image/png;base64," + b64(grey),
        "a row": row,
        "bare rows": rows,
        "a bare batch": [rows],
        "fractions of 255.0": {"inputs": [{"pixels": [[float(it) for it in r] for r in rows]}]},
        "open inference": {"inputs": [{**tensor, "shape": [1, 784], "data": row}]},
        "open inference, nested": {
            "id": "7",
            "inputs": [{**tensor, "shape": [1, 1, 28, 28], "data": [[floats]]}],
        },
        "open inference, bytes": {
            "inputs": [{"name": "x", "datatype": "BYTES", "shape": [1], "data": [b64(grey)]}]
        },
    }


@pytest.mark.parametrize("form", forms(np.eye(28, dtype=np.uint8)))
def test_other_forms_are_read(
    reader: TestClient, images: Grey, expected: Expected, form: str
) -> None:
    answer = reader.post(PATH, json=forms(images[SEVEN])[form])
    prediction = only(answer)
    check(prediction, expected[SEVEN])
    assert prediction["warnings"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"imageBase64": "A" * 60, "other": "A" * 60},
        {"imageBase64": "A" * 60, "topk": 3},
        {"text": "seven"},
        {"0": 1, "2": 1},
    ],
)
def test_a_field_whose_meaning_is_not_plain_is_refused_by_name(
    reader: TestClient, body: dict[str, Any]
) -> None:
    answer = reader.post(PATH, json=body)
    check_problem(answer, 422)
    pointers = {item["pointer"] for item in answer.json()["errors"]}
    assert pointers == {"#/inputs", *(f"#/{name}" for name in body)}


@pytest.mark.parametrize(
    ("cells", "seen"),
    [
        ([0] * 783, "this is a list of 783."),
        ([[1, 2], [3]], "these 2 rows have 1 to 2 numbers."),
        ([None] * 784, "one of these is null."),
        ([[1, "2"]], "one of these is a text."),
        ([[True, False]], "one of these is true or false."),
        ([[[0, 0, 0]]], "one of these is a list."),
        ([[{}]], "one of these is an object."),
        ([[0, 300]], "with values from 0 to 300. Grey levels must lie in 0-1 or 0-255."),
    ],
)
def test_the_refusal_of_pixels_says_what_came(
    reader: TestClient, cells: list[Any], seen: str
) -> None:
    answer = reader.post(PATH, json={"inputs": [{"pixels": cells}]})
    check_problem(answer, 422)
    assert answer.json()["errors"][0]["detail"].endswith(seen)


def test_the_refusal_of_a_typed_array_in_pixels_has_a_hint(reader: TestClient) -> None:
    answer = reader.post(PATH, json={"inputs": [{"pixels": typed([0] * 784)}]})
    check_problem(answer, 422)
    assert "Array.from" in answer.json()["errors"][0]["hint"]


def test_a_batch_is_answered_in_its_order(
    reader: TestClient, images: Grey, expected: Expected
) -> None:
    for body in ({"instances": images.tolist()}, images.reshape(20, 784).tolist()):
        answer = reader.post(PATH, json=body).json()
        for prediction, probabilities in zip(answer["predictions"], expected, strict=True):
            check(prediction, probabilities)


def test_one_bad_image_of_a_batch_has_its_own_problem(reader: TestClient, images: Grey) -> None:
    body = {"instances": [b64(images[SEVEN]), "!", [1, 2, 3]]}
    first, second, third = reader.post(PATH, json=body).json()["predictions"]
    assert first["label"] == 7
    assert second["problem"]["errors"][0]["pointer"] == "#/instances/1"
    assert third["problem"]["errors"][0]["pointer"] == "#/instances/2"
    assert "(3,)" in third["problem"]["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"instances": []},
        {"instances": [[0, 0, 0]]},
        {"instances": 7},
        {"instances": [None]},
        {"image": None},
        {"image": [[[[[[[1]]]]]]]},
        {"images": [{"b64": {"b64": {"b64": {"b64": "aGk="}}}}]},
        {"data": [["a", 1]]},
        {"inputs": [{"shape": [1, 784], "datatype": "FP32", "data": [0]}]},
        {"inputs": [{"shape": [-1], "datatype": "FP32", "data": [0]}]},
        {"inputs": [{"shape": [1], "datatype": "WRONG", "data": [0]}]},
        {"inputs": [{"shape": [1], "data": "text"}]},
        [],
        [[]],
        ["!"],
        [10**400] * 784,
        [300] * 784,
        [-1] * 784,
    ],
    ids=str,
)
def test_what_has_no_plain_meaning_is_refused(reader: TestClient, body: Any) -> None:
    check_problem(reader.post(PATH, json=body), 422)


def test_hints_come_from_the_routes_own_fields(reader: TestClient) -> None:
    body = {"inputs": [{"dataset": "mnist", "index": 1}], "hidden": [3], "topk": 3}
    answer = reader.post(PATH, json=body)
    check_problem(answer, 422)
    hints = {each["pointer"]: each.get("hint") for each in answer.json()["errors"]}
    assert hints == {"#/hidden": None, "#/topk": "did you mean 'top_k'?"}
    assert "base64" in reader.post(PATH, json={}).json()["errors"][0]["hint"]


# --- Arrays ---


@pytest.mark.parametrize(
    "make",
    [
        lambda grey: grey[None, ..., None],
        lambda grey: grey[None, None],
        lambda grey: grey.reshape(784, 1),
        lambda grey: grey.astype(np.int64),
        lambda grey: grey.astype(">i2"),
        lambda grey: grey.astype(np.float64),
        lambda grey: (grey / 255).astype(np.float32),
        lambda grey: np.repeat(grey[..., None], 3, -1),
        lambda grey: np.repeat(grey[None, :, :, None], 3, -1),
        lambda grey: np.repeat(grey[None, None], 3, 1),
    ],
)
def test_an_array_is_converted_where_nothing_is_lost(
    reader: TestClient, images: Grey, expected: Expected, make: Any
) -> None:
    prediction = only(ask(reader, npy(make(images[SEVEN])), "application/x-npy"))
    check(prediction, expected[SEVEN])
    assert prediction["warnings"] == []


@pytest.mark.parametrize(
    ("make", "warned"),
    [
        (lambda white: white.astype(np.uint8), True),
        (lambda white: white.astype(np.float32), True),
        (lambda white: white, False),
        (lambda white: white * np.uint8(255), False),
    ],
)
def test_zeros_and_ones_are_read_as_black_and_white_with_a_warning(
    reader: TestClient, images: Grey, make: Any, warned: bool
) -> None:
    white = images[SEVEN] > 127
    expected = only(ask(reader, npy(white), "application/x-npy"))
    answer = only(ask(reader, npy(make(white)), "application/x-npy"))
    assert (answer["label"], answer["probability"]) == (7, expected["probability"])
    assert answer["warnings"] == (["ambiguous_range"] if warned else [])


def test_pictures_of_any_size_may_come_as_an_array(reader: TestClient, images: Grey) -> None:
    large = np.kron(255 - images[SEVEN], np.ones((5, 5), np.uint8))
    for array, count in ((large, 1), (np.stack([large] * 5), 5), (np.stack([large] * 3, -1), 1)):
        answer = ask(reader, npy(array), "application/x-npy").json()
        assert [each["label"] for each in answer["predictions"]] == [7] * count


@pytest.mark.parametrize(
    ("array", "parts"),
    [
        (np.zeros((3, 100, 90)), ["(3, 100, 90)", "float64", "from 0 to 0"]),
        (np.full((28, 28), 300, np.int16), ["(28, 28)", "int16", "from 300 to 300", "0-255"]),
        (np.linspace(-0.42, 2.8, 784), ["(784,)", "float64", "from -0.42 to 2.8", "std"]),
        (np.zeros((2, 5, 6, 7)), ["(2, 5, 6, 7)"]),
        (np.full((28, 28), "a"), ["<U1"]),
    ],
)
def test_the_refusal_of_an_array_says_what_came(
    reader: TestClient, array: Any, parts: list[str]
) -> None:
    answer = ask(reader, npy(array), "application/x-npy")
    check_problem(answer, 422)
    assert answer.json()["reason"] == "unusable_array"
    assert [part for part in parts if part not in answer.json()["detail"]] == []


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [["!"] * 5001, ["!"] * 5001], "normalize": "never"},
        {"inputs": [{"datatype": "BYTES", "data": ["!", "!"]}] * 5001},
    ],
    ids=["nested texts", "tensors"],
)
def test_no_form_holds_more_images_than_a_request_may(reader: TestClient, body: Any) -> None:
    refused = reader.post(PATH, json=body).json()
    assert (refused["status"], refused["reason"]) == (422, "too_many_images")
    assert "10,000" in refused["detail"]
