"""Converts the data sets of the store into the records that clients read."""

from typing import Any

from mlp_client.dataset_options import StoredDatasetOptions
from mlp_client.dataset_records import (
    DatasetLinks,
    DatasetReason,
    DatasetRecord,
    DatasetReport,
    DatasetState,
    ReportClass,
)
from service.api.public_path import ROOT_PATH
from service.domain.dataset_manifest import Manifest
from service.store.stored_dataset import StoredDataset


def kept_answer(found: StoredDataset) -> str:
    """Return the JSON of a new data set, which may be sent again with other public paths."""
    return dataset_record(found, root_path="").model_dump_json()


def dataset_record(
    found: StoredDataset, warnings: int = 0, root_path: str | None = None
) -> DatasetRecord:
    """Return a data set as clients read it.

    Args:
        found: the data set.
        warnings: the number of doubts in its report.
        root_path: the prefix of its links; the request's own if None.

    """
    path = f"{ROOT_PATH.get() if root_path is None else root_path}/v1/datasets/{found.name}"
    reason, state = found.reason, DatasetState(found.state)
    progress = found.progress if state == DatasetState.CHECKING else None
    return DatasetRecord(
        id=found.id,
        name=found.name,
        state=state,
        reason=DatasetReason(code=reason.code, message=reason.message) if reason else None,
        owner=found.owner or None,
        progress=progress["fraction"] if progress else None,
        description=found.description,
        sha256=found.sha256,
        warnings=warnings,
        bytes=found.disk_bytes,
        files=dict(found.info.files) if found.info and found.info.files else None,
        upload_bytes=found.upload_bytes,
        samples=found.samples,
        options=StoredDatasetOptions(**found.options),
        license=found.license,
        attribution=found.attribution,
        created_at=found.created_at,
        finished_at=found.finished_at,
        links=DatasetLinks(self=path, report=f"{path}/report", samples=f"{path}/samples.png"),
        **(_described(found.manifest) if found.manifest else {}),
    )


def _described(manifest: Manifest) -> dict[str, Any]:
    rows, image_shape = manifest.rows, manifest.image_shape
    return {
        "input": str(manifest.input),
        "shape": list(manifest.shape),
        "image_shape": list(image_shape) if image_shape else None,
        "classes": list(manifest.classes),
        "train_rows": rows["train"],
        "test_rows": rows["test"],
        "validation_rows": rows.get("validation"),
        "class_counts": {split: list(it) for split, it in manifest.class_counts.items()},
    }


def dataset_report(found: StoredDataset, report: dict[str, Any] | None) -> DatasetReport:
    """Return the report of a check, or what a manifest says if there has been no check."""
    if report is None and found.manifest:
        report = _report_of(found.manifest)
    fields = {**(report or {}), "dataset": found.name, "state": found.state}
    return DatasetReport.model_validate(fields)


def _report_of(manifest: Manifest) -> dict[str, Any]:
    counts = manifest.class_counts
    classes = [
        ReportClass(index=index, name=name, **{split: it[index] for split, it in counts.items()})
        for index, name in enumerate(manifest.classes)
    ]
    return {
        "rows": manifest.rows,
        "shape": list(manifest.shape),
        "channels": manifest.channels,
        "classes": classes,
        "input": str(manifest.input),
        "sha256": manifest.sha256,
    }
