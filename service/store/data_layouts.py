"""The files of data layouts: a data set as training reads it, in blocks.

Their digest lies beside them. Nobody computes it to open a layout, which would take as long as an
epoch of a linear network; the weekly verification does, as it does for data sets.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mlp_core import DataLayout, Dataset, DatasetError, lay_out
from service.store.dataset_digests import PAUSE_NOT, PIECE_BYTES
from service.store.dataset_marks import LAYOUT
from service.store.durable_files import READ_ONLY, write_array, write_atomic
from service.store.mapped_dataset import BAD_FILE

DIGEST = "digest"
"""The file with the digest of the arrays, written when all of them are there; a layout without it
is made again."""
NOT_WHOLE = (FileNotFoundError, *BAD_FILE, DatasetError)
"""Errors that a missing or damaged data layout raises."""


def mapped_layout(folder: Path) -> DataLayout:
    """Return the layout in a folder, memory-mapped; raises `NOT_WHOLE`."""
    (folder / DIGEST).stat()
    names = DataLayout.ARRAY_NAMES
    arrays = [np.load(path, "r", allow_pickle=False) for path in _paths(folder)]
    return DataLayout.from_arrays(dict(zip(names, arrays, strict=True)))


def made_layout(folder: Path, dataset: Dataset) -> DataLayout:
    """Return the layout; make it first, unless another process has just done so."""
    try:
        return mapped_layout(folder)
    except NOT_WHOLE:
        for name, array in lay_out(dataset).arrays().items():
            write_array(folder / f"{name}.npy", array)
        write_atomic(folder / DIGEST, _digest(folder).encode(), READ_ONLY)
        return mapped_layout(folder)


def drop_damaged(folder: Path, pause: Callable[[], None] = PAUSE_NOT) -> list[str]:
    """Let damaged layouts of the data set in a folder be made again; return their names.

    Args:
        folder: of the data set.
        pause: called after each MiB.

    Raises:
        OSError: what is damaged can't be forgotten.

    """
    damaged = [path for path in folder.glob(f"{LAYOUT}*/{DIGEST}") if not _is_intact(path, pause)]
    for path in damaged:  # who has mapped the arrays keeps them; the next one finds no digest
        path.unlink(missing_ok=True)
    return [path.parent.name for path in damaged]


def _is_intact(digest: Path, pause: Callable[[], None]) -> bool:
    """Return whether arrays have the digest beside them; those that can't be read do not."""
    try:
        return digest.read_text() == _digest(digest.parent, pause)
    except (OSError, ValueError):
        return False


def _digest(folder: Path, pause: Callable[[], None] = PAUSE_NOT) -> str:
    """Return the digest of all arrays; nothing is mapped: a broken disk would end the process."""
    digest = hashlib.sha256()
    for path in _paths(folder):
        with path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                digest.update(piece)
                pause()
    return digest.hexdigest()


def _paths(folder: Path) -> list[Path]:
    return [folder / f"{name}.npy" for name in DataLayout.ARRAY_NAMES]
