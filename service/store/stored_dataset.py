"""A data set as the store returns it: plain values, from which `service.api` makes answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from service.domain.dataset_manifest import Manifest
from service.domain.dataset_shape import Shape
from service.domain.dataset_state import DatasetState
from service.store import shipped_mnist
from service.store.manifests import decode_manifest
from service.store.sql.values import Row
from service.store.stored_job import Reason


@dataclass(frozen=True)
class DatasetInfo:
    """The description of a data set that can be used, without its files."""

    name: str
    manifest: Manifest
    description: str = ""
    license: str = ""
    attribution: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 by name of the files of a shipped data set, as its authors publish them."""

    @property
    def sha256(self) -> str:
        """The digest of the content, which names it wherever a name would not do."""
        return self.manifest.sha256

    @property
    def ref(self) -> str:
        """What names this content and no other, even if another data set has the name now."""
        if self.sha256 == shipped_mnist.MANIFEST.sha256:
            return shipped_mnist.NAME
        return f"{self.name.partition('@')[0]}@sha256:{self.sha256}"

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of a row as a picture; a vector is a strip of one pixel's height."""
        return self.manifest.image_shape or (1, self.manifest.n_in)

    @property
    def classes(self) -> list[str]:
        return list(self.manifest.classes)

    @property
    def train_rows(self) -> int:
        return self.manifest.rows["train"]

    @property
    def test_rows(self) -> int:
        return self.manifest.rows["test"]

    @property
    def class_counts(self) -> dict[str, list[int]]:
        """The number of rows of each class, in the order of the labels, by split."""
        return {split: list(counts) for split, counts in self.manifest.class_counts.items()}

    @property
    def shape(self) -> Shape:
        return self.manifest.sizes


@dataclass(frozen=True)
class StoredDataset:
    """A row of `datasets`, without the columns that only checkers need, and without the report."""

    id: str
    owner: str
    """The owner of the key that sent it; empty without keys, and for a shipped data set."""
    name: str
    state: DatasetState
    reason: Reason | None
    """Why it is in its state, if it has failed or lost a checker."""
    attempt: int
    lost_workers: int
    options: dict[str, Any]
    """The options that were sent; once it is ready, with what was found in place of the others."""
    sha256: str | None
    """The digest of the content, once it is known."""
    manifest: Manifest | None
    """What it is, once it is ready."""
    upload_sha256: str | None
    """The digest of what was sent and of the options, by which a repetition is recognised."""
    upload_bytes: int
    disk_bytes: int
    """What it takes on the disk, once it is ready."""
    progress: dict[str, Any] | None
    """How far the check is."""
    description: str
    license: str
    attribution: str
    created_at: datetime | None
    """None for a shipped data set."""
    finished_at: datetime | None
    samples: int | None = None
    """The samples that were added to it one by one; None if it was sent as files."""

    @property
    def info(self) -> DatasetInfo | None:
        """The description, if the set can be used."""
        if self.state != DatasetState.READY or self.manifest is None:
            return None
        described = (self.description, self.license, self.attribution)
        return DatasetInfo(self.name, self.manifest, *described, FILES.get(self.id, {}))


DATASET_COLUMNS = ", ".join(column.name for column in fields(StoredDataset))
MNIST = DatasetInfo(
    name=shipped_mnist.NAME,
    manifest=shipped_mnist.MANIFEST,
    description=shipped_mnist.DESCRIPTION,
    license=shipped_mnist.LICENSE,
    attribution=shipped_mnist.ATTRIBUTION,
    files={file.name: file.sha256 for file in shipped_mnist.FILES.values()},
)
SHIPPED_MNIST = StoredDataset(
    id="ds_mnist",
    owner="",
    name=MNIST.name,
    state=DatasetState.READY,
    reason=None,
    attempt=0,
    lost_workers=0,
    options={},
    sha256=MNIST.sha256,
    manifest=MNIST.manifest,
    upload_sha256=None,
    upload_bytes=0,
    disk_bytes=0,
    progress=None,
    description=MNIST.description,
    license=MNIST.license,
    attribution=MNIST.attribution,
    created_at=None,
    finished_at=None,
)
FILES = {SHIPPED_MNIST.id: MNIST.files}


def stored_dataset(row: Row) -> StoredDataset:
    """Return a data set from its DATASET_COLUMNS."""
    plain = row | {
        "state": DatasetState(row["state"]),
        "reason": row["reason"] and Reason(**row["reason"]),
        "manifest": row["manifest"] and decode_manifest(row["manifest"]),
    }
    return StoredDataset(**plain)
