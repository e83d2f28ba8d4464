"""Copies of bytes by their digest on this machine, so that a bucket is asked once for each."""

import contextlib
import hashlib
import os
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

SCAN_PART = 64
"""All sizes are summed again whenever this part of the room has been written."""
SPARE = 0.9
"""How much of the room is left in use after copies have been deleted."""
STALE_SECONDS = 3600.0
"""What is being written for longer was left by a process that was killed."""
TEMPORARY = ".tmp"


class DigestCache:
    """Files named by SHA-256; those used least recently are deleted when the room is taken.

    Nothing here ever fails: a copy that can't be read or written is as good as none. Several
    processes may use the same directory.
    """

    def __init__(self, directory: Path, most_bytes: int) -> None:
        """Create it; the directory is made when it is needed."""
        self._directory, self._most = directory, most_bytes
        self._unscanned = most_bytes
        """Bytes written since all sizes were summed; at first, nobody knows."""
        self._lock = threading.Lock()

    def get(self, sha256: str) -> bytes | None:
        """Return the bytes with a digest, if there is an intact copy."""
        path = self._path(sha256)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(data).hexdigest() != sha256:
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # it has been used now
        return data

    def put(self, sha256: str, data: bytes) -> None:
        """Keep a copy of bytes whose digest was computed before."""
        if len(data) > self._most:
            return
        path = self._path(sha256)
        temporary = path.with_name(f"{secrets.token_hex(8)}{TEMPORARY}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)  # not synced: a copy that a power cut damages is noticed
            temporary.replace(path)
            self._make_room(len(data))
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _make_room(self, written: int) -> None:
        """Delete what was used least recently, if too much is kept."""
        with self._lock:
            self._unscanned += written
            if self._unscanned < self._most / SCAN_PART:
                return
            self._unscanned = 0
        found = sorted(self._copies())
        taken = sum(size for _, size, _ in found)
        if taken <= self._most:
            return
        for _, size, path in found:
            if taken <= SPARE * self._most:
                return
            with contextlib.suppress(OSError):  # another process has deleted it
                Path(path).unlink()
            taken -= size

    def _copies(self) -> Iterator[tuple[float, int, str]]:
        """Yield when each copy was used last, its size and its path; delete what is left over."""
        for folder in list(os.scandir(self._directory)):
            for entry in list(os.scandir(folder)):
                with contextlib.suppress(OSError):
                    stat = entry.stat()
                    if not entry.name.endswith(TEMPORARY):
                        yield stat.st_mtime, stat.st_size, entry.path
                    elif stat.st_mtime < time.time() - STALE_SECONDS:
                        Path(entry.path).unlink()

    def _path(self, sha256: str) -> Path:
        return self._directory / sha256[:2] / sha256
