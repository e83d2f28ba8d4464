"""Jobs in short, for long lists: half a kilobyte each."""

from mlp_client.job_summaries import (
    EpochSummary,
    JobSummary,
    MetricsSummary,
    ProgressSummary,
    SpecSummary,
)
from mlp_client.records import Reason
from service.api.job_records import progress
from service.domain.job_state import State
from service.store.stored_job import EpochRecord, StoredJob


def job_summary(job: StoredJob) -> JobSummary:
    """Return the fields of a job that lists show."""
    return JobSummary(
        id=job.id,
        state=job.state,
        owner=job.owner,
        reason=_reason(job),
        spec=SpecSummary(**job.spec),
        progress=ProgressSummary(**vars(progress(job))),
        metrics=MetricsSummary(latest=_epoch(job.latest), best=_epoch(job.best)),
        learned=job.learned,
        created_at=job.created_at.replace(microsecond=0),
    )


def _reason(job: StoredJob) -> Reason | None:
    """Return the reason of a job, unless there is nothing to explain."""
    if job.reason is None or (job.state == State.SUCCEEDED and job.learned):
        return None
    return Reason(**vars(job.reason))


def _epoch(epoch: EpochRecord | None) -> EpochSummary | None:
    if epoch is None:
        return None
    short = {"test_loss": float(f"{epoch['test_loss']:.6g}")}
    return EpochSummary(**epoch | short)
