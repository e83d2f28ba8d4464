"""The images of most prediction tests, and the expected probabilities."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load
from starlette.testclient import TestClient

from tests.service.conftest import World
from tests.support.oracles import row_probabilities
from tests.support.shipped_files import shipped_file
from tests.support.zoo import zoo

__all__ = ["zoo"]  # a fixture


@pytest.fixture(scope="session")
def images(datasets_dir: Path) -> NDArray[np.uint8]:
    path = shipped_file(datasets_dir, "test.images")
    return np.array(np.load(path)[:20]).reshape(-1, 28, 28)


@pytest.fixture(scope="session")
def expected(
    reader: TestClient, world: World, images: NDArray[np.uint8]
) -> list[NDArray[np.float64]]:
    """The probabilities of each image by the linear model, in float64 and one row at a time."""
    tensors = load(reader.get(f"/v1/models/{world.linear}/weights.safetensors").content)
    parameters = [(tensors["layers.1.weight"].astype(float), tensors["layers.1.bias"])]
    return [row_probabilities(parameters, "relu", image.ravel() / 255) for image in images]
