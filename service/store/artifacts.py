"""Artifacts: immutable files by key, which hold what is too large for a row of the database."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from service.domain.errors import StoreBroken
from service.store.files.local import LocalArtifacts

if TYPE_CHECKING:
    from service.store.files.shared_folders import SharedFolders

BUCKETS = ("s3", "gs", "az")
"""The schemes of URLs that name buckets."""
NOT_INSTALLED = (
    "MLP_ARTIFACTS_URL is set, and the library for what hosts share is not installed; install "
    "mlp-service[cluster]"
)


class Artifacts(Protocol):
    """Stores artifacts; a file counts only once a committed row names its key.

    Keys are `JOB/ATTEMPT/NAME`, built from ids and numbers only. See `files.local` for directories,
    and `files.bucket` for object stores.
    """

    @property
    def url(self) -> str:
        """The address by which another process opens the same artifacts."""
        ...

    def put(self, key: str, data: bytes) -> str:
        """Store `data` durably under `key`, whole or not at all; return its SHA-256.

        Raises:
            StoreBroken: it can't be written.

        """
        ...

    def get(self, key: str, size: int, sha256: str) -> bytes:
        """Return the bytes under `key`.

        Raises:
            FileNotFoundError: there is nothing under this key.
            Damaged: the bytes differ from those that were stored.
            StoreBroken: they can't be read now.

        """
        ...

    def delete(self, key: str) -> None:
        """Delete the bytes under `key`, if there are any."""
        ...

    def folders(self) -> list[str]:
        """Return the ids of the jobs that have artifacts."""
        ...

    def keys(self, job: str) -> Iterator[str]:
        """Yield the keys of a job's artifacts, including unfinished writes."""
        ...

    def folder_bytes(self, job: str) -> int:
        """Return how many bytes the artifacts of a job, and its log, take."""
        ...

    def delete_folder(self, job: str) -> None:
        """Delete all artifacts of a job durably."""
        ...


def shared_folders(
    url: str | None, kind: str, patience: float | None = None
) -> "SharedFolders | None":
    """Return the folders of one kind that all hosts share; None if there is only one host.

    Operations wait `patience` seconds for a bucket that does not answer; None means as long as a
    worker may wait.

    Raises:
        StoreBroken: the URL names no bucket, or the library for buckets is not installed.

    """
    if not url:
        return None
    try:
        from service.store.files.shared_folders import SharedFolders
    except ImportError:
        raise StoreBroken(NOT_INSTALLED) from None
    return SharedFolders(url, kind) if patience is None else SharedFolders(url, kind, patience)


def artifacts_at(url: str, patience: float | None = None) -> Artifacts:
    """Return the artifacts at the path of a directory, or at the URL of a bucket.

    Operations wait `patience` seconds for a bucket that does not answer; None means as long as a
    worker may wait.

    Raises:
        StoreBroken: the URL names neither, or the library for buckets is not installed.

    """
    scheme, is_url, path = url.partition("://")
    if not is_url:
        return LocalArtifacts(Path(url))
    if scheme == "file":
        return LocalArtifacts(Path(path))
    if scheme not in BUCKETS:
        raise StoreBroken(
            f"MLP_ARTIFACTS_URL has the scheme {scheme}; use a path, or s3://, gs:// or az://"
        )
    try:
        from service.store.files.bucket import BucketArtifacts
    except ImportError:
        raise StoreBroken(NOT_INSTALLED) from None
    return BucketArtifacts(url) if patience is None else BucketArtifacts(url, patience)
