"""Small data sets, brought to where a test needs them without reading any file format."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from service.domain.dataset_manifest import ContentDigest, Manifest
from service.domain.dataset_quota import DatasetQuota
from service.store.check_attempts import CheckAttempt
from service.store.damaged_datasets import DamagedDatasets
from service.store.dataset_files import DatasetFiles
from service.store.dataset_queue import DatasetQueue
from service.store.datasets import DatasetStore
from service.store.sql.connector import Connector
from service.store.stored_dataset import StoredDataset
from service.store.uploads import Uploads
from service.work.dataset_leftovers import DatasetLeftovers

HANDLE = {"boot_id": "boot", "pid_namespace": "space", "pid": 7, "start_ticks": 9}
REPORT = {"rows": {"train": 6, "test": 3}}


def arrays_of(seed: int, shape: Sequence[int] = (2, 3)) -> dict[str, np.ndarray]:
    """Return the arrays of a set of three classes with 6 rows to train and 3 to test on."""
    rng, n_in = np.random.default_rng(seed), int(np.prod(shape))
    arrays: dict[str, np.ndarray] = {}
    for split, rows in (("train", 6), ("test", 3)):
        arrays[f"{split}.images"] = rng.integers(0, 256, (rows, n_in), dtype=np.uint8)
        arrays[f"{split}.labels"] = np.arange(rows, dtype=np.uint8) % 3
    return arrays


def manifest_of(arrays: dict[str, np.ndarray], shape: Sequence[int] = (2, 3)) -> Manifest:
    classes = ("a", "b", "c")
    digest = ContentDigest(shape, classes, {"train": 6, "test": 3})
    for array in arrays.values():
        digest.update(array.tobytes())
    counts = {"train": [2, 2, 2], "test": [1, 1, 1]}
    return Manifest(digest.hexdigest(), tuple(shape), classes, counts)


def write_staged(folder: Path, arrays: dict[str, np.ndarray], manifest: Manifest) -> None:
    """Write the files of a data set as a checker does."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    (folder / "manifest.json").write_text(json.dumps(manifest.as_record()))


class DatasetHarness:
    """A store of data sets with everything around it, in a directory of its own."""

    def __init__(
        self, connector: Connector, place: Path, quota: DatasetQuota | None = None
    ) -> None:
        self.connector, self.quota = connector, quota
        self.damaged = DamagedDatasets(connector)
        self.files = DatasetFiles(place / "datasets", self.damaged.confirm)
        self.uploads = Uploads(place / "uploads")
        self.store = DatasetStore(connector, self.files, quota)
        self.queue, self.logs = DatasetQueue(connector), place / "checks"
        self.leftovers = DatasetLeftovers(self.queue, self.files, self.uploads, self.logs)

    def send(self, name: str, owner: str | None = None, data: bytes = b"zip") -> StoredDataset:
        """Bring a data set into the queue."""
        own = self.store.seen_by(owner, everything=owner is None)
        row = own.receive(name, {"label": "parent"}, len(data))
        self.uploads.create(row.id)
        self.uploads.file(row.id, 0).write_bytes(data)
        return own.received(row.id, [f"{name}.zip"], "5" * 64, len(data))

    def attempt(self) -> CheckAttempt:
        """Claim the oldest data set of the queue."""
        claim = self.queue.claim()
        assert claim is not None
        return self.attempt_of(claim.job, claim.attempt)

    def attempt_of(self, dataset: str, number: int) -> CheckAttempt:
        files = (self.files, self.uploads)
        return CheckAttempt(self.connector, *files, dataset, number, self.quota)

    def finish(self, attempt: CheckAttempt, seed: int = 1) -> Manifest:
        """Check a data set, whatever was sent; sets of one seed have the same content."""
        attempt.begin(HANDLE)
        staged, arrays = attempt.stage(), arrays_of(seed)
        manifest = manifest_of(arrays)
        write_staged(staged, arrays, manifest)
        attempt.finish(staged, manifest, REPORT, {"label": "parent", "size": [2, 3]})
        return manifest

    def ready(self, name: str, owner: str | None = None, seed: int = 1) -> StoredDataset:
        """Bring a data set to where it can be used."""
        row = self.send(name, owner)
        self.finish(self.attempt(), seed)
        return self.store.with_id(row.id)

    def on_disk(self) -> list[str]:
        """Return what lies in the directories, without what lies in the folders of data sets."""
        found: list[Any] = [*self.files.directory.glob("*"), *self.files.directory.glob("*/ds_*")]
        found += self.uploads.directory.glob("*")
        return sorted(path.name for path in found if path.name != ".staging")
