"""Serves the epochs of many jobs in one answer, as columns: what a page of curves draws."""

import json
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from numpy.typing import NDArray
from pydantic import Field

from mlp_client.records import EpochColumns, Record
from service.api.conditional import conditional, unchanged
from service.api.dependencies import ServicesDep
from service.api.heavy_answers import HEAVY_POOL
from service.api.job_ids import listed_ids
from service.api.openapi import NOT_MODIFIED
from service.api.validation import QueryParameters
from service.pictures.thinning import thinned_together
from service.store.epoch_arrays import EPOCH_FIELDS, EpochArray

router = APIRouter(prefix="/v1", tags=["jobs"])
MAX_JOBS = 64
QUANTITIES = slice(1, 5)
"""The losses and accuracies among EPOCH_FIELDS: what curves show."""


class EpochColumnsList(Record):
    """The epochs of several jobs, as columns."""

    object: Literal["epoch_columns"] = Field(
        "epoch_columns", description="The type of this record."
    )
    data: dict[str, EpochColumns] = Field(
        description="The epochs of each job by its id; ids of jobs that do not exist are left out."
    )


class EpochColumnsQuery(QueryParameters):
    jobs: str = Field(
        description=f"Ids of 1 to {MAX_JOBS} jobs, separated by commas.", max_length=65 * MAX_JOBS
    )
    after: int = Field(0, ge=0, le=2**31, description="Return only epochs with a higher number.")
    points: int = Field(
        1000,
        ge=16,
        le=10_000,
        description="Maximum number of epochs to return of each job. If there are more, the lowest "
        "and the highest value of each loss and accuracy stay, in every part of the curve.",
    )


@router.get(
    "/epochs",
    response_model=EpochColumnsList,
    responses=NOT_MODIFIED,
    name="read_epoch_columns",
    summary="Read the epochs of several jobs",
)
async def read_epoch_columns(
    services: ServicesDep, request: Request, query: Annotated[EpochColumnsQuery, Query()]
) -> Response:
    """Return loss, accuracy and time of the epochs of up to 64 jobs, as columns of numbers.

    Numbers have six significant digits. Jobs that do not exist are left out.
    """
    ids = listed_ids(query.jobs, MAX_JOBS)
    lasts = await run_in_threadpool(services.jobs.last_epochs, ids)
    # Finished epochs never change, so the number of the last one identifies them all.
    if answer := unchanged(request, "json", _source(lasts, query)):
        return answer

    def write() -> Response:
        arrays = services.jobs.epoch_arrays(ids, query.after)
        read = {id_: max(lasts.get(id_, 0), _last(array)) for id_, array in arrays.items()}
        body = _json(arrays, query.points)
        return conditional(request, "json", _source(read, query), lambda: body)

    return await HEAVY_POOL.run(request, write)


def _source(lasts: dict[str, int], query: EpochColumnsQuery) -> tuple[object, ...]:
    return (sorted(lasts.items()), query.after, query.points)


def _last(epochs: EpochArray) -> int:
    return int(epochs[-1, 0]) if len(epochs) else 0


def _json(arrays: dict[str, EpochArray], points: int) -> bytes:
    """Write the answer; writing 300 000 numbers as records would take several times as long."""
    jobs = (f"{json.dumps(id_)}:{_columns(array, points)}" for id_, array in arrays.items())
    return f'{{"object":"epoch_columns","data":{{{",".join(jobs)}}}}}'.encode()


def _columns(epochs: EpochArray, points: int) -> str:
    kept = epochs[thinned_together(list(epochs.T[QUANTITIES]), points)]
    columns = zip(EPOCH_FIELDS, kept.T, strict=True)
    members = ",".join(f'"{name}":[{_numbers(name, column)}]' for name, column in columns)
    return f'{{{members},"of":{len(epochs)}}}'


def _numbers(name: str, column: NDArray[np.float64]) -> str:
    digits = "%d," if name == "epoch" else "%.6g,"
    return (digits * len(column) % tuple(column.tolist()))[:-1]
