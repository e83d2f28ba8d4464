"""Artifacts as objects in a bucket: S3 and what speaks its language, Google Cloud Storage, Azure.

A worker imports this file. Credentials are those of the vendor's own environment variables.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from service.domain.errors import Damaged, StoreBroken

PATIENCE_SECONDS = 10.0
"""How long a worker waits for a bucket that does not answer; then it trains on, and tries again."""
PARTS_AT_ONCE = 4
"""Parts of a large object are sent together."""
SMALL_BYTES = 64 * 1024
"""What is larger than this takes its time on a slow line."""
SENDING_SECONDS = 120.0
"""How long a part may take to be sent and answered: the client can't tell slow from silent."""
READS = 2
"""What was changed on its way the first time is read again; what differs again is damaged."""
STATUS = re.compile(r"status code: (\d{3}[A-Za-z ]*)")
REFUSED = ("401", "403")
FAILURES = (BaseError, OSError)


class BucketArtifacts:
    """Implements `store.artifacts.Artifacts` with an object for each key.

    An object is written by one attempt only, and counts once a row names it, so plain puts suffice.
    """

    def __init__(self, url: str, patience: float = PATIENCE_SECONDS) -> None:
        """Open the bucket at a URL such as `s3://bucket/prefix`; nothing is read.

        Args:
            url: of the bucket.
            patience: how many seconds each operation waits for a bucket that does not answer.

        Raises:
            StoreBroken: the URL or the environment does not name a bucket.

        """
        self.url = url
        try:
            self._store = from_url(url, **client(patience))
            self._sender = Sender(url, patience)
        except (*FAILURES, ValueError) as exc:
            raise broken("open what MLP_ARTIFACTS_URL names", exc) from exc

    def put(self, key: str, data: bytes) -> str:
        try:
            self._sender.put(key, data, len(data))
        except FAILURES as exc:
            raise broken(f"write {key}", exc) from exc
        return hashlib.sha256(data).hexdigest()

    def get(self, key: str, size: int, sha256: str) -> bytes:
        for _ in range(READS):
            data = self._read(key)
            if len(data) == size and hashlib.sha256(data).hexdigest() == sha256:
                return data
        raise Damaged(f"the file {key} is damaged: its SHA-256 is not the recorded one")

    def _read(self, key: str) -> bytes:
        try:
            return obstore.get(self._store, key).bytes().to_bytes()
        except FileNotFoundError:
            raise
        except FAILURES as exc:
            raise broken(f"read {key}", exc) from exc

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


class Sender:
    """Writes objects to a bucket, however slow the line to it is."""

    def __init__(self, url: str, patience: float) -> None:
        """Open the bucket; nothing is sent. The errors are those of the library."""
        self._prompt = from_url(url, **client(patience))
        self._steady = from_url(url, **client(patience, SENDING_SECONDS))

    def put(self, key: str, content: bytes | Iterable[bytes], size: int) -> None:
        """Write an object; the errors are those of the library.

        A bucket that is silent at the beginning is given up as early as for anything else.
        """
        if size <= SMALL_BYTES:
            obstore.put(self._prompt, key, content)
            return
        with suppress(FileNotFoundError):
            obstore.head(self._prompt, key)
        obstore.put(self._steady, key, content, max_concurrency=PARTS_AT_ONCE)


def client(patience: float, sending: float = 0.0) -> dict[str, Any]:
    """Return the options of a client that gives up on a silent bucket after `patience` seconds.

    Whatever arrives meanwhile is waited for: large objects take their time. The last try begins
    when half of the patience is over. What is sent does not count as an answer, so a client that
    sends large objects needs more time: `sending` seconds for each request.
    """
    one_try = timedelta(seconds=0.45 * patience)
    options = {
        "connect_timeout": min(one_try, timedelta(seconds=3)),
        "read_timeout": timedelta(seconds=sending) if sending else one_try,
        "timeout": timedelta(minutes=10),
        "allow_http": True,  # where an address of http:// is given, it is meant
    }
    backoff = {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=1),
        "base": 2,
    }
    end = timedelta(seconds=0.5 * patience)
    retries = {"max_retries": 10, "backoff": backoff, "retry_timeout": end}
    return {"client_options": options, "retry_config": retries}


def broken(what: str, exc: BaseException) -> StoreBroken:
    """Return a failure as one of the store, which says what the bucket answered.

    The error of the library also has the bucket's address, which is not for clients.
    """
    said = next(iter(str(exc).strip().splitlines()), type(exc).__name__)
    if found := STATUS.search(said):
        said = f"the bucket answered {found[1].strip()}"
        if found[1][:3] in REFUSED:
            said += (
                "; it does not accept the key in the environment of this process, or does not let "
                "it do this"
            )
    return StoreBroken(f"can't {what}: {said.rpartition(' - ')[2][:300]}")
