"""Artifacts: immutable files by key, which hold what is too large for a row of the database."""

from collections.abc import Iterator
from typing import Protocol


class Artifacts(Protocol):
    """Stores artifacts; a file counts only once a committed row names its key.

    Keys are `JOB/ATTEMPT/NAME`, built from ids and numbers only. See `files.local` for directories.
    """

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
