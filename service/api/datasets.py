"""The data sets: what there is, and what it looks like."""

import json
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from pydantic import Field

from mlp_client.records import Record
from service.api.dependencies import Services, ServicesDep
from service.api.responses import HEAVY_POOL, HELD, binary, check_size, conditional, unchanged
from service.pictures import templates
from service.store.datasets import DatasetInfo

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

Name = Annotated[str, Path(max_length=64, examples=["mnist"])]
SplitName = Literal["train", "test"]


class DatasetRecord(Record):
    object: Literal["dataset"] = "dataset"
    name: str
    description: str
    image_shape: list[int] = Field(description="rows and columns of pixels")
    classes: list[str]
    train_rows: int
    test_rows: int
    sha256: dict[str, str]
    license: str
    attribution: str


class DatasetList(Record):
    object: Literal["list"] = "list"
    data: list[DatasetRecord]


class Sample(Record):
    dataset: str
    split: SplitName
    index: int
    label: int
    pixels: list[list[int]]


def _record(info: DatasetInfo) -> DatasetRecord:
    return DatasetRecord(**vars(info))


@router.get("", name="list_datasets")
def list_datasets(services: ServicesDep) -> DatasetList:
    """List the data sets."""
    return DatasetList(data=[_record(info) for info in services.datasets.all()])


@router.get("/{name}", name="get_dataset")
def get_dataset(services: ServicesDep, name: Name) -> DatasetRecord:
    """Read what is known of a data set, its licence included."""
    return _record(services.datasets.describe(name))


@router.get(
    "/{name}/samples.png",
    response_class=Response,
    responses=binary("png"),
    name="draw_samples",
)
async def draw_samples(
    services: ServicesDep,
    request: Request,
    name: Name,
    split: SplitName = "test",
    limit: Annotated[int, Query(ge=1, le=400)] = 50,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
    columns: Annotated[int, Query(ge=1, le=50)] = 10,
    tile: Annotated[int, Query(ge=8, le=256, description="pixels of a tile's side")] = 56,
) -> Response:
    """Draw a contact sheet of samples with their labels."""
    info = services.datasets.describe(name)
    _check_row(info, split, offset)
    check_size(limit, tile)
    source = (name, split, limit, offset, columns, tile)
    if answer := unchanged(request, "png", source):
        return answer

    def make() -> bytes:
        found = getattr(services.datasets.open(name), split)
        images = found.images[offset : offset + limit].reshape(-1, *info.image_shape)
        labels = [info.classes[label] for label in found.labels[offset : offset + limit]]
        return templates.contact_sheet(images, labels=labels, columns=columns, tile_size=tile)

    return await HEAVY_POOL.make(request, lambda: conditional(request, "png", source, make))


@router.get(
    "/{name}/{split}/{index}.png",
    response_class=Response,
    responses=binary("png"),
    name="get_sample_picture",
)
def get_sample_picture(
    services: ServicesDep,
    request: Request,
    name: Name,
    split: SplitName,
    index: Annotated[int, Path(ge=0, le=2**31, description="rows count from 0")],
) -> Response:
    """Read one image as it is: 28x28 grey."""
    sample = _sample(services, name, split, index)
    return conditional(
        request,
        "png",
        (name, split, index),
        lambda: templates.single(np.array(sample.pixels, np.uint8)),
    )


@router.get(
    "/{name}/{split}/{index}.json", response_model=Sample, responses=HELD, name="get_sample"
)
def get_sample(
    services: ServicesDep,
    request: Request,
    name: Name,
    split: SplitName,
    index: Annotated[int, Path(ge=0, le=2**31, description="rows count from 0")],
) -> Response:
    """Read one image with its label."""
    sample = _sample(services, name, split, index)
    body = json.dumps(sample.model_dump()).encode()
    return conditional(request, "json", (body,), lambda: body)


def _sample(services: Services, name: str, split: SplitName, index: int) -> Sample:
    info = services.datasets.describe(name)
    _check_row(info, split, index)
    found = getattr(services.datasets.open(name), split)
    pixels = found.images[index].reshape(info.image_shape).tolist()
    return Sample(
        dataset=name, split=split, index=index, label=int(found.labels[index]), pixels=pixels
    )


def _check_row(info: DatasetInfo, split: SplitName, index: int) -> None:
    rows = info.train_rows if split == "train" else info.test_rows
    if index >= rows:
        raise HTTPException(404, f"There is no row {index}; {split} has rows 0 to {rows - 1}.")
