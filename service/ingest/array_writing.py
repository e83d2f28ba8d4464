"""Writes the arrays of a set, some rows at a time, and their digest meanwhile."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from service.domain.dataset_manifest import ContentDigest

READ_ONLY = 0o444
Pixels = NDArray[np.uint8]
Pieces = Callable[[NDArray[np.bool_]], Iterator[Pixels]]


def write_arrays(
    folder: Path,
    rows: Mapping[str, NDArray[np.bool_]],
    labels: Pixels,
    n_in: int,
    pieces: Pieces,
    digest: ContentDigest,
) -> None:
    """Write images and labels of each split as npy files that cannot be written to.

    Args:
        folder: of the new files.
        rows: by split, which rows of the set belong to it, in the order of the digest.
        labels: of all rows.
        n_in: the values of a row.
        pieces: yields the wanted rows, uint8 (n, n_in), some at a time.
        digest: is given all arrays.

    """
    for split, wanted in rows.items():
        count = int(np.count_nonzero(wanted))
        _write(folder / f"{split}.images.npy", (count, n_in), pieces(wanted), digest)
        _write(folder / f"{split}.labels.npy", (count,), iter([labels[wanted]]), digest)


def _write(
    path: Path, shape: tuple[int, ...], pieces: Iterator[Pixels], digest: ContentDigest
) -> None:
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for piece in pieces:
            data = np.ascontiguousarray(piece).data
            file.write(data)
            digest.update(data)
        _seal(file)


def write_text(path: Path, text: str) -> None:
    """Write a text as a file that cannot be written to."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        _seal(file)


def _seal(file: IO[Any]) -> None:
    """Put a file on the disk, and forbid to write to it."""
    file.flush()
    os.fchmod(file.fileno(), READ_ONLY)
    os.fsync(file.fileno())
