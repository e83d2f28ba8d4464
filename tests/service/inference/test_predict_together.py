"""Requests that are answered together get what each would get alone."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mlp_core import Network
from service.domain.errors import BadImage
from service.inference.input_batch import Images
from service.inference.loaded_model import LoadedModel
from service.inference.predict import Options, PredictedBatch, predict
from service.inference.predict_together import predict_together
from service.store.checkpoints import CheckpointRef
from service.store.stored_dataset import MNIST
from tests.support.shipped_files import shipped_file


@pytest.fixture
def model() -> LoadedModel:
    rng = np.random.default_rng(3)
    network = Network.random((784, 16, 10), "relu", "he_normal", 0.1, rng)
    checkpoint = CheckpointRef("job", 1, 1, 0, "key", 1, "0" * 64)
    return LoadedModel("job", "mnist", MNIST.manifest, checkpoint, network, network.arrays())


@pytest.fixture(scope="module")
def digits(datasets_dir: Path) -> np.ndarray:
    path = shipped_file(datasets_dir, "test.images")
    return np.array(np.load(path)[:40]).reshape(-1, 28, 28)


def png(digit: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(digit).save(file, "PNG")
    return file.getvalue()


def answer(batch: PredictedBatch) -> tuple[object, ...]:
    images = batch.images
    return batch.probabilities.tobytes(), images.pixels.tobytes(), images.boxes.tolist()


@pytest.mark.parametrize("count", [1, 2, 5, 32])
def test_each_request_gets_the_bits_that_it_would_get_alone(
    model: LoadedModel, digits: np.ndarray, count: int
) -> None:
    forms: list[Images] = [[digits[0]], [png(digits[1])], digits[2:3], digits[3:9]]
    requests = [(forms[at % 4], Options(top_k=at % 3 + 1)) for at in range(count)]
    for (images, options), found in zip(requests, predict_together(model, requests), strict=True):
        assert found is not None
        assert answer(found) == answer(predict(model, images, options))


def test_requests_that_take_longer_or_fail_are_left_to_others(
    model: LoadedModel, digits: np.ndarray
) -> None:
    canvas = np.zeros((280, 280), np.uint8)
    off_centre = np.roll(digits[0], 5, axis=0)
    left: list[tuple[Images, Options]] = [
        ([canvas], Options()),
        ([off_centre], Options()),
        ([png(canvas)], Options()),
        ([png(digits[1])[:60]], Options()),
        ([b"no picture"], Options()),
        ([BadImage("blank_image", "It is blank.")], Options()),
        ([digits[0], off_centre], Options()),
        ([digits[0], canvas], Options()),
        ([digits[0]], Options(normalize="always")),
        ([digits[0]], Options(normalize="never")),
    ]
    among = [(digits[5:6], Options()), *left, (digits[6:7], Options())]
    first, *others, last = predict_together(model, among)
    assert others == [None] * len(left)
    for found, (images, options) in ((first, among[0]), (last, among[-1])):
        assert found is not None
        assert answer(found) == answer(predict(model, images, options))


def test_a_network_that_has_diverged_predicts_nothing(
    model: LoadedModel, digits: np.ndarray
) -> None:
    model.network.biases[-1][3] = np.inf
    forms: list[Images] = [[digits[0]], [digits[1]], digits[2:4]]
    assert predict_together(model, [(images, Options()) for images in forms]) == [None] * 3
