"""The wiring: creating the application, and its readiness checks."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.app import check_writable, create_app
from service.domain.errors import StoreBroken
from tests.support.live_service import settings


def test_creating_the_application_touches_no_file(tmp_path: Path) -> None:
    create_app(settings(tmp_path / "data", tmp_path / "datasets"))
    assert list(tmp_path.iterdir()) == []


def test_checking_a_writable_directory_leaves_it_unchanged(tmp_path: Path) -> None:
    check_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_can_not_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / ".probe").mkdir()
    with pytest.raises(StoreBroken, match=f"the data directory {tmp_path} can't be written to"):
        check_writable(tmp_path)


def test_readiness_names_the_check_that_fails(api: TestClient, data_dir: Path) -> None:
    (data_dir / ".probe").mkdir()
    answer = api.get("/readyz")
    assert answer.status_code == 503
    checks = {"database": True, "data_dir": False, "dispatcher": True}
    assert answer.json() == {"status": "not ready", "checks": checks}
