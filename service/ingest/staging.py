"""Writes the rows of a source to a file in one pass, and keeps of each only what judges it.

A set may be larger than the memory of a check, so that its pixels are written as they are read, and
read again from the file, some rows at a time. Each of a million rows takes 50 bytes of memory.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.ingest.limits import Limits
from service.ingest.refusal import Unusable, unusable
from service.ingest.source import Block, Source

SPLITS = ("train", "validation", "test")
UNNAMED = len(SPLITS)
"""The code of a row of which the source does not say to which split it belongs."""
PIECE_BYTES = 4 * 1024**2
"""About how much is read at a time."""
ROWS_AT_ONCE = 500
"""The number of rows that are prepared before progress is told."""
WHITE, BLACK = 250, 5
"""Levels from the first and up to the second count as the white and the black of a page."""
MOST_LABELS = 100_000
"""The names of labels are held in memory, and a set has 256 classes at most."""
READING = "reading"
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class RowFacts:
    """What is known of each row of a set after its pixels have been written away."""

    numbers: NDArray[np.int64]
    """The numbers of the rows in the source, counted from 0."""
    labels: NDArray[np.int32]
    """Places in the list of labels."""
    splits: NDArray[np.uint8]
    """Places in `SPLITS`, or `UNNAMED`."""
    digests: NDArray[np.uint64]
    """(n, 2): 16 bytes of BLAKE2b over the row; equal rows have equal digests."""
    white: NDArray[np.uint32]
    """The number of white values."""
    black: NDArray[np.uint32]
    blank: NDArray[np.bool_]
    """Whether all values are equal."""


FACTS = [column.name for column in fields(RowFacts)]


@dataclass(frozen=True)
class Staged:
    """The rows of a source, in the order of their numbers, in a file."""

    path: Path
    shape: tuple[int, ...]
    """The shape of a row: (height, width, channels) of uint8, or (columns,) of float32."""
    written: tuple[str, ...]
    """All different labels, as the source writes them."""
    rows: RowFacts
    low: float
    """The least value of all rows."""
    high: float
    places: NDArray[np.intp] | None = None
    """Where each row is in the file; None if the file has the order of their numbers."""

    def __len__(self) -> int:
        return len(self.rows.numbers)

    @property
    def is_vector(self) -> bool:
        return len(self.shape) == 1

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32 if self.is_vector else np.uint8)

    def pieces(self, wanted: NDArray[np.bool_]) -> Iterator[NDArray[Any]]:
        """Yield the wanted rows, (n, values), in order and some at a time.

        Args:
            wanted: whether each row is to be read.

        """
        row_bytes = int(np.prod(self.shape)) * self.dtype.itemsize
        at_once = max(1, PIECE_BYTES // row_bytes)
        read = self._sequential if self.places is None else self._scattered
        with self.path.open("rb", buffering=0) as file:
            for start in range(0, len(self), at_once):
                chosen = wanted[start : start + at_once]
                if chosen.any():
                    data = read(file.fileno(), start, chosen, row_bytes)
                    yield np.frombuffer(data, self.dtype).reshape(np.count_nonzero(chosen), -1)

    def _sequential(
        self, file: int, start: int, chosen: NDArray[np.bool_], row_bytes: int
    ) -> bytes | NDArray[np.uint8]:
        data = _read_all(file, len(chosen) * row_bytes, start * row_bytes)
        if chosen.all():
            return data
        return np.frombuffer(data, np.uint8).reshape(len(chosen), row_bytes)[chosen]

    def _scattered(
        self, file: int, start: int, chosen: NDArray[np.bool_], row_bytes: int
    ) -> bytes | NDArray[np.uint8]:
        places = () if self.places is None else self.places[start : start + len(chosen)][chosen]
        return b"".join(_read_all(file, row_bytes, place * row_bytes) for place in map(int, places))


def _read_all(file: int, size: int, start: int) -> bytes:
    """Return bytes of a file from a place on; a single call may return fewer."""
    parts = []
    while size:
        some = os.pread(file, size, start)
        if not some:
            raise OSError("a file of the check has become shorter while it was read")
        parts.append(some)
        size, start = size - len(some), start + len(some)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def stage(
    source: Source,
    prepared: Callable[[Block], NDArray[Any]],
    path: Path,
    limits: Limits,
    progress: Progress,
) -> Staged:
    """Write all rows of a source to a file.

    Args:
        source: what a reader returned.
        prepared: returns the rows of a block as they are to be written.
        path: of the new file.
        limits: of rows and bytes.
        progress: called every few rows with a stage, the rows done and the rows in all, if known.

    Raises:
        Unusable: by the reader; or there are no rows, too many, or rows of different shapes.

    """
    stager = _Stager(source, limits)
    progress(READING, 0, source.rows)
    with path.open("wb") as file:
        for block in source.blocks():
            for part in _parts(block):
                values = np.ascontiguousarray(prepared(part))
                stager.add(part, values)
                file.write(values.data)
                progress(READING, stager.count, source.rows)
    return stager.staged(path)


def _parts(block: Block) -> Iterator[Block]:
    """Yield a block in parts, for preparing a row may take a millisecond."""
    for start in range(0, len(block.rows), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        yield Block(
            block.rows[rows],
            block.images[rows],
            block.labels[rows],
            block.splits[rows],
            None if block.values is None else block.values[rows],
        )


@dataclass
class _Stager:
    source: Source
    limits: Limits
    count: int = 0
    shape: tuple[int, ...] | None = None
    low: float = np.inf
    high: float = -np.inf
    facts: list[RowFacts] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)

    def add(self, block: Block, values: NDArray[Any]) -> None:
        if not len(values):
            return
        self._refuse_other_shape(block, values)
        self.count += len(values)
        self._refuse_too_much(values)
        flat = values.reshape(len(values), -1)
        lows, highs = flat.min(axis=1), flat.max(axis=1)
        self.low = min(self.low, float(lows.min()))
        self.high = max(self.high, float(highs.max()))
        self.facts.append(
            RowFacts(
                np.array(block.rows, np.int64),
                np.array([self._code(label) for label in block.labels], np.int32),
                np.array([_split_code(split) for split in block.splits], np.uint8),
                row_digests(flat),
                np.count_nonzero(flat >= WHITE, axis=1).astype(np.uint32),
                np.count_nonzero(flat <= BLACK, axis=1).astype(np.uint32),
                lows == highs,
            )
        )

    def staged(self, path: Path) -> Staged:
        if not self.facts or self.shape is None:
            raise unusable("empty", "It holds no images.")
        columns = (np.concatenate([getattr(facts, name) for facts in self.facts]) for name in FACTS)
        rows, places = _in_order(RowFacts(*columns))
        return Staged(path, self.shape, tuple(self.codes), rows, self.low, self.high, places)

    def _code(self, label: str) -> int:
        code = self.codes.setdefault(label, len(self.codes))
        if code >= MOST_LABELS:
            raise unusable(
                "too_many_classes",
                f"There are more than {MOST_LABELS:,} different labels.",
                hint="Is the column of the labels the right one? The option `label` names it.",
            )
        return code

    def _refuse_other_shape(self, block: Block, values: NDArray[Any]) -> None:
        shape = values.shape[1:]
        if self.shape is None:
            self.shape = shape
        if shape != self.shape:
            raise unusable(
                "sizes_differ",
                f"The rows before it have the shape {self.shape}, and it has {shape}.",
                self.source.place(block.rows[0]),
                "Set the option `size`, such as [28, 28], to bring all images to one size.",
            )

    def _refuse_too_much(self, values: NDArray[Any]) -> None:
        if self.count > self.limits.rows:
            raise _too_large(f"It has more than {self.limits.rows:,} rows.")
        if self.count * values[0].size > self.limits.pixel_bytes:
            raise _too_large(f"Its images have more than {self.limits.pixel_bytes:,} bytes.")


def _in_order(rows: RowFacts) -> tuple[RowFacts, NDArray[np.intp] | None]:
    """Return rows by their numbers, and at which place each of them was."""
    if bool((np.diff(rows.numbers) >= 0).all()):
        return rows, None
    order = np.argsort(rows.numbers, kind="stable")
    columns = (getattr(rows, name)[order] for name in FACTS)
    return RowFacts(*columns), order


def _too_large(detail: str) -> Unusable:
    return unusable("too_large", detail, hint="Send fewer rows, or smaller images.")


def _split_code(split: str | None) -> int:
    return UNNAMED if split is None else SPLITS.index(split)


def row_digests(flat: NDArray[Any]) -> NDArray[np.uint64]:
    """Return 16 bytes of BLAKE2b over each row as two numbers, (n, 2)."""
    joined = b"".join(blake2b(row, digest_size=16).digest() for row in flat)
    return np.frombuffer(joined, np.uint64).reshape(-1, 2)
