"""Artifacts in a bucket, on a real S3 server."""

import hashlib
import socket
import time
from pathlib import Path

import pytest

from service.domain.errors import Damaged, StoreBroken
from service.store.artifacts import Artifacts, artifacts_at
from service.store.files.bucket import BucketArtifacts
from service.store.files.local import LocalArtifacts
from service.store.files.shared_folders import SharedFolders
from tests.support.bucket_proxy import BucketProxy
from tests.support.s3_server import S3Server
from tests.support.server_process import free_port

DATA = b"the weights" * 100
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def artifacts(bucket_url: str) -> Artifacts:
    return artifacts_at(bucket_url)


def test_stored_bytes_are_read_back_by_whoever_opens_the_same_url(artifacts: Artifacts) -> None:
    assert artifacts.put("job_1/1/0-5.x", DATA) == SHA256
    assert artifacts_at(artifacts.url).get("job_1/1/0-5.x", len(DATA), SHA256) == DATA


def test_a_second_put_replaces_the_first(artifacts: Artifacts) -> None:
    artifacts.put("job_1/1/x", b"old")
    artifacts.put("job_1/1/x", DATA)
    assert artifacts.get("job_1/1/x", len(DATA), SHA256) == DATA


def test_a_key_without_an_object_is_not_found(artifacts: Artifacts) -> None:
    with pytest.raises(FileNotFoundError):
        artifacts.get("job_1/1/x", 1, SHA256)
    artifacts.put("job_1/1/x", DATA)
    artifacts.delete("job_1/1/x")
    artifacts.delete("job_1/1/x")
    with pytest.raises(FileNotFoundError):
        artifacts.get("job_1/1/x", 1, SHA256)


@pytest.mark.parametrize("damage", [DATA[:-1], b"", DATA + b"x", DATA[::-1]])
def test_bytes_that_are_not_those_stored_are_damaged(artifacts: Artifacts, damage: bytes) -> None:
    artifacts.put("job_1/1/x", damage)
    with pytest.raises(Damaged, match="job_1/1/x is damaged"):
        artifacts.get("job_1/1/x", len(DATA), SHA256)


def test_folders_keys_and_sizes_are_those_of_jobs(artifacts: Artifacts) -> None:
    for key in ("job_2/1/a", "job_1/2/b", "job_1/1/a", "ev_1/1/a", "job_1/logs/x"):
        artifacts.put(key, DATA)
    assert artifacts.folders() == ["job_1", "job_2"]
    assert list(artifacts.keys("job_1")) == ["job_1/1/a", "job_1/2/b"]
    assert artifacts.folder_bytes("job_1") == 3 * len(DATA)
    assert list(artifacts.keys("job_3")) == []


def test_more_objects_than_one_page_has_are_listed_and_deleted(artifacts: Artifacts) -> None:
    for number in range(1100):
        artifacts.put(f"job_1/1/{number}", b"x")
    artifacts.put("job_10/1/other", b"x")
    assert len(list(artifacts.keys("job_1"))) == 1100
    artifacts.delete_folder("job_1")
    artifacts.delete_folder("job_1")
    assert list(artifacts.keys("job_1")) == []
    assert list(artifacts.keys("job_10")) == ["job_10/1/other"]


def test_a_bucket_that_is_out_of_reach_is_broken(
    bucket_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    artifacts = artifacts_at(bucket_url, 0.5)
    with pytest.raises(StoreBroken, match="can't write job_1/1/x"):
        artifacts.put("job_1/1/x", DATA)
    with pytest.raises(StoreBroken, match="can't read job_1/1/x"):
        artifacts.get("job_1/1/x", 1, SHA256)
    with pytest.raises(StoreBroken, match="can't list"):
        artifacts.folders()


def test_a_bucket_that_does_not_answer_is_broken_soon(
    bucket_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        artifacts = artifacts_at(bucket_url, 1.0)
        for use in (
            lambda: artifacts.put("job_1/1/x", DATA),
            lambda: artifacts.get("job_1/1/x", 1, SHA256),
            lambda: artifacts.delete("job_1/1/x"),
            lambda: artifacts.delete_folder("job_1"),
            artifacts.folders,
        ):
            started = time.monotonic()
            with pytest.raises(StoreBroken, match=r"job_1|list the bucket"):
                use()
            assert time.monotonic() - started < 2


def test_a_wrong_key_is_named_and_the_address_of_the_bucket_is_not(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts.put("job_1/1/x", DATA)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    wrong = artifacts_at(artifacts.url)
    for use in (lambda: wrong.put("job_1/1/x", b"y"), lambda: wrong.get("job_1/1/x", 1, "")):
        with pytest.raises(StoreBroken, match="answered 403 Forbidden; it does not accept") as told:
            use()
        assert "127.0.0.1" not in str(told.value)
    assert artifacts.get("job_1/1/x", len(DATA), SHA256) == DATA


def test_bytes_that_were_changed_on_their_way_are_read_again(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts.put("job_1/1/x", DATA)
    read, reads = BucketArtifacts._read, []

    def changed_once(self: BucketArtifacts, key: str) -> bytes:
        reads.append(key)
        return read(self, key)[::-1] if len(reads) == 1 else read(self, key)

    monkeypatch.setattr(BucketArtifacts, "_read", changed_once)
    assert artifacts.get("job_1/1/x", len(DATA), SHA256) == DATA
    assert len(reads) == 2


def test_an_address_is_a_folder_or_a_bucket() -> None:
    assert isinstance(artifacts_at("/srv/mlp"), LocalArtifacts)
    assert artifacts_at("file:///srv/mlp").url == artifacts_at("/srv/mlp").url
    with pytest.raises(StoreBroken, match="has the scheme ftp; use a path, or s3://"):
        artifacts_at("ftp://host/mlp")


def test_what_is_sent_may_take_longer_on_a_slow_line_than_a_silent_bucket_is_waited_for(
    s3: S3Server, bucket_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(range(256)) * 8_000
    (tmp_path / "images").write_bytes(data)
    with BucketProxy(s3.port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
        artifacts, folders = BucketArtifacts(bucket_url, 1), SharedFolders(bucket_url, "sets", 1)
        proxy.fault = "narrow"
        sha256 = artifacts.put("job_1/1/x", data)
        folders.share_file("set", tmp_path / "images")
        proxy.fault = ""
        assert artifacts.get("job_1/1/x", len(data), sha256) == data
        proxy.fault = "silent"
        began = time.monotonic()
        with pytest.raises(StoreBroken):
            artifacts.put("job_1/1/y", data)
        assert time.monotonic() - began < 10
