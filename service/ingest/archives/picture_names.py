"""Finds the picture that a cell of a table names."""

import re
import unicodedata
from collections.abc import Sequence

from service.ingest.archives.archive_members import MAX_NAME_BYTES, Member
from service.ingest.split_words import split_of_folder

ELSEWHERE = re.compile(r"/|[A-Za-z]:[\\/]|\w+://")
"""How a path begins that leads to a folder of another machine, or to another server."""
MOST_NAMESAKES = 1000
"""Pictures of one name in different folders; a table that names so many is not looked up."""


class PictureNames:
    """Finds pictures by what tables call them."""

    def __init__(self, pictures: Sequence[Member]) -> None:
        self._paths = {picture.path: picture for picture in pictures}
        self._stems: dict[str, Member | list[Member]] = {}
        """The pictures by their names without the ending; a list where several share a name."""
        for picture in pictures:
            stem = picture.path.rpartition("/")[2].rpartition(".")[0]
            other = self._stems.setdefault(stem, picture)
            if isinstance(other, list):
                other.append(picture)
            elif other is not picture:
                self._stems[stem] = [other, picture]

    def named(self, cell: str, folder: str) -> Member | None:
        """Return the picture that a cell of a table in a folder names; None if it names none.

        A name counts with the path from the table's folder or from the top, with a part of it, or
        without what follows the dot, if only one picture has that name. Of a path on another
        machine the last name counts, unless it lies in the folder of another split there.
        """
        name = cell.strip().replace("\\", "/").lstrip("./")
        if not name or len(name) > MAX_NAME_BYTES:
            return None
        name = name if name.isascii() else unicodedata.normalize("NFC", name)
        for path in (f"{folder}/{name}" if folder else name, name):
            if exact := self._paths.get(path):
                return exact
        last = name.rpartition("/")[2]
        candidates = self._with_stem(last) or self._with_stem(last.rpartition(".")[0])
        if len(candidates) > MOST_NAMESAKES:
            return None
        known = [it for it in candidates if _ends_with(it.path, name)]
        if not known and len(candidates) == 1 and ELSEWHERE.match(cell.strip()):
            return _of_split(candidates[0], name)
        candidates = known
        below = [it for it in candidates if it.path.startswith(f"{folder}/")] if folder else []
        chosen = below or candidates
        return chosen[0] if len(chosen) == 1 else None

    def _with_stem(self, stem: str) -> list[Member]:
        found = self._stems.get(stem, [])
        return found if isinstance(found, list) else [found]


def _of_split(picture: Member, name: str) -> Member | None:
    """Return a picture if its folders name the same splits as those in a path."""
    splits = [
        {split for folder in path.split("/")[:-1] if (split := split_of_folder(folder))}
        for path in (picture.path, name)
    ]
    return picture if splits[0] == splits[1] or not all(splits) else None


def _ends_with(path: str, name: str) -> bool:
    return f"/{path}".endswith(f"/{name}") or f"/{path.rpartition('.')[0]}".endswith(f"/{name}")
