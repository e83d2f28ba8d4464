"""Files that are being received, byte after byte."""

import contextlib
import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from service.domain.errors import StoreBroken
from service.store.durable_files import store_error, sync


class PartFile:
    """A file that is being written; its digest is computed on the way."""

    def __init__(self, path: Path) -> None:
        """Create the file.

        Raises:
            StoreBroken: it can't be created.

        """
        self.path = path
        self.size = 0
        self._digest = hashlib.sha256()
        self._file: BinaryIO | None
        try:
            self._file = path.open("wb")
        except OSError as exc:
            raise store_error(f"create {path.name}", exc) from exc

    def write(self, data: bytes | bytearray) -> None:
        """Append the next bytes.

        Raises:
            StoreBroken: they can't be written, or the file has been closed.

        """
        if self._file is None:
            raise StoreBroken(f"can't write {self.path.name}: it is closed")
        try:
            self._file.write(data)
        except OSError as exc:
            raise store_error(f"write {self.path.name}", exc) from exc
        self.size += len(data)
        self._digest.update(data)

    def finish(self) -> str:
        """Sync the file, so that it survives a power cut; return its SHA-256.

        Raises:
            StoreBroken: it can't be written.

        """
        try:
            if self._file is not None:
                self._file.flush()
                os.fsync(self._file.fileno())
                sync(self.path.parent)
        except OSError as exc:
            raise store_error(f"write {self.path.name}", exc) from exc
        finally:
            self.close()
        return self._digest.hexdigest()

    def close(self) -> None:
        """Close the file as it is; it counts only after `finish`."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):  # what is still to be written does not matter
                file.close()


class DigestOnly:
    """Stands for a file of which only the digest is wanted."""

    def __init__(self) -> None:
        self.size = 0
        self._digest = hashlib.sha256()

    def write(self, data: bytes | bytearray) -> None:
        """Count the next bytes."""
        self.size += len(data)
        self._digest.update(data)

    def finish(self) -> str:
        """Return the SHA-256 of all bytes."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """There is nothing to close."""
