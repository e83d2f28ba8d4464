"""A server is ready if it reaches the files that several machines share."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.server import bounded_check
from service.store.files.local import PROBE
from tests.service.conftest import URL
from tests.support.live_service import settings
from tests.support.server_process import eventually, free_port


@pytest.fixture
def opened(
    tmp_path: Path, datasets_dir: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator["Opener"]:
    monkeypatch.setattr(bounded_check, "FRESH_SECONDS", 0.0)
    with ExitStack() as stack:
        yield Opener(tmp_path, datasets_dir, postgres_url, stack)


class Opener:
    """Starts servers whose artifacts are somewhere."""

    def __init__(self, place: Path, datasets_dir: Path, url: str, stack: ExitStack) -> None:
        self._place, self._datasets_dir, self._url, self._stack = place, datasets_dir, url, stack

    def at(self, artifacts_url: str) -> TestClient:
        made = settings(
            self._place, self._datasets_dir, database_url=self._url, artifacts_url=artifacts_url
        )
        return self._stack.enter_context(TestClient(create_app(made), base_url=URL))


def test_it_is_ready_with_a_bucket_and_without_any_host(opened: Opener, bucket_url: str) -> None:
    client = opened.at(bucket_url)
    eventually(lambda: client.get("/readyz").status_code == 200, "a server that is ready")
    assert client.get("/readyz").json()["checks"]["artifacts"] is True


def test_it_is_not_ready_without_its_bucket(
    opened: Opener, bucket_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    client = opened.at(bucket_url)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    checks = answer.json()["checks"]
    assert [name for name, passed in checks.items() if not passed] == ["artifacts"]
    assert client.get("/livez").status_code == 200
    assert client.get("/v1/system").json()["ready"] is False


@pytest.mark.parametrize("is_there", [False, True])
def test_a_directory_that_is_not_mounted_any_more_is_noticed(
    opened: Opener, tmp_path: Path, is_there: bool
) -> None:
    """It is away, or the empty one is there on which it was mounted."""
    directory = tmp_path / "shared"
    directory.mkdir()
    (directory / PROBE).write_bytes(b"what each start writes")
    client = opened.at(str(directory))
    eventually(lambda: client.get("/readyz").status_code == 200, "a server that is ready")
    directory.rename(tmp_path / "away")
    if is_there:
        directory.mkdir()

    def is_noticed() -> bool:
        """Return whether it is; while a machine is too busy to ask, the last answer counts."""
        return client.get("/readyz").json()["checks"]["artifacts"] is False

    eventually(is_noticed, "a directory that is away", 2 * bounded_check.KEPT_SECONDS)
