"""Reads the rows of a data set that is there, of which another one is to be made.

The arrays are read in pieces and never mapped, because a check has less address space than the
largest set has pixels.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from service.domain.dataset_manifest import Manifest
from service.ingest.arrays.array_files import StoredArray, array_in
from service.ingest.options import IngestOptions
from service.ingest.refusal import Unusable, unusable
from service.ingest.source import Block, Pixels, Source
from service.ingest.splits import GIVEN, TEST, TRAIN
from service.ingest.staging import PIECE_BYTES, SPLITS


@dataclass(frozen=True)
class Derivation:
    """What is to be made of a data set that is there."""

    dataset: str
    """Its name, for people."""
    manifest: Manifest
    """The manifest that the data set had when this was asked for."""
    options: IngestOptions
    """The options of the split and the classes; all others are those of the manifest."""
    rows: int | None = None
    """The most training rows of each class; None for all."""
    seed: int = 1
    """It decides which rows are chosen."""

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Return what `from` of a data set's options says, with the manifest of the source."""
        manifest = Manifest.from_record(record["manifest"])
        options = IngestOptions.from_record(
            {
                "split": record["split"] or GIVEN,
                "classes": record["classes"],
                "size": manifest.image_shape,
                "resize": manifest.resize,
                "color": "keep" if manifest.channels > 1 else "grey",
                "invert": manifest.invert,
                "transpose": manifest.transpose,
                "input": str(manifest.input),
            }
        )
        return cls(record["dataset"], manifest, options, record["rows"], record["seed"])

    def source(self, folder: Path) -> Source:
        """Return the rows of the classes that are kept, from the arrays in the source's folder.

        A set that trains and tests on the same rows counts as these rows once it is divided anew.
        """
        ignored: Counter[str] = Counter()
        reading = _Reading(self, folder, ignored)
        found = {
            "format": "dataset",
            "dataset": self.dataset,
            "dataset_sha256": self.manifest.sha256,
            "split": f"that of {self.dataset}",
        }
        classes = [*(self.options.classes or self.manifest.classes)]
        return Source(reading.blocks, reading.place, found, ignored=ignored, classes=classes)


class _Reading:
    """Reads the rows that are kept, of all splits one after another."""

    def __init__(self, derivation: Derivation, folder: Path, ignored: Counter[str]) -> None:
        self._dataset, self._manifest = derivation.dataset, derivation.manifest
        self._options, self._folder, self._ignored = derivation.options, folder, ignored
        rows = self._manifest.rows
        self._rows = {split: rows[split] for split in SPLITS if split in rows}
        kept = self._options.classes or self._manifest.classes
        self._is_kept = np.array([name in kept for name in self._manifest.classes])

    def place(self, row: int) -> str:
        """Name a row, which is counted through all splits."""
        for split, rows in self._rows.items():
            if row < rows:
                return f"row {row} of {split}"
            row -= rows
        raise IndexError(row)

    def blocks(self) -> Iterator[Block]:
        """Yield the rows of all splits.

        Raises:
            Unusable: the files are not there any more, or are not those of the manifest.

        """
        first = 0
        for split in self._splits():
            for images, labels in self._pieces(split):
                yield self._block(split, first, images, labels)
                first += len(labels)

    def _splits(self) -> list[str]:
        """Return the splits that are read."""
        if self._options.split != GIVEN and self._has_equal_splits():
            return [split for split in self._rows if split != TEST]
        return list(self._rows)

    def _has_equal_splits(self) -> bool:
        """Return whether the set tests on the rows that it trains on."""
        if self._rows[TRAIN] != self._rows[TEST]:
            return False
        both = zip(self._pieces(TRAIN), self._pieces(TEST), strict=True)
        return all(np.array_equal(a, c) and np.array_equal(b, d) for (a, b), (c, d) in both)

    def _block(self, split: str, first: int, images: Pixels, labels: Pixels) -> Block:
        rows = np.flatnonzero(self._is_kept[labels])
        if left_out := len(labels) - len(rows):
            self._ignored["rows of other classes"] += left_out
        return Block(
            (rows + first).tolist(),
            images[rows].reshape(len(rows), *_image_shape(self._manifest)),
            [self._manifest.classes[label] for label in labels[rows]],
            [split] * len(rows),
        )

    def _pieces(self, split: str) -> Iterator[tuple[Pixels, Pixels]]:
        """Yield images (n, n_in) and labels (n,) of a split, some at a time."""
        n_in = self._manifest.n_in
        at_once = max(1, PIECE_BYTES // n_in)
        images = self._array(f"{split}.images.npy", (self._rows[split], n_in))
        labels = self._array(f"{split}.labels.npy", (self._rows[split],))
        try:
            yield from zip(images.pieces(at_once), labels.pieces(at_once), strict=True)
        except FileNotFoundError as exc:
            raise gone(self._dataset) from exc

    def _array(self, name: str, shape: tuple[int, ...]) -> StoredArray:
        try:
            array = array_in(self._folder / name, name)
        except FileNotFoundError as exc:
            raise gone(self._dataset) from exc
        if array.shape != shape or array.dtype != np.uint8:
            detail = f"The data set {self._dataset!r} has other files than when it was checked."
            raise unusable("damaged", detail, name, "Send it again under another name.")
        return array


def _image_shape(manifest: Manifest) -> tuple[int, int, int]:
    """Return height, width and channels; a vector is a row of pixels."""
    height, width = manifest.image_shape or (1, manifest.n_in)
    return height, width, manifest.channels


def gone(dataset: str) -> Unusable:
    """Return the error for a data set that was deleted before it could be read."""
    return unusable(
        "source_gone",
        f"The data set {dataset!r} was deleted before this one could be made of it.",
        hint="Send it again, and then make this one again.",
    )
