"""Serves the data sets: a list, their descriptions, and samples as pictures and JSON."""

import json
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from mlp_client.records import Record
from service.api.conditional import conditional, unchanged
from service.api.dependencies import Services, ServicesDep
from service.api.heavy_answers import HEAVY_POOL, check_size
from service.api.npy_file import npy_file
from service.api.openapi import NOT_MODIFIED, binary
from service.api.sample_choice import SampleChoice, SplitName, check_row
from service.api.validation import NO_PARAMETERS
from service.pictures import contact_sheet
from service.store.datasets import DatasetInfo

ROOM_FOR_BOTH = 56
"""Width in pixels from which a tile has room for the label and the row of its sample."""

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

Name = Annotated[str, Path(description="The data set's name.", max_length=64, examples=["mnist"])]
Split = Annotated[SplitName, Path(description="The training or the test set.")]
Index = Annotated[
    int,
    Path(
        ge=0,
        le=2**31,
        description="The sample's row in its split, counted from 0.",
        examples=[7],
    ),
]


class DatasetRecord(Record):
    """A data set of labelled images."""

    object: Literal["dataset"] = Field("dataset", description="The type of this record.")
    name: str = Field(description="What to send as `dataset` in a spec.")
    description: str = Field(description="What the images show.")
    image_shape: list[int] = Field(description="Rows and columns of pixels of each image.")
    classes: list[str] = Field(description="Names of the classes, in the order of their labels.")
    train_rows: int = Field(description="Number of images in the training set.")
    test_rows: int = Field(description="Number of images in the test set.")
    class_counts: dict[SplitName, list[int]] = Field(
        description="Number of images of each class, in the order of the labels, by split."
    )
    sha256: dict[str, str] = Field(description="SHA-256 of each of its files, by file name.")
    license: str = Field(description="The licence of the data.")
    attribution: str = Field(description="The authors of the data, as the licence requires.")


class DatasetList(Record):
    """The data sets."""

    object: Literal["list"] = Field("list", description="The type of this record.")
    data: list[DatasetRecord] = Field(description="The data sets.")


class Sample(Record):
    """One image of a data set, with its label."""

    dataset: str = Field(description="Name of the data set.")
    split: SplitName = Field(description="The split of the sample.")
    index: int = Field(description="Its row in that split, counted from 0.")
    label: int = Field(description="Its class, counted from 0.")
    pixels: list[list[int]] = Field(description="Rows of grey levels from 0 to 255.")


class SheetQuery(SampleChoice):
    split: SplitName = Field("test", description="The split to draw from.")
    columns: int = Field(10, ge=1, le=50, description="Number of samples in each row.")
    tile: int = Field(56, ge=8, le=256, description="Width and height of each sample, in pixels.")


def _record(info: DatasetInfo) -> DatasetRecord:
    return DatasetRecord(**vars(info))


@router.get("", dependencies=[NO_PARAMETERS], name="list_datasets", summary="List data sets")
def list_datasets(services: ServicesDep) -> DatasetList:
    """Return the data sets that jobs can be trained on."""
    return DatasetList(data=[_record(info) for info in services.datasets.all()])


@router.get("/{name}", dependencies=[NO_PARAMETERS], name="get_dataset", summary="Read a data set")
def get_dataset(services: ServicesDep, name: Name) -> DatasetRecord:
    """Return the description of a data set, with its licence and the digests of its files."""
    return _record(services.datasets.describe(name))


@router.get(
    "/{name}/samples.png",
    response_class=Response,
    responses=binary("png"),
    name="draw_samples",
    summary="Draw samples",
)
async def draw_samples(
    services: ServicesDep, request: Request, name: Name, query: Annotated[SheetQuery, Query()]
) -> Response:
    """Draw a contact sheet of samples with their labels.

    Samples that were chosen by `indices` or `label` have their rows in their titles, too.
    """
    info = services.datasets.describe(name)
    query.check(info, query.split)
    check_size(query.count, query.tile)
    source = (name, *query.model_dump().values())
    if answer := unchanged(request, "png", source):
        return answer

    def make() -> bytes:
        found = getattr(services.datasets.open(name), query.split)
        rows = query.rows(found.labels)
        images = found.images[rows].reshape(-1, *info.image_shape)
        labels = [info.classes[label] for label in found.labels[rows]]
        if query.is_explicit:
            labels = _with_rows(labels, rows.tolist(), query.tile)
        return contact_sheet.draw(
            images, labels=labels, columns=query.columns, tile_size=query.tile
        )

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
    name: Name,
    split: Split,
    query: Annotated[SampleChoice, Query()],
) -> Response:
    """Return an `.npy` file with up to 400 images: uint8 (n, 28, 28), 0 is black.

    `indices` names them; `label`, `limit` and `offset` choose a page, in the order of the rows.
    """
    info = services.datasets.describe(name)
    query.check(info, split)
    source = (name, split, *query.model_dump().values())
    if answer := unchanged(request, "npy", source):
        return answer

    def make() -> bytes:
        found = getattr(services.datasets.open(name), split)
        return npy_file(found.images[query.rows(found.labels)].reshape(-1, *info.image_shape))

    return await HEAVY_POOL.run(request, lambda: conditional(request, "npy", source, make))


@router.get(
    "/{name}/{split}/labels.npy",
    response_class=Response,
    responses=binary("npy"),
    dependencies=[NO_PARAMETERS],
    name="get_labels",
    summary="Download all labels of a split",
)
def get_labels(services: ServicesDep, request: Request, name: Name, split: Split) -> Response:
    """Return an `.npy` file with the label of each row: uint8 (n,)."""
    services.datasets.describe(name)
    return conditional(
        request,
        "npy",
        (name, split, "labels"),
        lambda: npy_file(getattr(services.datasets.open(name), split).labels),
    )


@router.get(
    "/{name}/{split}/{index}.png",
    response_class=Response,
    responses=binary("png"),
    dependencies=[NO_PARAMETERS],
    name="get_sample_picture",
    summary="Read a sample as a picture",
)
def get_sample_picture(
    services: ServicesDep, request: Request, name: Name, split: Split, index: Index
) -> Response:
    """Return the image of one sample, unchanged: 28x28 grey pixels."""
    sample = _sample(services, name, split, index)
    return conditional(
        request,
        "png",
        (name, split, index),
        lambda: contact_sheet.single(np.array(sample.pixels, np.uint8)),
    )


@router.get(
    "/{name}/{split}/{index}.json",
    response_model=Sample,
    responses=NOT_MODIFIED,
    dependencies=[NO_PARAMETERS],
    name="get_sample",
    summary="Read a sample",
)
def get_sample(
    services: ServicesDep, request: Request, name: Name, split: Split, index: Index
) -> Response:
    """Return the pixels and the label of one sample."""
    sample = _sample(services, name, split, index)
    body = json.dumps(sample.model_dump()).encode()
    return conditional(request, "json", (body,), lambda: body)


def _with_rows(labels: list[str], rows: list[int], tile: int) -> list[str]:
    """Return titles with label and row, or with the row alone where tiles are too narrow."""
    if tile < ROOM_FOR_BOTH:
        return [str(row) for row in rows]
    return [f"{label} · {row}" for label, row in zip(labels, rows, strict=True)]


def _sample(services: Services, name: str, split: SplitName, index: int) -> Sample:
    info = services.datasets.describe(name)
    check_row(info, split, index)
    found = getattr(services.datasets.open(name), split)
    pixels = found.images[index].reshape(info.image_shape).tolist()
    return Sample(
        dataset=name, split=split, index=index, label=int(found.labels[index]), pixels=pixels
    )
