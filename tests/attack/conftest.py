"""A server with one trained network, shared by all attack tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.live_service import train
from tests.support.server_process import Server


@pytest.fixture(scope="session")
def trained_dir(tmp_path_factory: pytest.TempPathFactory, datasets_dir: Path) -> Path:
    """A data directory with a job that has succeeded and one that is queued."""
    data_dir = tmp_path_factory.mktemp("attacked") / "data"
    data_dir.mkdir()
    train(data_dir, datasets_dir, hidden=[128], epochs=1, batch_size=256)
    return data_dir


@pytest.fixture(scope="session")
def target(trained_dir: Path, datasets_dir: Path) -> Iterator[Server]:
    """A real server process that trains nothing, so that only requests move its figures."""
    environment = {"MLP_CONCURRENT_JOBS": "0", "MLP_MAX_CONNECTIONS": "4000"}
    server = Server(trained_dir, datasets_dir, **environment).start()
    yield server
    server.stop()
