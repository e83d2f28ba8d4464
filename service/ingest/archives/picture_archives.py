"""Reads the pictures of archives, some at a time, as rows of one size with their labels."""

from collections.abc import Iterator, Sequence

from service.ingest.archives import index_files
from service.ingest.archives.archive_contents import Contents
from service.ingest.archives.archive_members import shown
from service.ingest.archives.class_folders import Placed
from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.pictures.picture_blocks import Picture, PictureBlocks
from service.ingest.pictures.picture_decoding import size_of_set
from service.ingest.refusal import unusable
from service.ingest.source import Doubt, Source


def read(contents: Contents, options: IngestOptions, limits: Limits) -> Source:
    """Return the pictures of archives as a source.

    Raises:
        Unusable: no classes can be found, or an option does not fit the pictures.

    """
    labelled = index_files.labelled(contents.pictures, contents.others, contents.read, options)
    placed = labelled.placed
    if len(placed) > limits.rows:
        raise unusable("too_many", f"It has more than {limits.rows:,} pictures.")
    size = size_of_set(lambda: _named(contents, placed), options, limits)
    source = Source(
        blocks=lambda: PictureBlocks(len(placed), options, size, source).of(
            _pictures(contents, placed, limits)
        ),
        place=lambda row: shown(placed[row].member.path),
        found={"format": contents.format} | labelled.found,
        rows=len(placed),
        ignored=+(contents.ignored + labelled.ignored),
        doubts=list(labelled.doubts),
    )
    source.doubts += _many_ignored(source)
    return source


def _named(contents: Contents, placed: Sequence[Placed]) -> Iterator[tuple[str, bytes]]:
    for member, data in contents.read([picture.member for picture in placed]):
        yield shown(member.path), data


def _many_ignored(source: Source) -> Iterator[Doubt]:
    ignored = {
        reason: count for reason, count in source.ignored.items() if reason != "system files"
    }
    count = sum(ignored.values())
    if count >= (source.rows or 0):
        reasons = ", ".join(f"{number:,} ({reason})" for reason, number in ignored.items())
        yield Doubt("many_ignored", f"Most of the files were left out: {reasons}.", count)


def _pictures(contents: Contents, placed: Sequence[Placed], limits: Limits) -> Iterator[Picture]:
    """Yield the pictures in the order of the archives, numbered in the order that they are in."""
    rows = {picture.member.number: row for row, picture in enumerate(placed)}
    for member, data in contents.read([picture.member for picture in placed]):
        limits.pulse()
        row = rows[member.number]
        picture = placed[row]
        yield Picture(row, shown(member.path), picture.label, picture.split, data)
