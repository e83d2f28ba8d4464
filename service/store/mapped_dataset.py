"""A data set whose files are mapped, and whether they are still the files that were mapped."""

import json
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from zipfile import BadZipFile

import numpy as np

from mlp_core import Dataset, DatasetError, Split
from service.domain.dataset_manifest import Manifest
from service.store.dataset_marks import DAMAGED

MANIFEST_FILE = "manifest.json"
BAD_FILE = (EOFError, ValueError, SyntaxError, TokenError, BadZipFile)
"""Errors that NumPy raises for a damaged file, because it reads the header as Python."""
DAMAGE = (
    FileNotFoundError,
    IsADirectoryError,
    *BAD_FILE,
    AttributeError,
    KeyError,
    TypeError,
    DatasetError,
)
"""Errors that missing, empty or misshapen files of a data set raise, and a disk that fails not."""

Stamp = tuple[int, int, int] | None


@dataclass(frozen=True)
class MappedDataset:
    """The mapped files of a data set, whose labels were found to be below the classes."""

    dataset: Dataset
    validation: Split | None
    stamps: dict[Path, Stamp]
    """What each file was like when it was mapped."""

    def is_current(self) -> bool:
        """Return whether no file has been written, replaced or deleted since it was mapped."""
        return all(_stamp(path) == before for path, before in self.stamps.items())


def read_manifest(folder: Path, sha256: str) -> Manifest:
    """Return the manifest of the data set with a digest.

    Raises:
        OSError: the file is missing, or can't be read.
        ValueError: it is no JSON, or that of another data set; other content raises more: `DAMAGE`.

    """
    manifest = Manifest.from_record(json.loads((folder / MANIFEST_FILE).read_bytes()))
    if manifest.sha256 != sha256:
        raise ValueError(f"{MANIFEST_FILE} is that of the digest {str(manifest.sha256)[:80]}")
    return manifest


def map_dataset(folder: Path, sha256: str, manifest: Manifest) -> MappedDataset:
    """Map the files of a data set, which must have exactly the sizes that the manifest tells.

    Raises:
        OSError: a file is missing, or can't be read.
        ValueError: one has another size, or is no array; NumPy raises more than that: `BAD_FILE`.
        DatasetError: the splits don't fit together, or a label is outside the classes.

    """
    paths = [folder / MANIFEST_FILE, folder / DAMAGED]
    paths += [folder / file for name in manifest.rows for file in _files(name)]
    stamps = {path: _stamp(path) for path in paths}  # first, so that no later change is missed
    splits = {name: _mapped_split(folder, manifest, name) for name in manifest.rows}
    dataset = Dataset(
        name=sha256,
        train=splits["train"],
        test=splits["test"],
        classes=len(manifest.classes),
        image_shape=manifest.shape if manifest.image_shape else None,
    )
    validation = splits.get("validation")
    if validation is not None:
        _check_labels(validation, dataset.classes)
    return MappedDataset(dataset, validation, stamps)


def _files(split: str) -> tuple[str, str]:
    return f"{split}.images.npy", f"{split}.labels.npy"


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _check_labels(split: Split, classes: int) -> None:
    """Check what `Dataset` checks for the two splits that it has."""
    largest = int(split.labels.max())
    if largest >= classes:
        raise DatasetError("labels", f"at most {classes - 1}", largest)


def _mapped_split(folder: Path, manifest: Manifest, name: str) -> Split:
    rows = manifest.rows[name]
    images, labels = _files(name)
    return Split(_mapped(folder / images, (rows, manifest.n_in)), _mapped(folder / labels, (rows,)))


def _mapped(path: Path, shape: tuple[int, ...]) -> np.memmap:
    array: np.memmap = np.load(path, "r", allow_pickle=False)
    size = path.stat().st_size
    if array.shape != shape or size != array.offset + array.nbytes:
        raise ValueError(f"{path.name} has the shape {array.shape} in {size:,} bytes, not {shape}")
    return array
