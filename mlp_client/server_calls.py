"""The calls that concern the presets and the data sets of a server, and several jobs at once."""

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from mlp_client.calls import Call, record
from mlp_client.pictures import Picture, PictureFormat, picture
from mlp_client.records import EpochColumns, Record
from mlp_client.system_record import System


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


def contact_sheet(dataset: str, split: str, limit: int, offset: int) -> Call[Picture]:
    params = {"split": split, "limit": limit, "offset": offset}
    return Call("GET", f"/v1/datasets/{dataset}/samples.png", picture, {"params": params})
