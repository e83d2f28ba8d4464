"""Learning curves as pictures, of one job or several, also while they train."""

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response

from service.api.jobs import JobId
from service.api.replies import binary, conditional
from service.api.rooms import Rooms, RoomsDep
from service.job import Epoch, Job
from service.pictures import curves

router = APIRouter(prefix="/v1", tags=["pictures"])
MAX_JOBS = 16

Format = Literal["png", "svg"]
Width = Annotated[int, Query(ge=200, le=2000, description="pixels")]
Height = Annotated[int, Query(ge=150, le=1500, description="pixels")]
Theme = Annotated[Literal["light", "dark"], Query()]


async def _one_at_a_time() -> AsyncIterator[None]:
    yield


# matplotlib is not safe to use from several threads.
Easel = Annotated[None, Depends(_one_at_a_time, scope="function", max_concurrency=1)]


@router.get(
    "/jobs/{job}/curves.{format}",
    response_class=Response,
    responses=binary("png", "svg"),
    name="draw_job_curves",
)
def draw_job_curves(
    rooms: RoomsDep,
    request: Request,
    _: Easel,
    job: JobId,
    format: Format,
    width: Width = 1000,
    height: Height = 420,
    theme: Theme = "light",
) -> Response:
    """Draw loss and accuracy on the training and the test set, epoch by epoch."""
    return _draw(rooms, request, [job], format, width, height, theme)


@router.get(
    "/curves.{format}",
    response_class=Response,
    responses=binary("png", "svg"),
    name="draw_curves",
)
def draw_curves(
    rooms: RoomsDep,
    request: Request,
    _: Easel,
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
    return _draw(rooms, request, ids, format, width, height, theme)


def _draw(
    rooms: Rooms,
    request: Request,
    ids: list[str],
    format: Format,
    width: int,
    height: int,
    theme: Literal["light", "dark"],
) -> Response:
    jobs = [(rooms.jobs.get(id_), rooms.jobs.epochs(id_)) for id_ in ids]
    alone = len(jobs) == 1
    caption, over = (_caption(*jobs[0]), title(jobs[0][0])) if alone else ("", "")

    def make() -> bytes:
        series = [_series(job, epochs) for job, epochs in jobs]
        return curves.draw(
            series,
            caption=caption,
            title=over,
            format=format,
            width=width,
            height=height,
            theme=theme,
        )

    source = tuple((job.id, len(epochs)) for job, epochs in jobs)
    return conditional(request, format, (source, caption, over, width, height, theme), make)


def _series(job: Job, epochs: list[Epoch]) -> curves.Series:
    return curves.Series(
        label=title(job),
        epochs=[epoch.epoch for epoch in epochs],
        train_loss=[epoch.train_loss for epoch in epochs],
        test_loss=[epoch.test_loss for epoch in epochs],
        train_accuracy=[epoch.train_accuracy for epoch in epochs],
        test_accuracy=[epoch.test_accuracy for epoch in epochs],
    )


def title(job: Job) -> str:
    """Return what to call a job in a picture."""
    return job.spec.name or job.spec.preset or job.id


def _caption(job: Job, epochs: list[Epoch]) -> str:
    spec, seconds = job.spec, sum(epoch.seconds for epoch in epochs)
    done = f"{len(epochs)} of {spec.epochs}" if len(epochs) < spec.epochs else f"{spec.epochs}"
    return (
        f"batch size {spec.batch_size} · learning rate {spec.learning_rate:g} · "
        f"{done} epochs · training time {seconds:.1f} s"
    )
