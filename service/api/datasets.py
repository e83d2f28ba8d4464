"""The data sets: what there is, and what it looks like."""

import json
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from pydantic import Field

from service.api.replies import HEAVY, HELD, binary, check_size, conditional, unchanged
from service.api.rooms import Rooms, RoomsDep
from service.job import Record
from service.pictures import tiles
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
def list_datasets(rooms: RoomsDep) -> DatasetList:
    """List the data sets."""
    return DatasetList(data=[_record(info) for info in rooms.datasets.all()])


@router.get("/{name}", name="get_dataset")
def get_dataset(rooms: RoomsDep, name: Name) -> DatasetRecord:
    """Read what is known of a data set, its licence included."""
    return _record(rooms.datasets.describe(name))


@router.get(
    "/{name}/samples.png",
    response_class=Response,
    responses=binary("png"),
    name="draw_samples",
)
async def draw_samples(
    rooms: RoomsDep,
    request: Request,
    name: Name,
    split: SplitName = "test",
    limit: Annotated[int, Query(ge=1, le=400)] = 50,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
    columns: Annotated[int, Query(ge=1, le=50)] = 10,
    tile: Annotated[int, Query(ge=8, le=256, description="pixels of a tile's side")] = 56,
) -> Response:
    """Draw a contact sheet of samples with their labels."""
    info = rooms.datasets.describe(name)
    _check_row(info, split, offset)
    check_size(limit, tile)
    source = (name, split, limit, offset, columns, tile)
    if answer := unchanged(request, "png", source):
        return answer

    def make() -> bytes:
        found = getattr(rooms.datasets.open(name), split)
        images = found.images[offset : offset + limit].reshape(-1, *info.image_shape)
        labels = [info.classes[label] for label in found.labels[offset : offset + limit]]
        return tiles.contact_sheet(images, labels=labels, columns=columns, tile_size=tile)

    return await HEAVY.make(request, lambda: conditional(request, "png", source, make))


@router.get(
    "/{name}/{split}/{index}.png",
    response_class=Response,
    responses=binary("png"),
    name="get_sample_picture",
)
def get_sample_picture(
    rooms: RoomsDep,
    request: Request,
    name: Name,
    split: SplitName,
    index: Annotated[int, Path(ge=0, le=2**31, description="rows count from 0")],
) -> Response:
    """Read one image as it is: 28x28 grey."""
    sample = _sample(rooms, name, split, index)
    return conditional(
        request,
        "png",
        (name, split, index),
        lambda: tiles.single(np.array(sample.pixels, np.uint8)),
    )


@router.get(
    "/{name}/{split}/{index}.json", response_model=Sample, responses=HELD, name="get_sample"
)
def get_sample(
    rooms: RoomsDep,
    request: Request,
    name: Name,
    split: SplitName,
    index: Annotated[int, Path(ge=0, le=2**31, description="rows count from 0")],
) -> Response:
    """Read one image with its label."""
    sample = _sample(rooms, name, split, index)
    body = json.dumps(sample.model_dump()).encode()
    return conditional(request, "json", (body,), lambda: body)


def _sample(rooms: Rooms, name: str, split: SplitName, index: int) -> Sample:
    info = rooms.datasets.describe(name)
    _check_row(info, split, index)
    found = getattr(rooms.datasets.open(name), split)
    pixels = found.images[index].reshape(info.image_shape).tolist()
    return Sample(
        dataset=name, split=split, index=index, label=int(found.labels[index]), pixels=pixels
    )


def _check_row(info: DatasetInfo, split: SplitName, index: int) -> None:
    rows = info.train_rows if split == "train" else info.test_rows
    if index >= rows:
        raise HTTPException(404, f"There is no row {index}; {split} has rows 0 to {rows - 1}.")
