"""Fixtures of the client's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlp_client import job_changes
from tests.conftest import QUICK
from tests.support.server_process import Server


@pytest.fixture
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clients that wait for a job poll a hundred times a second."""
    monkeypatch.setattr(job_changes, "POLL_SECONDS", 0.01)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, datasets_dir: Path) -> Iterator[Server]:
    """A server whose model `latest` reads most digits."""
    server = Server(tmp_path_factory.mktemp("trained") / "data", datasets_dir).start()
    server.wait(server.submit(**QUICK), "succeeded")
    yield server
    server.stop()
