"""Predicting with the client: every form of an image, and arrays in parts."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mlp_client import ImageUnusable, RefusedError, UnexpectedAnswer
from tests.support.fake_service import FakeService, problem

GREY = [[(row * column) % 256 for column in range(28)] for row in range(28)]
FLAT = [value for row in GREY for value in row]


def sent_inputs(image: Any) -> tuple[list[dict[str, Any]], bool]:
    """Predict; return the inputs of the request, and whether the result is a single prediction."""
    service = FakeService()
    prediction = service.client().models.predict(image)
    return json.loads(service.requests[0].content)["inputs"], not isinstance(prediction, list)


def decoded(item: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(item["base64"])))


@pytest.mark.parametrize("form", [str, lambda path: path, lambda path: path.read_bytes()])
def test_a_file_is_sent_unchanged(form: Any, tmp_path: Path) -> None:
    path = tmp_path / "seven.png"
    path.write_bytes(b"as it is")
    inputs, single = sent_inputs(form(path))
    assert single
    assert inputs == [{"base64": base64.b64encode(b"as it is").decode()}]


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "P", "CMYK", "F"])
def test_a_pillow_image_is_sent_as_png(mode: str) -> None:
    (item,), single = sent_inputs(Image.new(mode, (50, 40)))
    assert single
    assert decoded(item).size == (50, 40)


@pytest.mark.parametrize(
    "image",
    [GREY, tuple(FLAT), np.array(GREY, np.uint8), np.array(FLAT), list(np.array(GREY))],
    ids=["rows", "tuple", "uint8", "row", "rows of arrays"],
)
def test_integers_are_sent_as_grey_values(image: Any) -> None:
    (item,), single = sent_inputs(image)
    assert single
    assert np.ravel(item["pixels"]).tolist() == FLAT


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_floats_are_sent_as_values(kind: type[np.floating[Any]]) -> None:
    image = np.full((28, 28), 0.5, kind)
    (item,), single = sent_inputs(image)
    assert single
    assert item == {"values": image.tolist()}


def test_a_list_is_sent_in_one_request_and_gives_a_list(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    images = [tmp_path / "a.png", b"b", Image.new("L", (9, 9)), np.zeros((28, 28), int), FLAT]
    inputs, single = sent_inputs(images)
    assert not single
    assert [next(iter(item)) for item in inputs] == ["base64"] * 3 + ["pixels"] * 2


@pytest.mark.parametrize("shape", [(3, 28, 28), (28, 28, 28), (3, 784), (28, 784), (1, 28, 28)])
def test_a_stack_of_arrays_is_a_list(shape: tuple[int, ...]) -> None:
    inputs, single = sent_inputs(np.zeros(shape, np.uint8))
    assert not single
    assert len(inputs) == shape[0]


@pytest.mark.parametrize(
    "image", [np.zeros(783), [0] * 783, [[1, 2], [3]], [[]], np.zeros((1, 0, 9))]
)
def test_an_array_of_another_size_is_refused_with_advice(image: Any) -> None:
    with pytest.raises(ImageUnusable, match="28x28 or 784 numbers"):
        FakeService().client().models.predict(image)


@pytest.mark.parametrize("image", [7, None, {"pixels": FLAT}])
def test_an_object_that_is_not_an_image_is_refused(image: Any) -> None:
    with pytest.raises(ImageUnusable, match=f"type {type(image).__name__}"):
        FakeService().client().models.predict(image)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.png"):
        FakeService().client().models.predict(tmp_path / "absent.png")


def npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("form", ["array", "bytes", "path", "text"])
def test_an_array_is_sent_as_npy_and_gives_a_prediction_for_each_image(
    form: str, tmp_path: Path
) -> None:
    digits = np.arange(3 * 784, dtype=np.uint8).reshape(3, 28, 28)
    path = tmp_path / "digits.npy"
    path.write_bytes(npy(digits))
    forms: dict[str, Any] = {"array": digits, "bytes": npy(digits), "path": path, "text": str(path)}
    service = FakeService()
    found = service.client().models.predict_array(
        forms[form], "ref_9", 5, "never", return_pixels=True
    )
    assert [prediction.label for prediction in found] == [7, 7, 7]
    (request,) = service.requests
    assert request.url.path == "/v1/models/ref_9/predict"
    assert request.content == npy(digits)
    assert request.headers["Content-Type"] == "application/x-npy"
    options = {"top_k": "5", "normalize": "never", "return_pixels": "true"}
    assert dict(request.url.params) == options


def test_probabilities_are_requested_and_returned_as_an_array() -> None:
    service = FakeService()
    found = service.client().models.probabilities(
        np.zeros((2, 784), np.float32), normalize="always"
    )
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.eye(2, 10))
    (request,) = service.requests
    assert request.headers["Accept"] == "application/x-npy"
    assert dict(request.url.params) == {"normalize": "always"}


def many_digits(count: int = 2500) -> NDArray[np.float64]:
    """Each image is its number, so that their order can be checked."""
    numbers = np.arange(count, dtype=np.float64) / count
    return np.repeat(numbers, 784).reshape(count, 28, 28)


def sent_arrays(service: FakeService) -> list[NDArray[Any]]:
    return [np.load(io.BytesIO(request.content)) for request in service.requests]


@pytest.mark.parametrize("form", ["array", "bytes", "path"])
@pytest.mark.parametrize("method", ["predict_array", "probabilities"])
def test_many_images_are_sent_in_parts_in_order_to_one_network(
    method: str, form: str, tmp_path: Path
) -> None:
    digits = many_digits()
    path = tmp_path / "digits.npy"
    np.save(path, digits)
    service = FakeService()
    given = {"array": digits, "bytes": path.read_bytes(), "path": path}[form]
    found = getattr(service.client().models, method)(given)
    assert len(found) == 2500
    sent = sent_arrays(service)
    assert [len(part) for part in sent] == [834, 833, 833]
    np.testing.assert_array_equal(np.concatenate(sent), digits)
    latest, *others = (request.url.path for request in service.requests)
    assert latest == "/v1/models/latest/predict"
    assert set(others) == {"/v1/models/ref_1/predict"}
    assert all(len(request.content) < 10 * 1024**2 for request in service.requests)


def test_the_responses_to_the_parts_are_concatenated() -> None:
    found = FakeService().client().models.probabilities(many_digits(1002))
    np.testing.assert_array_equal(found, np.tile(np.eye(501, 10), (2, 1)))


@pytest.mark.parametrize("shape", [(784,), (28, 28), (1, 784), (1000, 784), (2 * 784,), (0, 784)])
def test_up_to_1000_images_and_other_arrays_are_sent_in_one_request(shape: tuple[int, ...]) -> None:
    service = FakeService()
    service.client().models.predict_array(np.zeros(shape, np.uint8))
    assert [part.shape for part in sent_arrays(service)] == [shape]


def test_the_server_says_what_is_wrong_with_a_file_that_holds_no_array() -> None:
    service = FakeService()
    service.faults.append(problem(422, "The body is no .npy file (version 1 or 2)."))
    with pytest.raises(RefusedError, match=r"no \.npy file"):
        service.client().models.predict_array(b"\x93NUMPY\x09garbage")
    assert service.requests[0].content == b"\x93NUMPY\x09garbage"


GIVEN: dict[str, Any] = {"descr": "<f4", "fortran_order": False, "shape": (1, 10)}


def claiming(header: dict[str, Any] | str) -> bytes:
    """An `.npy` file of this header, with room for one row."""
    text = (header if isinstance(header, str) else repr(header)).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(40)


@pytest.mark.parametrize(
    "content",
    [
        b"hello",
        claiming(GIVEN)[:-1],
        claiming(GIVEN | {"shape": (10**12, 10)}),
        claiming(GIVEN | {"shape": (10**22, 10)}),
        claiming(GIVEN | {"shape": (10,)}),
        claiming(GIVEN | {"shape": (10, 1)}),
        claiming(GIVEN | {"descr": "<i4"}),
        claiming(GIVEN | {"fortran_order": True}),
        claiming("{[]: 1}"),
        claiming("{'descr': "),
        claiming("-" * 9000),
        npy(np.zeros((1, 3))),
        npy(np.full((1, 10), "a")),
    ],
)
def test_a_response_that_is_not_an_array_is_reported_as_another_program(content: bytes) -> None:
    service = FakeService()
    service.faults.append(httpx2.Response(200, content=content))
    with pytest.raises(UnexpectedAnswer, match="Is another program"):
        service.client().models.probabilities(np.zeros((28, 28), np.uint8))


@pytest.mark.parametrize(
    ("classes", "named"), [(1, '["only"]'), (3, '["a","b","c"]'), (256, None), (2, None)]
)
def test_an_array_may_have_as_many_columns_as_the_answer_names(
    classes: int, named: str | None
) -> None:
    service, made = FakeService(), np.eye(2, classes, dtype=np.float32)
    headers = {"Classes": named} if named else {}
    service.faults.append(httpx2.Response(200, headers=headers, content=npy(made)))
    found = service.client().models.probabilities(np.zeros((2, 5), np.uint8))
    assert (found == made).all()


@pytest.mark.parametrize("named", ['["a","b"]', "5", "{}", "no JSON"])
def test_an_array_with_other_columns_than_it_names_is_another_programs(named: str) -> None:
    service = FakeService()
    made = npy(np.zeros((1, 3), np.float32))
    service.faults.append(httpx2.Response(200, headers={"Classes": named}, content=made))
    with pytest.raises(UnexpectedAnswer, match="Is another program"):
        service.client().models.probabilities(np.zeros((28, 28), np.uint8))


def test_large_images_of_an_array_are_sent_in_more_requests() -> None:
    service = FakeService()
    for _ in range(3):
        made = npy(np.zeros((1, 10), np.float32))
        service.faults.append(httpx2.Response(200, content=made))
    service.client().models.probabilities(np.zeros((450, 256, 256), np.uint8))
    sent = [np.load(io.BytesIO(it.content)) for it in service.requests]
    assert [len(it) for it in sent] == [150, 150, 150]


@pytest.mark.parametrize("content", [b"", b"nothing", npy(np.zeros((1, 28, 28), np.float32))])
def test_samples_that_are_no_array_of_bytes_are_reported_as_another_program(content: bytes) -> None:
    service = FakeService()
    client = service.client()
    for ask in (client.samples, client.labels):
        service.faults.append(httpx2.Response(200, content=content))
        with pytest.raises(UnexpectedAnswer, match="Is another program"):
            ask()


@pytest.mark.parametrize("image", [GREY, [GREY, GREY]])
def test_a_response_with_another_number_of_predictions_is_unexpected(image: Any) -> None:
    service = FakeService()
    empty = {"model": "job_1", "epochs_done": 1, "checkpoint_sha256": "", "predictions": []}
    service.faults.append(httpx2.Response(200, json=empty))
    with pytest.raises(UnexpectedAnswer):
        service.client().models.predict(image)


def test_predict_says_which_method_takes_an_npy_file() -> None:
    with pytest.raises(ImageUnusable, match="predict_array"):
        FakeService().client().models.predict(npy(np.zeros((2, 784), np.uint8)))


def test_options_of_a_prediction_reach_the_server() -> None:
    service = FakeService()
    job = service.client().jobs.create()
    prediction = job.predict(FLAT, top_k=5, normalize="never", return_pixels=True)
    request = service.requests[-1]
    body = json.loads(request.content)
    assert request.url.path == "/v1/models/job_1/predict"
    assert (body["top_k"], body["normalize"], body["return_pixels"]) == (5, "never", True)
    assert prediction.input is not None
    assert prediction.input.pixels is not None
    assert len(prediction.input.pixels) == 28


def test_weights_pictures_and_samples_are_fetched() -> None:
    client = FakeService().client()
    assert client.models.weights().endswith(b"/v1/models/latest/weights.safetensors")
    svg = client.models.picture("latest", layer=2, format="svg")
    assert svg.endswith(b"/v1/models/latest/layers/2/weights.svg")
    assert client.contact_sheet().startswith(b"a png")
    assert client.sample(4).index == 4
