"""What every reader of a format returns: labelled images, some at a time, and what was noticed."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.ingest.limits import Limits
from service.ingest.options import IngestOptions

MOST_EXAMPLES = 10
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class UploadedFile:
    """A file as a client has sent it, perhaps under a name that says which split it is."""

    path: Path
    name: str


@dataclass(frozen=True)
class Block:
    """Some rows of a source, in its order; rows that can't be read are left out."""

    rows: Sequence[int]
    """Their numbers in the source, counted from 0."""
    images: Pixels
    """uint8 (n, height, width, channels), with as many channels in all blocks of a source."""
    labels: Sequence[str]
    """As they are written; classes are named and ordered later."""
    splits: Sequence[str | None]
    """`train`, `validation` or `test`; None where the source does not say."""
    values: NDArray[np.float64] | None = None
    """The finite numbers of a table, (n, columns), whose `images` are then (n, 0, 0, 0)."""


@dataclass
class Doubt:
    """Something that a person should know of, and that stops nothing."""

    code: str
    """One of the codes of docs/datasets.md, such as `duplicates`."""
    detail: str
    count: int = 1
    examples: list[str] = field(default_factory=list)
    """Up to ten places."""


def unlabelled(place: str) -> Doubt:
    """Return the doubt that a file or array was left out, because it has no labels."""
    detail = (
        "It has no labels, as in competitions, so that it can't say how good a network is. It was "
        "left out; the network can be asked about it later."
    )
    return Doubt("unlabelled", detail, 1, [place])


@dataclass
class Source:
    """The rows of one or several uploaded files of one format."""

    blocks: Callable[[], Iterator[Block]]
    """Reads the rows from the beginning; may raise `Unusable`."""
    place: Callable[[int], str]
    """Names where a row is: a member of an archive, a line of a table, a row of an array."""
    found: dict[str, Any]
    """What was found, as the report has it: `format`, `top`, `split`, `label`, `header`, …"""
    rows: int | None = None
    """The number of rows, if it is known before they are read."""
    ignored: Counter[str] = field(default_factory=Counter)
    """What was left out, by reason, such as `system files`."""
    doubts: list[Doubt] = field(default_factory=list)
    """Complete once all blocks have been read."""
    columns: Sequence[str] = ()
    """The names of the columns of a table of numbers."""
    classes: Sequence[str] = ()
    """Names of classes in the order of their labels, where the source tells that order."""


Reader = Callable[[Sequence[UploadedFile], IngestOptions, Limits], Source]
"""Reads all files of an upload; raises `Unusable` if they hold no data set."""
