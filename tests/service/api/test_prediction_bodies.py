"""Bodies of prediction requests: every form of an image gives the expected probabilities."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from tests.service.api.test_hostile_bodies import check_problem
from tests.support.image_requests import (
    PATH,
    SEVEN,
    ask,
    ask_json,
    check,
    encoded,
    npy,
    only,
)
from tests.support.shipped_files import shipped_file

FILES: dict[str, Callable[[NDArray[np.uint8]], tuple[str, bytes]]] = {
    "png": lambda pixels: ("image/png", encoded(pixels)),
    "bmp": lambda pixels: ("image/bmp", encoded(pixels, "BMP")),
    "webp": lambda pixels: ("image/webp", encoded(pixels, "WEBP", lossless=True)),
    "gif": lambda pixels: ("image/gif", encoded(pixels, "GIF")),
    "rgb": lambda pixels: ("image/png", encoded(np.repeat(pixels[..., None], 3, 2))),
    "uint8 array": lambda pixels: ("application/x-npy", npy(pixels)),
    "row": lambda pixels: ("application/x-npy", npy(pixels.ravel())),
    "batch of one": lambda pixels: ("application/x-npy", npy(pixels.reshape(1, 784))),
    "bytes of an array": lambda pixels: ("application/octet-stream", npy(pixels)),
    "bare pixels": lambda pixels: ("application/octet-stream", pixels.tobytes()),
    "float64": lambda pixels: ("application/x-npy", npy(pixels / 255)),
    "float32": lambda pixels: ("application/x-npy", npy((pixels / 255).astype(np.float32))),
    "float16": lambda pixels: ("application/x-npy", npy((pixels / 255).astype(np.float16))),
    "big-endian": lambda pixels: ("application/x-npy", npy((pixels / 255).astype(">f4"))),
    "fortran order": lambda pixels: ("application/x-npy", npy(np.asfortranarray(pixels))),
    "version 2": lambda pixels: ("application/x-npy", npy(pixels, (2, 0))),
}


@pytest.mark.parametrize("form", FILES)
def test_the_body_may_be_any_kind_of_file(
    reader: TestClient, images: NDArray[np.uint8], expected: list[NDArray[np.float64]], form: str
) -> None:
    media_type, body = FILES[form](images[SEVEN])
    check(only(ask(reader, body, media_type)), expected[SEVEN])


JSON_FORMS: dict[str, Callable[[NDArray[np.uint8]], dict[str, Any]]] = {
    "rows of pixels": lambda pixels: {"pixels": pixels.tolist()},
    "784 pixels": lambda pixels: {"pixels": pixels.ravel().tolist()},
    "rows of values": lambda pixels: {"values": (pixels / 255).tolist()},
    "784 values": lambda pixels: {"values": (pixels / 255).ravel().tolist()},
    "base64": lambda pixels: {"base64": base64.b64encode(encoded(pixels)).decode()},
    "data URL": lambda pixels: {
        "base64": "data:image/png;base64," + base64.b64encode(encoded(pixels)).decode()
    },
    "sample": lambda pixels: {"dataset": "mnist", "split": "test", "index": SEVEN},
    "test sample": lambda pixels: {"dataset": "mnist", "index": SEVEN},
}


@pytest.mark.parametrize("form", JSON_FORMS)
def test_json_may_contain_the_image_in_any_form(
    reader: TestClient, images: NDArray[np.uint8], expected: list[NDArray[np.float64]], form: str
) -> None:
    answer = ask_json(reader, JSON_FORMS[form](images[SEVEN]))
    check(only(answer), expected[SEVEN])


def test_pixels_may_have_a_decimal_point(reader: TestClient, images: NDArray[np.uint8]) -> None:
    whole, point = images[3].tolist(), images[3].astype(float).tolist()
    answers = [ask_json(reader, {"pixels": cells}) for cells in (whole, point)]
    assert answers[0].status_code == 200
    assert answers[0].content == answers[1].content


def test_values_may_be_whole_numbers(reader: TestClient, images: NDArray[np.uint8]) -> None:
    white = (images[SEVEN] > 127).astype(int)
    prediction = only(ask_json(reader, {"values": white.tolist()}))
    assert (
        prediction["top_k"] == only(ask_json(reader, {"pixels": (255 * white).tolist()}))["top_k"]
    )


def test_a_jpeg_gives_nearly_the_same_prediction(
    reader: TestClient, images: NDArray[np.uint8], expected: list[NDArray[np.float64]]
) -> None:
    body = encoded(images[SEVEN], "JPEG", quality=95)
    prediction = only(ask(reader, body, "image/jpeg"))
    assert prediction["label"] == 7
    assert prediction["probability"] == pytest.approx(expected[SEVEN][7], abs=0.05)


@pytest.mark.parametrize("shape", [(20, 28, 28), (20, 784)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_batch_is_answered_in_the_order_of_its_images(
    reader: TestClient,
    images: NDArray[np.uint8],
    expected: list[NDArray[np.float64]],
    shape: tuple[int, ...],
    order: Literal["C", "F"],
) -> None:
    answer = ask(reader, npy(np.array(images.reshape(shape), order=order)), "application/x-npy")
    for prediction, probabilities in zip(answer.json()["predictions"], expected, strict=True):
        check(prediction, probabilities)


def test_raw_pixels_may_be_several_images(
    reader: TestClient, images: NDArray[np.uint8], expected: list[NDArray[np.float64]]
) -> None:
    answer = ask(reader, images.tobytes(), "application/octet-stream")
    for prediction, probabilities in zip(answer.json()["predictions"], expected, strict=True):
        check(prediction, probabilities)


@pytest.mark.parametrize("count", [0, 783, 785, 784 * 10_001])
def test_raw_pixels_must_be_whole_images(reader: TestClient, count: int) -> None:
    answer = ask(reader, bytes(count), "application/octet-stream")
    check_problem(answer, 422)
    assert "784 bytes" in answer.json()["detail"] or "10,000" in answer.json()["detail"]


def test_a_form_may_have_one_file_or_several(
    reader: TestClient, images: NDArray[np.uint8], expected: list[NDArray[np.float64]]
) -> None:
    one = [("image", ("a.png", encoded(images[1]), "image/png"))]
    check(only(reader.post(PATH, files=one)), expected[1])
    several = [("image", ("x", encoded(image))) for image in images]
    for prediction, probabilities in zip(
        reader.post(PATH, files=several).json()["predictions"], expected, strict=True
    ):
        check(prediction, probabilities)


def test_ten_thousand_images_are_answered_together(reader: TestClient, datasets_dir: Path) -> None:
    path = shipped_file(datasets_dir, "test.images")
    labels = shipped_file(datasets_dir, "test.labels")
    answer = ask(reader, npy(np.array(np.load(path))), "application/x-npy", top_k=1)
    predicted = [prediction["label"] for prediction in answer.json()["predictions"]]
    accuracy = reader.get("/v1/jobs/" + answer.json()["model"]).json()["metrics"]["final"]
    assert np.mean(predicted == np.load(labels)) == pytest.approx(
        accuracy["test_accuracy"], abs=1e-9
    )
