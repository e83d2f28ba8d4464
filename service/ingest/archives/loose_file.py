"""A file that is sent beside archives, such as a table of the labels of their pictures."""

from collections.abc import Iterator, Set
from pathlib import Path, PurePath

from service.ingest.archives.archive_members import Listing, Member
from service.ingest.file_kind import HEAD_BYTES, FileKind

PIECE_BYTES = 256 * 1024


class LooseFile:
    """A file as an archive that holds nothing else."""

    def __init__(self, path: Path, name: str, kind: FileKind) -> None:
        """Name the file.

        Args:
            path: of the file.
            name: under which it was sent.
            kind: of the file.

        """
        self._path, self.kind = path, kind
        self.listing = Listing([Member(0, PurePath(name).name, path.stat().st_size)])

    def read(self, wanted: Set[int]) -> Iterator[tuple[int, bytes]]:
        """Yield the file whole, see `Archive`."""
        if 0 in wanted:
            yield 0, self._path.read_bytes()

    def heads(self, wanted: Set[int]) -> Iterator[tuple[int, bytes]]:
        """Yield the beginning of the file, see `Archive`."""
        if 0 in wanted:
            with self._path.open("rb") as file:
                yield 0, file.read(HEAD_BYTES)

    def pieces(self, number: int) -> Iterator[bytes]:
        """Yield the file, some bytes at a time, see `Archive`."""
        with self._path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield piece
