"""Predictions: whatever form the image comes in, the network says what the arithmetic says."""

import base64

import numpy as np
import pytest

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

FILES = {
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
def test_the_body_may_be_any_kind_of_file(reader, images, expected, form):
    media_type, body = FILES[form](images[SEVEN])
    check(only(ask(reader, body, media_type)), expected[SEVEN])


JSON_FORMS = {
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
def test_the_image_may_stand_in_json_in_any_form(reader, images, expected, form):
    answer = ask_json(reader, JSON_FORMS[form](images[SEVEN]))
    check(only(answer), expected[SEVEN])


def test_whole_values_are_values(reader, images):
    white = (images[SEVEN] > 127).astype(int)
    told = only(ask_json(reader, {"values": white.tolist()}))
    assert told["top_k"] == only(ask_json(reader, {"pixels": (255 * white).tolist()}))["top_k"]


def test_a_jpeg_says_nearly_the_same(reader, images, expected):
    body = encoded(images[SEVEN], "JPEG", quality=95)
    told = only(ask(reader, body, "image/jpeg"))
    assert told["label"] == 7
    assert told["probability"] == pytest.approx(expected[SEVEN][7], abs=0.05)


@pytest.mark.parametrize("shape", [(20, 28, 28), (20, 784)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_batch_is_answered_in_its_order(reader, images, expected, shape, order):
    answer = ask(reader, npy(np.array(images.reshape(shape), order=order)), "application/x-npy")
    for told, probabilities in zip(answer.json()["predictions"], expected, strict=True):
        check(told, probabilities)


def test_bare_pixels_may_be_several_images(reader, images, expected):
    answer = ask(reader, images.tobytes(), "application/octet-stream")
    for told, probabilities in zip(answer.json()["predictions"], expected, strict=True):
        check(told, probabilities)


@pytest.mark.parametrize("count", [0, 783, 785, 784 * 10_001])
def test_bare_pixels_must_be_whole_images(reader, count):
    answer = ask(reader, bytes(count), "application/octet-stream")
    check_problem(answer, 422)
    assert "784 bytes" in answer.json()["detail"] or "10,000" in answer.json()["detail"]


def test_a_form_may_have_one_file_or_several(reader, images, expected):
    one = [("image", ("a.png", encoded(images[1]), "image/png"))]
    check(only(reader.post(PATH, files=one)), expected[1])
    several = [("image", ("x", encoded(image))) for image in images]
    for told, probabilities in zip(
        reader.post(PATH, files=several).json()["predictions"], expected, strict=True
    ):
        check(told, probabilities)


def test_ten_thousand_images_are_answered_at_once(reader, datasets_dir):
    [path] = datasets_dir.glob("mnist-*/t10k-images-idx3-ubyte.npy")
    [labels] = datasets_dir.glob("mnist-*/t10k-labels-idx1-ubyte.npy")
    answer = ask(reader, npy(np.array(np.load(path))), "application/x-npy", top_k=1)
    told = [prediction["label"] for prediction in answer.json()["predictions"]]
    accuracy = reader.get("/v1/jobs/" + answer.json()["model"]).json()["metrics"]["final"]
    assert np.mean(told == np.load(labels)) == pytest.approx(accuracy["test_accuracy"], abs=1e-9)
