"""Artifacts as files in a directory."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from service.domain.errors import Damaged, StoreBroken
from service.store.durable_files import make_directory, store_error, sync, write_atomic

PROBE = "probe"
"""The key of the small file that each process writes at its start where machines share files."""


class LocalArtifacts:
    """Implements `store.artifacts.Artifacts` with a directory for each job and attempt.

    If machines share it, nothing is put into it while it is not mounted: other machines would never
    find that.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._is_shared = self._has_probe()

    def check_mounted(self) -> None:
        """Check that a directory that machines share is the one that was opened.

        Raises:
            StoreBroken: it lacks the file that each start writes.

        """
        if self._is_shared and not self._has_probe():
            raise StoreBroken(
                f"the shared directory {self._root} lacks the file {PROBE!r}, which was there at "
                "the start: mount it again"
            )

    def _has_probe(self) -> bool:
        return (self._root / PROBE).is_file()

    @property
    def directory(self) -> Path:
        return self._root

    @property
    def url(self) -> str:
        return str(self._root)

    def put(self, key: str, data: bytes) -> str:
        self.check_mounted()
        path = self._path(key)
        make_directory(path.parent)
        try:
            write_atomic(path, data)
        except StoreBroken:
            with contextlib.suppress(OSError):  # it may exist, but not durably
                path.unlink(missing_ok=True)
            raise
        return hashlib.sha256(data).hexdigest()

    def get(self, key: str, size: int, sha256: str) -> bytes:
        try:
            data = self._path(key).read_bytes()
        except FileNotFoundError:
            raise
        except OSError as exc:
            raise store_error(f"read the file {key}", exc) from exc
        if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
            raise Damaged(f"the file {key} is damaged: its SHA-256 is not the recorded one")
        return data

    def delete(self, key: str) -> None:
        try:
            self._path(key).unlink(missing_ok=True)
        except OSError as exc:
            raise store_error(f"delete the file {key}", exc) from exc

    def folders(self) -> list[str]:
        return sorted(path.name for path in self._root.glob("job_*"))

    def keys(self, job: str) -> Iterator[str]:
        try:
            paths = sorted((self._root / job).glob("*/*"))
        except FileNotFoundError:
            return  # the job is being deleted
        for path in paths:
            if path.parent.name.isdigit():  # other folders do not belong to the service
                yield str(path.relative_to(self._root))

    def folder_bytes(self, job: str) -> int:
        total = 0
        for folder, _, names in os.walk(self._root / job):
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # replaced or deleted meanwhile
                    total += Path(folder, name).stat().st_size
        return total

    def delete_folder(self, job: str) -> None:
        shutil.rmtree(self._root / job, ignore_errors=True)
        with contextlib.suppress(OSError):  # nothing has been stored yet
            sync(self._root)

    def _path(self, key: str) -> Path:
        path = self._root / key
        if not path.resolve().is_relative_to(self._root):
            raise ValueError(f"the key {key!r} points outside the directory of the artifacts")
        return path
