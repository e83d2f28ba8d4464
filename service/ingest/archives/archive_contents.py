"""What the archives of an upload hold together, by their directories."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from service.inference import image_formats
from service.ingest.archives.archive_members import (
    Archive,
    Member,
    is_picture,
    is_system_file,
    shown,
)
from service.ingest.archives.loose_file import LooseFile
from service.ingest.archives.tar_archive import TarArchive
from service.ingest.archives.zip_archive import ZipArchive
from service.ingest.file_kind import HEAD_BYTES, FileKind, kind_of
from service.ingest.limits import Limits
from service.ingest.natural_order import natural_key
from service.ingest.refusal import Flaw, Unusable, unusable
from service.ingest.source import UploadedFile
from service.ingest.split_words import split_of_folder

ARCHIVES = (FileKind.ZIP, FileKind.TAR)


def open_archive(path: Path, limits: Limits, name: str = "") -> Archive:
    """Return an archive, whose directory has been read and judged.

    A table that is sent beside an archive of pictures is taken for an archive of one file.

    Args:
        path: of the file.
        limits: of what its files have once they are unpacked.
        name: under which it was sent; that of the path by default.

    Raises:
        Unusable: it is damaged or encrypted, or its files are too many or too large.

    """
    with path.open("rb") as file:
        kind = kind_of(file.read(HEAD_BYTES))
    if kind in (FileKind.ZIP, FileKind.NPZ):
        return ZipArchive(path, limits)
    if kind is FileKind.TAR:
        return TarArchive(path, limits)
    return LooseFile(path, name or path.name, kind)


@dataclass
class Contents:
    """The files of all archives of an upload, numbered through."""

    archives: list[Archive]
    pictures: list[Member] = field(default_factory=list)
    others: list[Member] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    """The number of each archive's first file."""
    ignored: Counter[str] = field(default_factory=Counter)

    @property
    def format(self) -> str:
        """The kinds of the archives, such as `zip`."""
        kinds = {archive.kind for archive in self.archives if archive.kind in ARCHIVES}
        return ", ".join(sorted(kinds))

    def read(self, members: Sequence[Member]) -> Iterator[tuple[Member, bytes]]:
        """Yield some files in the order of the archives, with their bytes."""
        for archive, numbers in self._by_archive(members):
            for number, data in archive.read(numbers.keys()):
                yield numbers[number], data

    def heads(self, members: Sequence[Member]) -> Iterator[tuple[Member, bytes]]:
        """Yield some files in the order of the archives, with their first `HEAD_BYTES`."""
        for archive, numbers in self._by_archive(members):
            for number, data in archive.heads(numbers.keys()):
                yield numbers[number], data

    def pieces(self, member: Member) -> Iterator[bytes]:
        """Yield a file, some bytes at a time."""
        at, number = self._origin(member)
        return self.archives[at].pieces(number)

    def _by_archive(self, members: Sequence[Member]) -> Iterator[tuple[Archive, dict[int, Member]]]:
        """Yield the archives that some files are in, with these files by their numbers there."""
        wanted: dict[int, dict[int, Member]] = {}
        for member in members:
            at, number = self._origin(member)
            wanted.setdefault(at, {})[number] = member
        return ((self.archives[at], numbers) for at, numbers in sorted(wanted.items()))

    def _origin(self, member: Member) -> tuple[int, int]:
        """Return the archive of a file, and its number there."""
        at = bisect_right(self.starts, member.number) - 1
        return at, member.number - self.starts[at]


def contents_of(files: Sequence[UploadedFile], limits: Limits) -> Contents:
    """Return what the archives of an upload hold, by their directories.

    Raises:
        Unusable: by `open_archive`, or a picture is too large.

    """
    contents = Contents([_opened(file, limits, len(files)) for file in files])
    count = sum(archive.kind in ARCHIVES for archive in contents.archives)
    start = 0
    for file, archive in zip(files, contents.archives, strict=True):
        limits.pulse()
        contents.starts.append(start)
        _add(contents, start, archive, _prefix(file.name, archive, count), limits)
        start += max((member.number + 1 for member in archive.listing.members), default=0)
    if not contents.pictures:
        _add_by_content(contents, limits)
    limits.pulse()
    contents.pictures.sort(key=_by_name)
    return contents


def _by_name(picture: Member) -> tuple[list[tuple[int, int, str]], str]:
    """Order pictures by their names and not by their folders.

    Programs pack a folder in orders of their own, and it is to become the same set by all of them.
    Pictures that are numbered through all classes, as exports of MNIST are, keep that order.
    """
    return natural_key(picture.path.rsplit("/", 1)[-1]), picture.path


def _opened(file: UploadedFile, limits: Limits, count: int) -> Archive:
    try:
        return open_archive(file.path, limits, file.name)
    except Unusable as exc:
        if count == 1:
            raise
        flaws = [
            Flaw(flaw.code, flaw.detail, f"{file.name}/{flaw.place}".rstrip("/"), flaw.hint)
            for flaw in exc.flaws
        ]
        raise Unusable(flaws) from exc


def _add(contents: Contents, start: int, archive: Archive, prefix: str, limits: Limits) -> None:
    listing = archive.listing
    for origin in listing.members:
        if is_system_file(origin.path):
            contents.ignored["system files"] += 1
            continue
        member = origin
        if start or prefix:
            member = Member(start + origin.number, prefix + origin.path, origin.size)
        if is_picture(member):
            _refuse_large(member, limits)
            contents.pictures.append(member)
        else:
            contents.others.append(member)
    contents.ignored["empty folders"] += _empty_folders(archive)
    contents.ignored["links"] += listing.links
    contents.ignored["replaced by a later file of that name"] += listing.replaced


def _refuse_large(picture: Member, limits: Limits) -> None:
    if picture.size > limits.picture_bytes:
        raise unusable(
            "too_large",
            f"It has {picture.size:,} bytes; a picture may have at most {limits.picture_bytes:,}.",
            shown(picture.path),
            "Make it smaller.",
        )


def _add_by_content(contents: Contents, limits: Limits) -> None:
    """Add the files that are pictures by their first bytes: names may have lost their ends."""
    contents.pictures = [
        member for member, head in contents.heads(contents.others) if _shows_picture(head)
    ]
    for picture in contents.pictures:
        _refuse_large(picture, limits)
    numbers = {picture.number for picture in contents.pictures}
    contents.others = [member for member in contents.others if member.number not in numbers]


def _shows_picture(head: bytes) -> bool:
    found = image_formats.known(head)
    return found is not None and (found.decoder is not None or found is image_formats.PORTABLE)


def _empty_folders(archive: Archive) -> int:
    paths = sorted(member.path for member in archive.listing.members)
    return sum(
        not is_system_file(folder) and not _is_within(folder, paths)
        for folder in archive.listing.folders
    )


def _is_within(folder: str, paths: Sequence[str]) -> bool:
    """Return whether one of some sorted paths leads into a folder."""
    at = bisect_right(paths, f"{folder}/")
    return at < len(paths) and paths[at].startswith(f"{folder}/")


def _prefix(name: str, archive: Archive, count: int) -> str:
    """Return the folder that the name of one of several archives stands for.

    It is a split, as in `train.zip`, or the class of pictures that lie in no folder.
    """
    stem = PurePath(name).name.split(".")[0]
    pictures = [it for it in archive.listing.members if is_picture(it)]
    if count == 1 or not stem or archive.kind not in ARCHIVES:
        return ""
    if split := split_of_folder(stem):
        return f"{split}/"
    return "" if all("/" in picture.path for picture in pictures) else f"{stem}/"
