"""The service within the test process: one to read from, and a fresh one for tests that write."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.app import Application, create_app
from service.store.sql.database import Database
from tests.support.live_service import Live, settings, train

URL = "http://127.0.0.1"


@dataclass(frozen=True)
class World:
    """A data directory with two trained jobs; the linear one succeeded last."""

    data_dir: Path
    deep: str
    linear: str


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, datasets_dir: Path) -> World:
    data_dir = tmp_path_factory.mktemp("world")
    small = {"hidden": [12, 11], "epochs": 1, "batch_size": 512, "activation": "tanh"}
    deep = train(data_dir, datasets_dir, name="deep one", **small)
    linear = train(data_dir, datasets_dir, preset="linear", epochs=2, batch_size=256)
    return World(data_dir, deep, linear)


@pytest.fixture(scope="session")
def reader(world: World, datasets_dir: Path) -> Iterator[TestClient]:
    """The service over the directory `world`, for tests that change nothing."""
    app = create_app(settings(world.data_dir, datasets_dir))
    with TestClient(app, base_url=URL, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def data_dir(tmp_path: Path, empty_database: Path) -> Path:
    directory = tmp_path / "data"
    directory.mkdir()
    shutil.copy(empty_database, directory)
    return directory


@pytest.fixture
def application(data_dir: Path, datasets_dir: Path) -> Application:
    """A service without jobs; `api` runs it."""
    return create_app(settings(data_dir, datasets_dir))


@pytest.fixture
def api(application: Application) -> Iterator[TestClient]:
    """A service without jobs, for tests that change something."""
    with TestClient(application, base_url=URL, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def api_database(application: Application) -> Database:
    """The database behind `api`."""
    database: Database = application.state.components.database
    return database


@pytest.fixture
def live(data_dir: Path, datasets_dir: Path) -> Iterator[Live]:
    """A service without jobs that listens on a port."""
    with Live(settings(data_dir, datasets_dir)) as server:
        yield server
