"""Artifacts as objects in a bucket: S3 and what speaks its language, Google Cloud Storage, Azure.

A worker imports this file. Credentials are those of the vendor's own environment variables.
"""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from service.domain.errors import Damaged, StoreBroken

CLIENT = {
    "timeout": timedelta(seconds=30),
    "connect_timeout": timedelta(seconds=3),
    "allow_http": True,  # where an address of http:// is given, it is meant
}
RETRIES = {
    "max_retries": 5,
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=2),
        "base": 2,
    },
    # A store that is away for longer is a failure that workers and requests handle themselves.
    "retry_timeout": timedelta(seconds=15),
}
FAILURES = (BaseError, OSError)


class BucketArtifacts:
    """Implements `store.artifacts.Artifacts` with an object for each key.

    An object is written by one attempt only, and counts once a row names it, so plain puts suffice.
    """

    def __init__(self, url: str) -> None:
        """Open the bucket at a URL such as `s3://bucket/prefix`; nothing is read.

        Raises:
            StoreBroken: the URL or the environment does not name a bucket.

        """
        self.url = url
        try:
            options: dict[str, Any] = {"client_options": CLIENT, "retry_config": RETRIES}
            self._store = from_url(url, **options)
        except (*FAILURES, ValueError) as exc:
            raise broken("open the bucket of MLP_ARTIFACTS_URL", exc) from exc

    def put(self, key: str, data: bytes) -> str:
        try:
            obstore.put(self._store, key, data)
        except FAILURES as exc:
            raise broken(f"write {key}", exc) from exc
        return hashlib.sha256(data).hexdigest()

    def get(self, key: str, size: int, sha256: str) -> bytes:
        try:
            data = obstore.get(self._store, key).bytes().to_bytes()
        except FileNotFoundError:
            raise
        except FAILURES as exc:
            raise broken(f"read {key}", exc) from exc
        if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
            raise Damaged(f"the file {key} is damaged: its SHA-256 is not the recorded one")
        return data

    def delete(self, key: str) -> None:
        try:
            obstore.delete(self._store, key)
        except FileNotFoundError:
            return
        except FAILURES as exc:
            raise broken(f"delete {key}", exc) from exc

    def folders(self) -> list[str]:
        try:
            found = obstore.list_with_delimiter(self._store)["common_prefixes"]
        except FAILURES as exc:
            raise broken("list the bucket", exc) from exc
        return sorted(name for name in found if name.startswith("job_"))

    def keys(self, job: str) -> Iterator[str]:
        for key, _ in self._objects(job):
            if key.count("/") == 2 and key.split("/")[1].isdigit():
                yield key

    def folder_bytes(self, job: str) -> int:
        return sum(size for _, size in self._objects(job))

    def delete_folder(self, job: str) -> None:
        if keys := [key for key, _ in self._objects(job)]:
            try:
                obstore.delete(self._store, keys)
            except FileNotFoundError:
                return
            except FAILURES as exc:
                raise broken(f"delete {job}", exc) from exc

    def _objects(self, job: str) -> list[tuple[str, int]]:
        """Return the keys of a job's objects, in their order, and their sizes."""
        try:
            pages = list(obstore.list(self._store, f"{job}/"))
        except FAILURES as exc:
            raise broken(f"list {job}", exc) from exc
        return sorted((found["path"], found["size"]) for page in pages for found in page)


def broken(what: str, exc: BaseException) -> StoreBroken:
    """Return a failure as one of the store; its first line says what the bucket answered."""
    said = next(iter(str(exc).strip().splitlines()), type(exc).__name__)
    return StoreBroken(f"can't {what}: {said[:300]}")
