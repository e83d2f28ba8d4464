"""Images with their expected probabilities for prediction tests, and a service for uploads."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load
from starlette.testclient import TestClient

from service.preparation import prepare
from service.server.stack import connection_protocol
from tests.service.conftest import World
from tests.support import small_uploads
from tests.support.live_service import Live, settings
from tests.support.oracles import row_probabilities
from tests.support.shipped_files import shipped_file
from tests.support.stream_listener import StreamListener
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


@pytest.fixture(scope="module")
def sets_dir(tmp_path_factory: pytest.TempPathFactory, datasets_dir: Path) -> Path:
    """A directory of data sets that has MNIST, and to which a module may add others."""
    return small_uploads.with_shipped(tmp_path_factory.mktemp("sets") / "sets", datasets_dir)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, sets_dir: Path) -> Iterator[Live]:
    """A service that trains nothing and takes data sets, behind the real protocol."""
    made = settings(tmp_path_factory.mktemp("service"), sets_dir, max_owner_datasets=100)
    prepare(made)
    with Live(made, http=connection_protocol) as live:
        yield live


@pytest.fixture
def listener(live: Live) -> Iterator[StreamListener]:
    """A client that hears the stream of all jobs."""
    made = StreamListener(live.http)
    made.hello()
    yield made
    live.stop()
    made.end()
