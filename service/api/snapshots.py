"""Lists the networks that a job keeps, for references with `@`."""

from fastapi import APIRouter

from mlp_client.records import Snapshot, Snapshots
from service.api.dependencies import ServicesDep
from service.api.validation import NO_PARAMETERS
from service.api.weights import Ref
from service.domain.errors import StartUnknown
from service.domain.model_ref import START
from service.inference.start_network import check_start
from service.store.snapshots import Snapshot as Kept
from service.store.stored_job import StoredJob

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get(
    "/{ref}/snapshots",
    dependencies=[NO_PARAMETERS],
    name="list_snapshots",
    summary="List the epochs whose networks are kept",
)
def list_snapshots(services: ServicesDep, ref: Ref) -> Snapshots:
    """List the epochs of a job that can be named: `job_…@12` is the network after epoch 12.

    They lie ever further apart, and the best and the last one are among them. Epoch 0 is the
    network before training, which the seed makes again; it is not listed if that is impossible.
    While a job trains, the list grows.
    """
    job, kept = services.models.kept_networks(ref)
    has_start = _has_start(job)
    data = [_snapshot(job, it) for it in kept.values() if has_start or it.epoch != START]
    return Snapshots(model=job.id, data=data)


def _snapshot(job: StoredJob, kept: Kept) -> Snapshot:
    return Snapshot(
        epoch=kept.epoch,
        sha256=kept.file.sha256 or None,
        bytes=kept.file.size,
        test_accuracy=kept.test_accuracy,
        best=job.best is not None and job.best["epoch"] == kept.epoch,
    )


def _has_start(job: StoredJob) -> bool:
    try:
        check_start(job)
    except StartUnknown:
        return False
    return True
