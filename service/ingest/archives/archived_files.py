"""Reads archives that hold files of other formats: arrays, tables, or parquet."""

import functools
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from service.ingest.archives.archive_contents import Contents
from service.ingest.archives.archive_members import Member, shown
from service.ingest.file_kind import FileKind, kind_of
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.refusal import Flaw, Unusable, unusable
from service.ingest.source import Block, Reader, Source, UploadedFile

TEXT = {FileKind.TABLE, FileKind.JSON_LINES}
TEXT_SUFFIXES = {"csv", "tsv", "data", "json", "jsonl", "ndjson", "gz"}
"""Other text is no data, such as a licence."""
MOST_FILES = 32
"""Sets of other formats have few files; the first are looked at."""


@dataclass(frozen=True)
class Sniffed:
    """A file in an archive and what it is."""

    member: Member
    kind: FileKind


def read(
    contents: Contents, options: IngestOptions, limits: Limits, readers: Mapping[FileKind, Reader]
) -> Source:
    """Return the rows of the files in archives, by the reader of their format.

    The files are written to a folder of their own, which is removed with the source.

    Args:
        contents: of the archives.
        options: of the upload.
        limits: of what is read.
        readers: of the formats that may be in an archive.

    Raises:
        Unusable: there are no such files, or by their reader.

    """
    files, flaws = _sniffed(contents)
    usable = [file for file in files if file.kind in readers]
    if not usable:
        raise _nothing(files, flaws)
    first = _preferred(usable, readers)
    chosen = [file.member for file in usable if readers[file.kind] is readers[first]]
    folder = _Folder()
    source = readers[first](_copied(contents, chosen, folder.path, limits), options, limits)
    source.blocks = functools.partial(_blocks_of, source.blocks, folder)
    source.found["format"] = f"{first} in {contents.format}"
    source.ignored += contents.ignored
    source.ignored["other files"] += len(contents.others) - len(chosen)
    source.ignored = +source.ignored
    return source


class _Folder:
    """A new folder, which is removed with this object."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="archived-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def _blocks_of(blocks: Callable[[], Iterator[Block]], folder: _Folder) -> Iterator[Block]:
    """Yield the blocks of a source whose files are in a folder, which stays as long."""
    yield from blocks()
    del folder


def _preferred(files: Sequence[Sniffed], readers: Mapping[FileKind, Reader]) -> FileKind:
    """Return the kind of which there is most, in bytes, together with others of its reader."""
    sizes: dict[Reader, int] = {}
    for file in files:
        reader = readers[file.kind]
        sizes[reader] = sizes.get(reader, 0) + file.member.size
    return max(files, key=lambda file: sizes[readers[file.kind]]).kind


def _sniffed(contents: Contents) -> tuple[list[Sniffed], list[Flaw]]:
    """Return what the files are, and what is wrong with those that are nothing that is read."""
    found, flaws = [], []
    for member, head in contents.heads(contents.others[:MOST_FILES]):
        try:
            kind = kind_of(head)
        except Unusable as exc:
            place = shown(member.path)
            flaws += [Flaw(flaw.code, flaw.detail, place, flaw.hint) for flaw in exc.flaws]
            continue
        if kind not in TEXT or member.suffix in TEXT_SUFFIXES:
            found.append(Sniffed(member, kind))
    return found, flaws


def _nothing(files: Sequence[Sniffed], flaws: Sequence[Flaw]) -> Unusable:
    nested = [file for file in files if file.kind in (FileKind.ZIP, FileKind.TAR)]
    if nested:
        return unusable(
            "nested",
            "It is an archive within an archive.",
            shown(nested[0].member.path),
            "Send it by itself, or pack the files that are in it.",
        )
    if flaws:
        return Unusable(flaws)
    return unusable(
        "no_images",
        "It holds no pictures, arrays or tables.",
        hint="Pack a folder of pictures for each class, as PNG or JPEG.",
    )


def _copied(
    contents: Contents, members: Sequence[Member], folder: Path, limits: Limits
) -> list[UploadedFile]:
    """Write files to a folder, under numbers: their names may be anything."""
    files = []
    for number, member in enumerate(members):
        path = folder / str(number)
        with path.open("wb") as target:
            for piece in contents.pieces(member):
                target.write(piece)
                limits.pulse()
        files.append(UploadedFile(path, _name(member, members)))
    return files


def _name(member: Member, members: Sequence[Member]) -> str:
    """Return a file's name, with its folders if another file has the same."""
    name = PurePosixPath(member.path).name
    same = [it for it in members if PurePosixPath(it.path).name == name]
    return shown(name if len(same) == 1 else member.path)
