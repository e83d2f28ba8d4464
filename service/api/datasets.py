"""Serves the data sets: a list, their descriptions, and samples as pictures and JSON."""

import asyncio
import json
import time
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from numpy.typing import NDArray
from pydantic import Field
from starlette.requests import ClientDisconnect

from mlp_client.dataset_records import DatasetList, DatasetRecord, DatasetReport
from mlp_client.records import Record
from service.api import doubted_samples
from service.api.conditional import conditional, unchanged
from service.api.dataset_answers import dataset_record, dataset_report
from service.api.dependencies import Services, ServicesDep
from service.api.heavy_answers import HEAVY_POOL, check_size
from service.api.npy_file import npy_file
from service.api.openapi import NOT_MODIFIED, binary, file_route
from service.api.sample_choice import (
    DatasetName,
    DatasetSplit,
    SampleChoice,
    SheetQuery,
    SplitName,
    check_row,
)
from service.api.validation import NO_PARAMETERS, QueryParameters
from service.domain.dataset_state import RESTING
from service.ingest.misfits import Misfit
from service.pictures import contact_sheet, typeface
from service.store.dataset_queue import DRY_RUN
from service.store.stored_dataset import DatasetInfo

LOOK_SECONDS = 0.2
"""How often a request that waits for a check looks for its end."""
ROOM_FOR_BOTH = 56
"""Width in pixels from which a tile has room for the label and the row of its sample."""

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

Index = Annotated[
    int,
    Path(
        ge=0,
        le=2**31,
        description="The sample's row in its split, counted from 0.",
        examples=[7],
    ),
]


class Sample(Record):
    """One image of a data set, with its label."""

    dataset: str = Field(description="Name of the data set.")
    split: SplitName = Field(description="The split of the sample.")
    index: int = Field(description="Its row in that split, counted from 0.")
    label: int = Field(description="Its class, counted from 0.")
    name: str = Field(description="The name of its class.")
    pixels: list[list[int]] | list[list[list[int]]] | list[int] = Field(
        description="Rows of grey levels from 0 to 255. In colour each pixel is a list of red, "
        "green and blue; a `vector` is one list of numbers."
    )


class WaitQuery(QueryParameters):
    wait: int = Field(
        0,
        ge=0,
        le=60,
        description="Seconds to wait until the data set is ready or has failed; the answer comes "
        "then, or when they are over.",
    )


@router.get("", dependencies=[NO_PARAMETERS], name="list_datasets", summary="List data sets")
def list_datasets(services: ServicesDep) -> DatasetList:
    """Return all data sets, those that are part of the service first, in whatever state."""
    counts = services.datasets.warning_counts()
    sets = [it for it in services.datasets.sets() if not it.name.startswith(DRY_RUN)]
    return DatasetList(data=[dataset_record(found, counts.get(found.id, 0)) for found in sets])


@router.get("/{name}", name="get_dataset", summary="Read a data set")
async def get_dataset(
    services: ServicesDep, request: Request, name: DatasetName, query: Annotated[WaitQuery, Query()]
) -> DatasetRecord:
    """Return a data set: its state, and once it is ready its shape, classes and licence."""
    until = time.monotonic() + query.wait
    while True:
        found = await run_in_threadpool(services.datasets.get, name)
        if found.state in RESTING or time.monotonic() >= until or services.is_stopping():
            report = await run_in_threadpool(services.datasets.report, name)
            return dataset_record(found, len((report or {}).get("warnings", ())))
        if await request.is_disconnected():
            raise ClientDisconnect
        await asyncio.sleep(LOOK_SECONDS)


@router.get(
    "/{name}/report",
    dependencies=[NO_PARAMETERS],
    name="get_dataset_report",
    summary="Read what was found in a data set",
)
def get_dataset_report(services: ServicesDep, name: DatasetName) -> DatasetReport:
    """Return what a check has found in the files, what it left out, and what is doubtful.

    If the data set has failed, `errors` says why, with places and how to correct it. Before a
    check has ended the report is empty.
    """
    return dataset_report(services.datasets.get(name), services.datasets.report(name))


class DeleteQuery(QueryParameters):
    force: bool = Field(
        False,
        description="Delete it also if jobs are to train on it, or have networks that were trained "
        "on it. They still predict, and can no longer be evaluated.",
    )


@router.delete(
    "/{name}",
    status_code=204,
    response_class=Response,
    name="delete_dataset",
    summary="Delete a data set",
)
def delete_dataset(
    services: ServicesDep, name: DatasetName, query: Annotated[DeleteQuery, Query()]
) -> None:
    """Delete a data set, in whatever state; 409 if jobs or networks of yours need it.

    A job that is training on it keeps its files until it has ended.
    """
    services.datasets.delete(name, force=query.force)
    services.intake.wake()


