"""Converts what the store returns into the records that clients read."""

import json
from dataclasses import asdict

from mlp_client.job_spec import SPEC_VERSION, Spec, StoredSpec
from mlp_client.records import (
    Checkpoint,
    Cost,
    Epoch,
    Job,
    JobData,
    Links,
    Metrics,
    Progress,
    Reason,
)
from service.api.public_path import ROOT_PATH, public_path
from service.domain import cost as domain
from service.domain.dataset_manifest import Manifest
from service.domain.job_state import State
from service.store.stored_job import EpochRecord, NewJob, StoredJob


def new_job(
    spec: Spec, cost: domain.Cost, batches_per_epoch: int, network: str, manifest: Manifest
) -> NewJob:
    """Return the job that the store saves for a resolved spec and its cost."""
    return NewJob(
        spec=spec.model_dump(mode="json"),
        spec_version=SPEC_VERSION,
        cost=asdict(cost),
        bytes=domain.worker_bytes(cost),
        batches_per_epoch=batches_per_epoch,
        network=network,
        manifest=manifest,
    )


def job_record(job: StoredJob, root_path: str | None = None, *, has_names: bool = True) -> Job:
    """Return a job as clients read it, with links behind `root_path`, or the request's own.

    `has_names` says whether the names of its classes, which can take kilobytes, are in it.
    """
    root_path = ROOT_PATH.get() if root_path is None else root_path
    latest = epoch_record(job.latest) if job.latest else None
    return Job(
        id=job.id,
        owner=job.owner,
        state=job.state,
        reason=Reason(code=job.reason.code, message=job.reason.message) if job.reason else None,
        attempt=job.attempt,
        lost_workers=job.lost_workers,
        spec=StoredSpec(**job.spec),
        spec_version=job.spec_version,
        data=_data(job.manifest, has_names=has_names),
        cost=Cost(**job.cost),
        progress=progress(job),
        checkpoint=Checkpoint(**vars(job.checkpoint)) if job.checkpoint else None,
        queue_position=job.queue_position,
        metrics=Metrics(
            latest=latest,
            best=epoch_record(job.best) if job.best else None,
            final=latest if job.state == State.SUCCEEDED else None,
        ),
        weights_sha256=job.weights_sha256,
        learned=job.learned,
        bit_exact=job.bit_exact,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        links=_links(job.id, root_path),
    )


def _data(manifest: Manifest, *, has_names: bool) -> JobData:
    return JobData(
        input=manifest.input.value,
        shape=list(manifest.shape),
        invert=manifest.invert,
        class_count=len(manifest.classes),
        classes=list(manifest.classes) if has_names else None,
        sha256=manifest.sha256,
    )


def with_public_links(answer: str) -> str:
    """Return the JSON of a job or a data set with the prefix of the request in its links."""
    if not ROOT_PATH.get():
        return answer
    record = json.loads(answer)
    record["links"] = {name: public_path(path) for name, path in record["links"].items()}
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def epoch_record(epoch: EpochRecord) -> Epoch:
    """Return a finished epoch as clients read it."""
    return Epoch(**epoch)


def progress(job: StoredJob) -> Progress:
    """Return how far a job is and, while it runs, how long the rest will take.

    An epoch is assumed to take as long as the last one, or before that as the cost model says.
    """
    epochs = job.spec["epochs"]
    done = job.epochs_done + job.batches_done / job.batches_per_epoch
    seconds = job.latest["seconds"] if job.latest else job.cost["seconds"] / epochs
    left = round(max(0.0, epochs - done) * seconds, 1)
    return Progress(
        epochs_done=job.epochs_done,
        epochs=epochs,
        batches_done=job.batches_done,
        batches_per_epoch=job.batches_per_epoch,
        fraction=min(1.0, done / epochs),
        eta_seconds=left if job.state == State.RUNNING else None,
    )


def _links(id_: str, root_path: str) -> Links:
    base, model = f"{root_path}/v1/jobs/{id_}", f"{root_path}/v1/models/{id_}"
    return Links(
        self=base,
        epochs=f"{base}/epochs",
        events=f"{base}/events",
        curves=f"{base}/curves.png",
        weights=f"{model}/layers/1/weights.png",
        predict=f"{model}/predict",
    )
