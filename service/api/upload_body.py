"""Receives a file: from the socket to the disk, in pieces, and never whole in memory."""

from typing import Protocol

from anyio import to_thread

from service.domain.errors import UploadTooLarge

PIECE_BYTES = 256 * 1024
"""What arrives is collected up to this size, and then written by a thread."""


class ReceivedFile(Protocol):
    """A file that is written, or whose digest is only computed."""

    size: int

    def write(self, data: bytes | bytearray) -> None: ...

    def finish(self) -> str: ...

    def close(self) -> None: ...


class Budget:
    """The bytes that an upload may still have, in all its files."""

    def __init__(self, limit: int) -> None:
        self._limit = self._left = limit

    def spend(self, size: int) -> None:
        """Count bytes that have arrived.

        Raises:
            UploadTooLarge: there are too many.

        """
        self._left -= size
        if self._left < 0:
            raise UploadTooLarge(self._limit)


class FileReceiver:
    """Writes one file of an upload while the event loop goes on."""

    def __init__(self, file: ReceivedFile, budget: Budget) -> None:
        self.file = file
        self._budget = budget
        self._waiting = bytearray()

    async def add(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            UploadTooLarge: the upload has more bytes than it may have.
            StoreBroken: they can't be written.

        """
        self._budget.spend(len(data))
        self._waiting += data
        if len(self._waiting) >= PIECE_BYTES:
            await self._write()

    async def finish(self) -> str:
        """Write what is left and sync the file; return its SHA-256.

        Raises:
            StoreBroken: it can't be written.

        """
        await self._write()
        return await to_thread.run_sync(self.file.finish)

    async def _write(self) -> None:
        waiting, self._waiting = self._waiting, bytearray()
        if waiting:
            await to_thread.run_sync(self.file.write, waiting)
