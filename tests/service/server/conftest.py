"""A server for tests of its connections."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server_process import Server


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory, datasets_dir: Path) -> Iterator[Server]:
    """A server that trains nothing and closes idle connections early."""
    environment = {"MLP_CONCURRENT_JOBS": "0", "MLP_IDLE_SECONDS": "2"}
    server = Server(tmp_path_factory.mktemp("idle") / "data", datasets_dir, **environment).start()
    yield server
    server.stop()
