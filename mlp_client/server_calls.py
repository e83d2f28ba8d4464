"""The calls that concern the presets and the data sets of a server, and several jobs at once."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import httpx2
from pydantic import Field

from mlp_client import npy
from mlp_client.calls import Call, record
from mlp_client.npy import ByteArray
from mlp_client.pictures import Picture, PictureFormat, picture
from mlp_client.records import EpochColumns, Record
from mlp_client.system_record import System

Misfit = Literal["leak", "duplicates", "two_labels", "blank", "rare_class"]
"""Why a report doubts images."""


class Preset(Record):
    """A named combination of spec fields."""

    name: str = Field(description="Name, to be given as `preset`.")
    description: str = Field(description="What it trains, and what accuracy to expect.")
    spec: dict[str, Any] = Field(description="The whole spec that the preset stands for.")


class Presets(Record):
    """All presets of a server."""

    data: list[Preset]


class Sample(Record):
    """A labelled image of a data set."""

    index: int = Field(description="Position in the data set, counted from 0.")
    label: int = Field(description="The digit that the image shows.")
    pixels: list[list[int]] = Field(description="28x28 grey values, 0 to 255.")


class EpochColumnsOfJobs(Record):
    """The epochs of several jobs."""

    data: dict[str, EpochColumns]


def presets() -> Call[Presets]:
    return Call("GET", "/v1/presets", record(Presets))


def system() -> Call[System]:
    return Call("GET", "/v1/system", record(System))


def curves(jobs: Sequence[str], format: PictureFormat) -> Call[Picture]:
    return Call("GET", f"/v1/curves.{format}", picture, {"params": {"jobs": ",".join(jobs)}})


def epochs(jobs: Sequence[str], after: int, points: int) -> Call[EpochColumnsOfJobs]:
    params = {"jobs": ",".join(jobs), "after": after, "points": points}
    return Call("GET", "/v1/epochs", record(EpochColumnsOfJobs), {"params": params})


def sample(dataset: str, split: str, index: int) -> Call[Sample]:
    return Call("GET", f"/v1/datasets/{dataset}/{split}/{index}.json", record(Sample))


def samples(dataset: str, split: str, chosen: dict[str, Any]) -> Call[ByteArray]:
    path = f"/v1/datasets/{dataset}/{split}.npy"
    return Call("GET", path, _bytes, {"params": chosen})


def labels(dataset: str, split: str) -> Call[ByteArray]:
    return Call("GET", f"/v1/datasets/{dataset}/{split}/labels.npy", _bytes)


def contact_sheet(
    dataset: str, split: str | None, chosen: dict[str, Any], misfit: str | None = None
) -> Call[Picture]:
    given = {"split": split, "misfit": misfit}
    params = {**{name: it for name, it in given.items() if it is not None}, **chosen}
    return Call("GET", f"/v1/datasets/{dataset}/samples.png", picture, {"params": params})


def chosen_samples(
    indices: Iterable[int] | None, label: int | None, limit: int, offset: int
) -> dict[str, Any]:
    """Return the parameters that choose samples: by their indices, or a page of all or of a class.

    Raises:
        ValueError: `indices` is empty; the server would send a page of all samples.

    """
    if indices is not None:
        numbers = ",".join(str(int(index)) for index in indices)
        if not numbers:
            raise ValueError("indices is empty: leave it out to get a page of all images")
        return {"indices": numbers}
    page = {"limit": limit, "offset": offset}
    return page if label is None else {"label": label, **page}


def _bytes(response: httpx2.Response) -> ByteArray:
    return npy.read_bytes(response.content)
