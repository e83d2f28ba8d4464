"""Writes data sets into files of the formats that people use, and reads them with a reader."""

import gzip
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.ingest.limits import Limits
from service.ingest.options import IngestOptions
from service.ingest.refusal import Flaw, Unusable
from service.ingest.source import Block, Reader, Source, UploadedFile

IDX_TYPES = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}


@dataclass(frozen=True)
class Images:
    """Labelled images."""

    pixels: NDArray[np.uint8]
    """uint8 (n, height, width)."""
    labels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class ReadRows:
    """All rows of a source."""

    images: NDArray[np.uint8]
    """uint8 (n, height, width, channels)."""
    labels: list[str]
    splits: list[str | None]
    values: NDArray[np.float64] | None
    numbers: list[int]


def idx(array: NDArray[Any]) -> bytes:
    """Return an array as an IDX file."""
    header = struct.pack(">BBBB", 0, 0, IDX_TYPES[array.dtype.name], array.ndim)
    lengths = struct.pack(f">{array.ndim}I", *array.shape)
    return header + lengths + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_idx(path: Path, array: NDArray[Any]) -> Path:
    """Write an IDX file, packed if its name says so."""
    data = idx(array)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def npz(path: Path, **arrays: Any) -> Path:
    """Write arrays as a packed `.npz` file."""
    np.savez_compressed(path, **arrays)
    return path


def uploaded(*paths: Path) -> list[UploadedFile]:
    return [UploadedFile(path, path.name) for path in paths]


def rows_of(source: Source) -> ReadRows:
    """Return all rows of a source, which are read twice to see that this is possible."""
    blocks = list(source.blocks())
    again = list(source.blocks())
    assert [list(block.rows) for block in blocks] == [list(block.rows) for block in again]
    return _joined(blocks)


def read_rows(
    read: Reader,
    *paths: Path,
    options: IngestOptions | None = None,
    limits: Limits | None = None,
) -> ReadRows:
    """Return all rows of files."""
    return rows_of(read(uploaded(*paths), options or IngestOptions(), limits or Limits()))


def flaws_of(
    read: Reader,
    *paths: Path,
    options: IngestOptions | None = None,
    limits: Limits | None = None,
) -> tuple[Flaw, ...]:
    """Return why a reader refuses files."""
    with pytest.raises(Unusable) as caught:
        read_rows(read, *paths, options=options, limits=limits)
    return caught.value.flaws


def _joined(blocks: Sequence[Block]) -> ReadRows:
    values = [block.values for block in blocks if block.values is not None]
    return ReadRows(
        np.concatenate([block.images for block in blocks]),
        [label for block in blocks for label in block.labels],
        [split for block in blocks for split in block.splits],
        np.concatenate(values) if values else None,
        [number for block in blocks for number in block.rows],
    )
