"""Data sets that are there without an upload: their files, and their rows in the database."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.dataset_manifest import ContentDigest, InputForm, Manifest
from service.store.dataset_files import DatasetFiles
from service.store.manifests import encode_manifest
from service.store.sql.database import Database

INSERT = """
INSERT INTO datasets (id, owner, name, state, attempt, lost_workers, heartbeat, options, files,
    sha256, manifest, upload_bytes, disk_bytes, description, license, attribution, created_at)
VALUES (:id, :owner, :name, 'ready', 1, 0, 0, :options, :files,
    :sha256, :manifest, 0, 0, '', '', '', :created_at)
"""


@dataclass(frozen=True)
class OwnSet:
    """A data set in memory."""

    manifest: Manifest
    arrays: dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]
    """The rows (n, n_in) and their labels (n,), by split."""

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Return a row of the test set in the shape of the set."""
        picture: NDArray[np.uint8] = self.arrays["test"][0][index].reshape(self.manifest.shape)
        return picture


def own_set(
    rows: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    classes: Sequence[str],
    input: InputForm = InputForm.IMAGE,
    tested: int = 20,
    **facts: Any,
) -> OwnSet:
    """Return a set of rows (n, …), of which the last ones are to test on."""
    flat = np.ascontiguousarray(rows).reshape(len(rows), -1)
    arrays = {
        "train": (flat[:-tested], labels[:-tested]),
        "test": (flat[-tested:], labels[-tested:]),
    }
    counts = {
        split: np.bincount(found, minlength=len(classes)).tolist()
        for split, (_, found) in arrays.items()
    }
    manifest = Manifest("", rows.shape[1:], tuple(classes), counts, input, **facts)
    digest = ContentDigest(manifest.shape, manifest.classes, manifest.rows)
    for pair in arrays.values():
        for array in pair:
            digest.update(array.tobytes())
    return OwnSet(replace(manifest, sha256=digest.hexdigest()), arrays)


def add_dataset(
    database: Database, datasets_dir: Path, name: str, made: OwnSet, owner: str = ""
) -> None:
    """Write a set's files and its row, as a check does."""
    folder = DatasetFiles(datasets_dir).folder(made.manifest.sha256)
    folder.mkdir(parents=True)
    for split, (images, labels) in made.arrays.items():
        np.save(folder / f"{split}.images.npy", images)
        np.save(folder / f"{split}.labels.npy", labels)
    (folder / "manifest.json").write_text(json.dumps(made.manifest.as_record()))
    values = {
        "id": f"ds_{name}",
        "owner": owner,
        "name": name,
        "options": {},
        "files": [],
        "sha256": made.manifest.sha256,
        "manifest": encode_manifest(made.manifest),
        "created_at": datetime.now(UTC),
    }
    with database.write() as transaction:
        transaction.execute(INSERT, **values)
