"""Settings with which hosts would not share what they must share are refused at the start."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from service.domain.errors import StoreBroken
from service.settings import Settings
from service.storage import Storage, refuse_unshared
from tests.support.server_process import free_port

SHARED = "postgresql://mlp@127.0.0.1:9/mlp"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"database_url": SHARED}, "set MLP_ARTIFACTS_URL to a bucket"),
        ({"database_url": SHARED, "artifacts_url": "jobs"}, "=jobs is a relative path"),
        ({"artifacts_url": "s3://mlp/jobs"}, "set MLP_DATABASE_URL to postgresql://"),
        ({"artifacts_url": "/mnt/mlp"}, "or remove MLP_ARTIFACTS_URL"),
    ],
)
def test_a_database_and_files_that_are_not_both_shared_are_refused(
    settings: dict[str, Any], problem: str
) -> None:
    with pytest.raises(StoreBroken, match=problem):
        refuse_unshared(Settings(**settings))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"database_url": SHARED, "artifacts_url": "s3://mlp/jobs"},
        {"database_url": SHARED, "artifacts_url": "/mnt/mlp"},
    ],
)
def test_what_is_all_of_one_machine_or_all_shared_is_accepted(settings: dict[str, Any]) -> None:
    refuse_unshared(Settings(**settings))


def storage(url: str, tmp_path: Path) -> Storage:
    return Storage(Settings(data_dir=tmp_path, database_url=SHARED, artifacts_url=url))


def test_a_bucket_that_can_be_used_is_accepted_again_and_again(
    bucket_url: str, tmp_path: Path
) -> None:
    with closing(storage(bucket_url, tmp_path)) as found:
        found.check()
        found.check()
        assert found.artifacts.folders() == []


def test_a_bucket_with_a_wrong_key_is_refused(
    bucket_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StoreBroken, match=r"can't be used: can't write .*AWS_SECRET_ACCESS_KEY"):
        storage(bucket_url, tmp_path).check()


def test_a_bucket_that_does_not_answer_is_refused(
    bucket_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StoreBroken, match=r"can't be used: can't write .*AWS_ENDPOINT_URL"):
        storage(bucket_url, tmp_path).check()


def test_a_shared_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreBroken, match="can't open what MLP_ARTIFACTS_URL names: "):
        storage(str(tmp_path / "file"), tmp_path / "data").check()
