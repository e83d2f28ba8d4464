"""Learning curves as pictures, of one job or several, also while they train."""

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from mlp_client.records import Job
from service.api.dependencies import Services, ServicesDep
from service.api.job_records import job_record
from service.api.jobs import JobId
from service.api.responses import LimitedPool, binary, conditional, unchanged
from service.pictures import curves
from service.store.jobs import Columns

router = APIRouter(prefix="/v1", tags=["pictures"])
MAX_JOBS = 16

Format = Literal["png", "svg"]
Width = Annotated[int, Query(ge=200, le=2000, description="CSS pixels; a PNG has twice as many")]
Height = Annotated[int, Query(ge=150, le=1500, description="CSS pixels; a PNG has twice as many")]
Theme = Annotated[Literal["light", "dark"], Query()]
MATPLOTLIB_POOL = LimitedPool(1)
"""matplotlib is not safe to use from several threads."""


@router.get(
    "/jobs/{job}/curves.{format}",
    response_class=Response,
    responses=binary("png", "svg"),
    name="draw_job_curves",
)
async def draw_job_curves(
    services: ServicesDep,
    request: Request,
    job: JobId,
    format: Format,
    width: Width = 1000,
    height: Height = 420,
    theme: Theme = "light",
) -> Response:
    """Draw loss and accuracy on the training and the test set, epoch by epoch."""
    return await _draw(services, request, [job], format, width, height, theme)


@router.get(
    "/curves.{format}",
    response_class=Response,
    responses=binary("png", "svg"),
    name="draw_curves",
)
async def draw_curves(
    services: ServicesDep,
    request: Request,
    format: Format,
    jobs: Annotated[str, Query(description="ids, separated by commas", max_length=64 * MAX_JOBS)],
    width: Width = 1000,
    height: Height = 420,
    theme: Theme = "light",
) -> Response:
    """Draw the curves of several jobs into one picture."""
    ids = list(dict.fromkeys(part.strip() for part in jobs.split(",") if part.strip()))
    if not 1 <= len(ids) <= MAX_JOBS:
        raise HTTPException(422, f"?jobs takes 1 to {MAX_JOBS} ids, separated by commas.")
    return await _draw(services, request, ids, format, width, height, theme)


async def _draw(
    services: Services,
    request: Request,
    ids: list[str],
    format: Format,
    width: int,
    height: int,
    theme: Literal["light", "dark"],
) -> Response:
    jobs = await run_in_threadpool(lambda: [job_record(services.jobs.get(id_)) for id_ in ids])
    # Epochs never change, so the last one's number stands for all.
    source = (tuple((job.id, _last(job)) for job in jobs), width, height, theme)
    if answer := unchanged(request, format, source):
        return answer

    def make() -> bytes:
        columns = [services.jobs.epoch_columns(job.id, _last(job)) for job in jobs]
        alone = len(jobs) == 1
        return curves.draw(
            [_series(*pair) for pair in zip(jobs, columns, strict=True)],
            caption=_caption(jobs[0], columns[0]) if alone else (),
            title=title(jobs[0]) if alone else "",
            format=format,
            width=width,
            height=height,
            theme=theme,
        )

    return await MATPLOTLIB_POOL.make(request, lambda: conditional(request, format, source, make))


def _last(job: Job) -> int:
    """Return the number of the last finished epoch."""
    return job.metrics.latest.epoch if job.metrics.latest else 0


def _series(job: Job, columns: Columns) -> curves.Series:
    lines = {name: values for name, values in columns.items() if name not in ("epoch", "seconds")}
    return curves.Series(label=title(job), epochs=columns["epoch"], **lines)


def title(job: Job) -> str:
    """Return what to call a job in a picture."""
    return job.spec.name or job.spec.preset or job.id


def _caption(job: Job, columns: Columns) -> list[str]:
    """Return what to say under the panels, the most important first."""
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
