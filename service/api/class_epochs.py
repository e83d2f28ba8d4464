"""Shows how well each class was read after each epoch whose network a job keeps."""

from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from numpy.typing import NDArray
from pydantic import Field

from service.api.conditional import conditional, unchanged
from service.api.csv_lines import csv_lines
from service.api.curves import Theme
from service.api.dependencies import Services, ServicesDep
from service.api.evaluated import SplitQuery, evaluated, flops
from service.api.heavy_answers import HEAVY_POOL
from service.api.openapi import binary
from service.api.weights import Ref
from service.domain.errors import EvaluationTooLarge, JobNotFound, NotTrainedYet
from service.domain.job_state import FINAL
from service.pictures import class_epochs
from service.store.checkpoints import CheckpointRef
from service.store.stored_dataset import DatasetInfo
from service.store.stored_job import StoredJob

router = APIRouter(prefix="/v1/models/{ref}/evaluation", tags=["models"])

Format = Literal["png", "svg", "csv"]


class EpochsQuery(SplitQuery):
    theme: Theme = Field("light", description="Colours for a light or a dark page.")


@router.get(
    "/classes.{format}",
    response_class=Response,
    responses=binary("png", "svg", "csv"),
    name="get_class_epochs",
    summary="Draw how well each class is read, epoch by epoch",
)
async def get_class_epochs(
    services: ServicesDep,
    request: Request,
    ref: Ref,
    format: Annotated[Format, Path(description="The file's format.")],
    query: Annotated[EpochsQuery, Query()],
) -> Response:
    """Return which share of each class is read after each epoch that the job keeps.

    Rows are classes, and columns the epochs in `GET /v1/models/{ref}/snapshots`, without the
    network before training. What follows an `@` in `ref` makes no difference.
    """
    job, kept = await run_in_threadpool(_kept, services, ref)
    info = await run_in_threadpool(_described, services, query.dataset)
    source = "classes", info and info.sha256, *kept, *query.model_dump().values()
    if found := unchanged(request, format, source):
        return found

    def make() -> Response:
        return conditional(
            request, format, source, lambda: _write(services, job, kept, info, query, format)
        )

    return await HEAVY_POOL.run(request, make)


def _kept(services: Services, ref: str) -> tuple[StoredJob, list[CheckpointRef]]:
    """Return a job and its networks after one epoch or more.

    Raises:
        NotTrainedYet: there are none yet.

    """
    job, kept = services.models.kept_networks(ref)
    files = [each.file for epoch, each in kept.items() if epoch > 0]
    if not files:
        raise NotTrainedYet(job.id, job.state, ended=job.state in FINAL)
    return job, files


def _described(services: Services, dataset: str | None) -> DatasetInfo | None:
    return services.datasets.describe(dataset) if dataset else None


def _write(
    services: Services,
    job: StoredJob,
    kept: list[CheckpointRef],
    info: DatasetInfo | None,
    query: EpochsQuery,
    format: Format,
) -> bytes:
    epochs, recalls = _recalls(services, job, kept, info, query)
    names = list(job.manifest.classes)
    if format != "csv":
        title = f"Share of each class that is read after each epoch ({query.split})"
        return class_epochs.draw(recalls, names, epochs, title, format=format, theme=query.theme)
    rows = (
        [name, *("" if np.isnan(it) else it for it in row)]
        for name, row in zip(names, recalls.tolist(), strict=True)
    )
    return csv_lines([["class", *epochs]], rows)


def _recalls(
    services: Services,
    job: StoredJob,
    kept: list[CheckpointRef],
    info: DatasetInfo | None,
    query: EpochsQuery,
) -> tuple[list[int], NDArray[np.float64]]:
    """Return the epochs, and the share (classes, epochs) that is read; NaN without images.

    Raises:
        EvaluationTooLarge: all networks together are too large.
        JobNotFound: it has just been deleted.

    """
    epochs, columns = [], []
    for file in kept:
        try:
            model = services.models.read(job, file)
        except FileNotFoundError:  # a better one has just replaced it
            continue
        rows = (info.manifest if info else job.manifest).rows.get(query.split, 0)
        if flops(model, rows) * len(kept) > services.limits.evaluation_flops:
            raise EvaluationTooLarge(rows * len(kept))
        found = evaluated(services, model, info, query.split, query.normalize).found
        support = found.confusion.sum(axis=1)
        with np.errstate(invalid="ignore"):
            columns.append(np.diag(found.confusion) / support)
        epochs.append(file.epochs_done)
    if not columns:
        raise JobNotFound(job.id)
    return epochs, np.stack(columns, axis=1)
