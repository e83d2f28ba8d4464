"""The files of data layouts: a data set as training reads it, in blocks."""

from pathlib import Path

import numpy as np

from mlp_core import DataLayout, Dataset, DatasetError, lay_out
from service.store.durable_files import write_array
from service.store.mapped_dataset import BAD_FILE

NOT_WHOLE = (FileNotFoundError, *BAD_FILE, DatasetError)
"""Errors that a missing or damaged data layout raises."""


def mapped_layout(folder: Path) -> DataLayout:
    """Return the layout in a folder, memory-mapped; raises `NOT_WHOLE`."""
    names = DataLayout.ARRAY_NAMES
    arrays = [np.load(folder / f"{name}.npy", "r", allow_pickle=False) for name in names]
    return DataLayout.from_arrays(dict(zip(names, arrays, strict=True)))


def made_layout(folder: Path, dataset: Dataset) -> DataLayout:
    """Return the layout; make it first, unless another process has just done so."""
    try:
        return mapped_layout(folder)
    except NOT_WHOLE:
        for name, array in lay_out(dataset).arrays().items():
            write_array(folder / f"{name}.npy", array)
        return mapped_layout(folder)
