"""Serves learning curves as pictures, of one job or of several, also while they train."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from mlp_client.records import Job
from service.api.conditional import conditional, unchanged
from service.api.dependencies import Services, ServicesDep
from service.api.heavy_answers import LimitedPool
from service.api.job_ids import listed_ids
from service.api.job_records import job_record
from service.api.jobs import JobId
from service.api.openapi import binary
from service.api.validation import QueryParameters
from service.domain.dataset_shape import Shape, architecture
from service.domain.job_state import State
from service.pictures import curves
from service.store.epoch_arrays import EPOCH_FIELDS, EpochArray

router = APIRouter(prefix="/v1", tags=["pictures"])
MAX_JOBS = 16
Columns = Mapping[str, Sequence[float]]

Format = Annotated[Literal["png", "svg"], Path(description="The picture's format.")]
Theme = Literal["light", "dark"]
MATPLOTLIB_POOL = LimitedPool(1)
"""matplotlib must not be used by several threads at the same time."""


class CurvesQuery(QueryParameters):
    width: int = Field(
        1000, ge=200, le=2000, description="Width in CSS pixels; a PNG has twice as many."
    )
    height: int = Field(
        420, ge=150, le=1500, description="Height in CSS pixels; a PNG has twice as many."
    )
    theme: Theme = Field("light", description="Colours for a light or a dark page.")
    scale: curves.Scale = Field(
        "linear", description="Scale of the loss and of the error; an accuracy is always linear."
    )
    quantity: curves.Quantity = Field(
        "accuracy",
        description="What is drawn beside the loss: the accuracy, or the error (100 % minus it).",
    )
    smooth: float = Field(
        0.0,
        ge=0,
        le=0.99,
        description="Draw a moving average, in which the epochs before have this weight; 0 for "
        "none.",
    )


class JobsQuery(QueryParameters):
    jobs: str = Field(
        description=f"Ids of 1 to {MAX_JOBS} jobs, separated by commas.", max_length=64 * MAX_JOBS
    )


class JobsCurvesQuery(CurvesQuery, JobsQuery):
    """The jobs, and how to draw them."""


@router.get(
    "/jobs/{job}/curves.{format}",
    response_class=Response,
    responses=binary("png", "svg"),
    name="draw_job_curves",
    summary="Draw a job's learning curves",
)
async def draw_job_curves(
    services: ServicesDep,
    request: Request,
    job: JobId,
    format: Format,
    query: Annotated[CurvesQuery, Query()],
) -> Response:
    """Draw loss and accuracy on the training and the test set after each epoch.

    This also works while the job is training.
    """
    return await _draw(services, request, [job], format, query)


@router.get(
    "/curves.{format}",
    response_class=Response,
    responses=binary("png", "svg"),
    name="draw_curves",
    summary="Draw the learning curves of several jobs",
)
async def draw_curves(
    services: ServicesDep,
    request: Request,
    format: Format,
    query: Annotated[JobsCurvesQuery, Query()],
) -> Response:
    """Draw the learning curves of up to 16 jobs in one picture, in the order of `jobs`."""
    return await _draw(services, request, listed_ids(query.jobs, MAX_JOBS), format, query)


async def _draw(
    services: Services,
    request: Request,
    ids: list[str],
    format: Literal["png", "svg"],
    query: CurvesQuery,
) -> Response:
    stored = await run_in_threadpool(lambda: [services.jobs.get(id_) for id_ in ids])
    jobs = [job_record(job) for job in stored]
    # Finished epochs never change, so the number of the last one identifies them all.
    look = {name: getattr(query, name) for name in CurvesQuery.model_fields}
    shown = tuple((job.id, title(job), _last(job), _failure(job)) for job in jobs)
    source = (shown, *look.values())
    if answer := unchanged(request, format, source):
        return answer

    def make() -> bytes:
        shape = stored[0].manifest.sizes
        arrays = services.jobs.epoch_arrays(ids)
        columns = [_columns(arrays.get(job.id), _last(job)) for job in jobs]
        alone = len(jobs) == 1
        return curves.draw(
            [_series(*pair) for pair in zip(jobs, columns, strict=True)],
            caption=_caption(jobs[0], columns[0]) if alone else (),
            title=title(jobs[0]) if alone else "",
            results=_results(jobs[0], shape) if alone else (),
            format=format,
            **look,
        )

    return await MATPLOTLIB_POOL.run(request, lambda: conditional(request, format, source, make))


def _last(job: Job) -> int:
    """Return the number of the last finished epoch."""
    return job.metrics.latest.epoch if job.metrics.latest else 0


def _columns(epochs: EpochArray | None, last: int) -> Columns:
    """Return the epochs up to `last`, by their fields; none of a job deleted meanwhile."""
    shown = np.empty((0, len(EPOCH_FIELDS))) if epochs is None else epochs[:last]
    return dict(zip(EPOCH_FIELDS, shown.T.tolist(), strict=True))


def _series(job: Job, columns: Columns) -> curves.Series:
    lines = {name: values for name, values in columns.items() if name not in ("epoch", "seconds")}
    return curves.Series(label=title(job), epochs=columns["epoch"], failure=_failure(job), **lines)


def _failure(job: Job) -> str:
    """Return why and when a job failed; empty if it did not."""
    if job.state != State.FAILED or job.reason is None:
        return ""
    last = _last(job)
    when = f"after epoch {last}" if last else "before its first epoch was done"
    return f"Failed {when}: {job.reason.message}"


def _results(job: Job, shape: Shape) -> list[str]:
    """Return the parts of the line under the title: what the network is and how good it is."""
    spec, latest, best = job.spec, job.metrics.latest, job.metrics.best
    network = architecture(shape, spec.hidden) + (f" {spec.activation}" if spec.hidden else "")
    if latest is None or best is None:
        return [network]
    measured = f"test accuracy {latest.test_accuracy:.2%}, loss {latest.test_loss:.3g}"
    peak = f"best {best.test_accuracy:.2%} in epoch {best.epoch}"
    return [network, measured, *([peak] if best.epoch != latest.epoch else [])]


def title(job: Job) -> str:
    """Return what to call a job in a picture."""
    return job.spec.name or job.spec.preset or job.id


def _caption(job: Job, columns: Columns) -> list[str]:
    """Return the parts of the line under the panels, the most important first."""
    spec, count, seconds = job.spec, len(columns["epoch"]), sum(columns["seconds"])
    done = f"{count} of {spec.epochs}" if count < spec.epochs else f"{spec.epochs}"
    momentum = getattr(spec.optimizer, "momentum", 0)
    return [
        f"{done} {'epoch' if done == '1' else 'epochs'} in {seconds:.1f} s",
        spec.optimizer.type + (f", momentum {momentum:g}" if momentum else ""),
        *(["augmented"] if spec.augmentation else []),
        f"learning rate {spec.learning_rate:g}" + (", cosine" if spec.schedule == "cosine" else ""),
        f"batch size {spec.batch_size}",
    ]
