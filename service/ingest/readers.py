"""Chooses the reader for uploaded files by what they are."""

from collections.abc import Sequence

from service.ingest.archives import archive_source
from service.ingest.file_kind import HEAD_BYTES, FileKind, kind_of
from service.ingest.refusal import Flaw, Unusable, unusable
from service.ingest.source import Reader, UploadedFile

READERS: dict[FileKind, Reader] = {
    FileKind.ZIP: archive_source.read,
    FileKind.TAR: archive_source.read,
    **archive_source.ARCHIVED_READERS,
}
"""The reader of each kind. Several files of an upload may be of several kinds of one reader."""
BESIDE_PICTURES = {FileKind.ZIP, FileKind.TAR, FileKind.TABLE, FileKind.JSON_LINES}
"""Files of these kinds go together: archives of pictures, and tables of their labels."""


def reader_for(files: Sequence[UploadedFile]) -> Reader:
    """Return the reader for all files of an upload.

    Raises:
        Unusable: a file is no data set, or the files need different readers.

    """
    kinds = _kinds(files)
    readers = {READERS[kind] for kind in kinds}
    if archive_source.read in readers and set(kinds) <= BESIDE_PICTURES:
        return archive_source.read
    if len(readers) != 1:
        listed = ", ".join(f"{file.name} ({kind})" for file, kind in zip(files, kinds, strict=True))
        raise unusable(
            "mixed_files",
            f"The files are of different kinds: {listed}.",
            hint="Send files of one kind, or one zip file with all of them.",
        )
    return readers.pop()


def _kinds(files: Sequence[UploadedFile]) -> list[FileKind]:
    """Return the kind of each file.

    Raises:
        Unusable: with the flaws of all files that are no data set.

    """
    kinds, flaws = [], []
    for file in files:
        with file.path.open("rb") as opened:
            head = opened.read(HEAD_BYTES)
        try:
            kinds.append(kind_of(head))
        except Unusable as exc:
            flaws += [
                Flaw(flaw.code, flaw.detail, flaw.place or file.name, flaw.hint)
                for flaw in exc.flaws
            ]
    if flaws:
        raise Unusable(flaws)
    return kinds
