"""What an archive holds, as its directory tells it, and the names that are taken from it."""

import unicodedata
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Protocol

from service.ingest.file_kind import FileKind
from service.ingest.refusal import Unusable, unusable

MAX_NAME_BYTES = 1024
MAX_DEPTH = 16
"""Folders in one another; the time to find classes grows with the square."""
LONGEST_SHOWN = 200
MAC_FOLDER = "__MACOSX"
SYSTEM_FILES = {"thumbs.db", "desktop.ini"}
PICTURE_SUFFIXES = {
    *("png", "jpg", "jpeg", "jpe", "jfif", "gif", "bmp", "dib", "tif", "tiff", "webp"),
    *("avif", "heic", "heif", "pgm", "ppm", "pbm", "pnm"),
}


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive."""

    number: int
    """Its place among the files of the archive, counted from 0."""
    path: str
    """The path with slashes, in the composed form of Unicode."""
    size: int

    @property
    def suffix(self) -> str:
        """What follows the last dot of the name, in lower case."""
        _, dot, suffix = self.path.rpartition("/")[2].rpartition(".")
        return suffix.lower() if dot else ""


@dataclass
class Listing:
    """The directory of an archive."""

    members: list[Member] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    """The folders that have an entry of their own."""
    links: int = 0
    """Links and devices that are no pictures; they are never followed."""
    replaced: int = 0
    """Files whose name another one has that comes later."""


class Archive(Protocol):
    """A zip or tar file."""

    kind: FileKind
    listing: Listing

    def read(self, wanted: Set[int]) -> Iterator[tuple[int, bytes]]:
        """Yield some files whole, in the order of the archive, as their numbers and bytes.

        Raises:
            Unusable: a file is damaged, or has not the size that the directory tells.

        """
        ...

    def heads(self, wanted: Set[int]) -> Iterator[tuple[int, bytes]]:
        """Yield the first `HEAD_BYTES` of some files, in the order of the archive.

        Raises:
            Unusable: as for `read`.

        """
        ...

    def pieces(self, number: int) -> Iterator[bytes]:
        """Yield a file, some bytes at a time.

        Raises:
            Unusable: as for `read`, at the latest after the last piece.

        """
        ...


def decoded_name(raw: bytes) -> str:
    """Return a member's name, also of programs that write UTF-8 and do not say so."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp437")


def path_of(name: str) -> str:
    """Return a member's path with slashes, in the composed form of Unicode.

    Windows writes backslashes, and macOS letters and their accents apart.

    Raises:
        Unusable: the path is none below the folder of the archive.

    """
    path = name if "/" in name else name.replace("\\", "/")
    if not path.isascii():
        path = unicodedata.normalize("NFC", path)
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or path[1:2] == ":" or "\0" in path:
        raise unusable(
            "outside",
            "Its name leads out of the archive's folder.",
            shown(name),
            "Pack the folder again, from the folder above it.",
        )
    if len(parts) > MAX_DEPTH:
        detail = f"It lies {len(parts) - 1:,} folders deep; fewer than {MAX_DEPTH} are read."
        raise unusable("too_long", detail, shown(name), "Pack it in fewer folders.")
    if "" in parts or "." in parts:
        path = "/".join(part for part in parts if part not in ("", "."))
    return path


def shown(name: str) -> str:
    """Return a member's name as a message can quote it."""
    if name.isprintable() and len(name) <= LONGEST_SHOWN:
        return name
    printable = "".join(mark if mark.isprintable() else "?" for mark in name[:LONGEST_SHOWN])
    return printable + ("…" if len(name) > LONGEST_SHOWN else "")


def is_system_file(path: str) -> bool:
    """Return whether a file is of the system that packed the archive, and not of its owner."""
    parts = path.split("/")
    hidden = any(part.startswith(".") or part == MAC_FOLDER for part in parts)
    return hidden or parts[-1].lower() in SYSTEM_FILES


def is_picture(member: Member) -> bool:
    return member.suffix in PICTURE_SUFFIXES


def refuse_link(path: str, what: str) -> None:
    """Refuse a link or device in the place of a picture.

    Raises:
        Unusable: the name is that of a picture, which would be missing.

    """
    if is_picture(Member(0, path, 0)) and not is_system_file(path):
        raise unusable(
            "link",
            f"It is {what}, which is not followed.",
            shown(path),
            "Pack the file itself in its place.",
        )


def latest(members: list[Member], listing: Listing) -> list[Member]:
    """Return the members without those that a later one of the same name replaces."""
    last = {member.path: member for member in members}
    listing.replaced = len(members) - len(last)
    return sorted(last.values(), key=attrgetter("number")) if listing.replaced else members


# --- What is wrong with an archive ----------------------------------------------------------------


def too_many(most: int) -> Unusable:
    return unusable(
        "too_many", f"It holds more than {most:,} files.", hint="Send a part of the data."
    )


def too_large(limit: int) -> Unusable:
    return unusable(
        "too_large",
        f"Its files have more than {limit:,} bytes once they are unpacked.",
        hint="Send fewer or smaller files.",
    )


def damaged(what: str, place: str = "") -> Unusable:
    return unusable("damaged", f"The archive is damaged: {what}.", place, "Fetch or pack it again.")


def cut_off(place: str = "") -> Unusable:
    return unusable("cut_off", "The archive ends too early.", place, "Fetch or pack it again.")