@router.get(
    "/{name}/samples.png",
    response_class=Response,
    responses=binary("png"),
    name="draw_samples",
    summary="Draw samples",
)
async def draw_samples(
    services: ServicesDep,
    request: Request,
    name: DatasetName,
    query: Annotated[SheetQuery, Query()],
) -> Response:
    """Draw a contact sheet of samples with their labels.

    Samples that were chosen by `indices` or `label` have their rows in their titles, too. With
    `misfit`, samples that the report warns of are drawn beside those that they equal.
    """
    info = await run_in_threadpool(services.datasets.describe, name)
    if query.misfit is not None:
        return await _draw_doubted(services, request, info, query, query.misfit)
    query.check(info, query.split)
    check_size(query.count, query.tile)
    source = (info.sha256, *query.model_dump().values())
    if answer := unchanged(request, "png", source):
        return answer

    def make() -> bytes:
        found = services.datasets.files.split(info.sha256, query.split)
        rows = query.rows(found.labels)
        images = _pictures(info, found.images[rows])
        names = typeface.shown(info.classes)
        labels = [names[label] for label in found.labels[rows]]
        if query.is_explicit:
            labels = _with_rows(labels, rows.tolist(), query.tile)
        return contact_sheet.draw(
            images, labels=labels, columns=query.columns, tile_size=query.tile
        )

    return await HEAVY_POOL.run(request, lambda: conditional(request, "png", source, make))


async def _draw_doubted(
    services: Services, request: Request, info: DatasetInfo, query: SheetQuery, misfit: Misfit
) -> Response:
    doubted_samples.check(info, query)
    check_size(2 * query.limit, query.tile)
    source = (info.sha256, query.given_split, *query.model_dump().values())
    if answer := unchanged(request, "png", source):
        return answer
    found = await run_in_threadpool(services.datasets.get, info.name)

    def make() -> bytes:
        return doubted_samples.draw(services.datasets.files, found, info, query, misfit)

    return await HEAVY_POOL.run(request, lambda: conditional(request, "png", source, make))


@router.get(
    "/{name}/{split}.npy",
    response_class=Response,
    responses=binary("npy"),
    name="get_samples",
    summary="Download images as an array",
)
async def get_samples(
    services: ServicesDep,
    request: Request,
    name: DatasetName,
    split: DatasetSplit,
    query: Annotated[SampleChoice, Query()],
) -> Response:
    """Return an `.npy` file with up to 400 images: uint8 (n, height, width), 0 is black.

    Images in colour have three numbers for each pixel, and rows of a `vector` are (n, columns).

    `indices` names them; `label`, `limit` and `offset` choose a page, in the order of the rows.
    """
    info = await run_in_threadpool(services.datasets.describe, name)
    query.check(info, split)
    source = (info.sha256, split, *query.model_dump().values())
    if answer := unchanged(request, "npy", source):
        return answer

    def make() -> bytes:
        found = services.datasets.files.split(info.sha256, split)
        return npy_file(found.images[query.rows(found.labels)].reshape(-1, *info.manifest.shape))

    return await HEAVY_POOL.run(request, lambda: conditional(request, "npy", source, make))


@router.get(
    "/{name}/{split}/{index}.png",
    **file_route("png"),
    name="get_sample_picture",
    summary="Read a sample as a picture",
)
def get_sample_picture(
    services: ServicesDep, request: Request, name: DatasetName, split: DatasetSplit, index: Index
) -> Response:
    """Return the image of one sample, unchanged; a `vector` is a strip, one pixel high."""
    info, row, _ = _row(services, name, split, index)
    [image] = _pictures(info, row[None])
    source = (info.sha256, split, index)
    side = max(image.shape[:2])
    return conditional(request, "png", source, lambda: contact_sheet.single(image, tile_size=side))


@router.get(
    "/{name}/{split}/{index}.json",
    response_model=Sample,
    responses=NOT_MODIFIED,
    dependencies=[NO_PARAMETERS],
    name="get_sample",
    summary="Read a sample",
)
def get_sample(
    services: ServicesDep, request: Request, name: DatasetName, split: DatasetSplit, index: Index
) -> Response:
    """Return the pixels and the label of one sample."""
    info, row, label = _row(services, name, split, index)
    sample = Sample(
        dataset=name,
        split=split,
        index=index,
        label=label,
        name=info.classes[label],
        pixels=row.reshape(info.manifest.shape).tolist(),
    )
    body = json.dumps(sample.model_dump()).encode()
    return conditional(request, "json", (body,), lambda: body)


def _with_rows(labels: list[str], rows: list[int], tile: int) -> list[str]:
    """Return titles with label and row, or with the row alone where tiles are too narrow."""
    if tile < ROOM_FOR_BOTH:
        return [str(row) for row in rows]
    return [f"{label} · {row}" for label, row in zip(labels, rows, strict=True)]


def _row(
    services: Services, name: str, split: SplitName, index: int
) -> tuple[DatasetInfo, NDArray[np.uint8], int]:
    """Return a data set, one of its rows, and the label of the row."""
    info = services.datasets.describe(name)
    check_row(info, split, index)
    found = services.datasets.files.split(info.sha256, split)
    return info, np.asarray(found.images[index]), int(found.labels[index])


def _pictures(info: DatasetInfo, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return rows as pictures: (n, height, width), and (n, height, width, 3) in colour."""
    shape = info.manifest.shape
    return rows.reshape(-1, *(shape if len(shape) > 1 else info.image_shape))
