"""Why an uploaded file can't become a data set, with the place and the way out."""

from collections.abc import Sequence
from dataclasses import dataclass

MOST_FLAWS = 20
"""A report lists this many; more would not be read."""


@dataclass(frozen=True)
class Flaw:
    """One thing that is wrong with a file."""

    code: str
    detail: str
    place: str = ""
    """The member of an archive, line and column of a table, key and shape of an array."""
    hint: str = ""
    """How to correct it."""

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return f"{where}{self.detail}{' ' + self.hint if self.hint else ''}"


class Unusable(Exception):
    """A file that can't become a data set, with everything that is wrong with it."""

    def __init__(self, flaws: Sequence[Flaw]) -> None:
        self.flaws = tuple(flaws[:MOST_FLAWS])
        super().__init__("\n".join(map(str, self.flaws)))


def unusable(code: str, detail: str, place: str = "", hint: str = "") -> Unusable:
    """Return the error for a single flaw."""
    return Unusable([Flaw(code, detail, place, hint)])
