"""Serves the weights of a network, as files and as pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from mlp_core import Network
from service.api.conditional import Pieces, conditional, unchanged
from service.api.curves import Format, Theme
from service.api.dependencies import Services, ServicesDep
from service.api.heavy_answers import HEAVY_POOL, check_size
from service.api.network_headers import name_network
from service.api.openapi import binary
from service.api.validation import NO_PARAMETERS, QueryParameters
from service.api.weight_files import (
    Description,
    description,
    json_object,
    npz_pieces,
    safetensors_pieces,
)
from service.domain.errors import LayerNotFound
from service.inference.loaded_model import LoadedModel
from service.pictures import weight_templates
from service.store.checkpoints import Arrays, CheckpointRef

router = APIRouter(prefix="/v1/models", tags=["models"])

MATRIX_PIXELS = 896
"""Side of the picture of a layer's matrix, if its weights have room in it."""
ROW_PIXELS = 8
"""Least height of a unit's row in that picture, if the rows have room."""
MAX_JSON_PARAMETERS = 1_000_000
"""Most parameters in a JSON answer; writing more as text would delay all other requests."""

FileFormat = Literal["safetensors", "npz", "json"]
Ref = Annotated[
    str,
    Path(
        description="The id of the job that trained the network, or `latest`: the newest job that "
        "learned something. `latest` is for trying out, because another job may soon take its "
        "place; an application should name a job. `@` names the network after an epoch: `@12`, "
        "`@best`, `@last` (the newest), or `@0` (before training), as in `latest@best`.",
        max_length=64,
        examples=["latest"],
    ),
]

LayerNumber = Annotated[
    int, Path(ge=1, le=2**31, description="The layer's number, from 1.", examples=[1])
]


@router.get(
    "/{ref}/weights.{format}",
    response_class=Response,
    responses=binary("safetensors", "npz", "json"),
    dependencies=[NO_PARAMETERS],
    name="get_weights",
    summary="Download the weights",
)
async def get_weights(
    services: ServicesDep,
    request: Request,
    ref: Ref,
    format: Annotated[FileFormat, Path(description="The file's format.")],
) -> Response:
    """Return the parameters: `layers.<k>.weight` (n_in, n_out) and `layers.<k>.bias` (n_out,).

    Layers are numbered from 1. While the job trains, these are the weights of its last checkpoint.
    The file says what it is: in the metadata of safetensors, as `metadata.json` in .npz, and under
    `__metadata__` in JSON.
    """
    checkpoint, cached = await newest(services, ref)
    if answer := unchanged(request, format, (checkpoint,)):
        return answer
    return await HEAVY_POOL.run(
        request, lambda: _weights(request, cached or services.models.get(ref), format)
    )


async def newest(services: Services, ref: str) -> tuple[CheckpointRef, LoadedModel | None]:
    """Return the checkpoint that `ref` names, and its model if that is in memory."""
    if cached := services.models.cached(ref):
        return cached.checkpoint, cached
    return await run_in_threadpool(services.models.newest_checkpoint, ref), None


def _weights(request: Request, model: LoadedModel, format: FileFormat) -> Response:
    count = sum(array.size for array in model.arrays.values())
    if format == "json" and count > MAX_JSON_PARAMETERS:
        raise HTTPException(
            422, f"{count:,} parameters are too many for JSON; ask for .npz or .safetensors."
        )
    write = partial(WRITERS[format], model.arrays, description(model))
    answer = conditional(request, format, (model.checkpoint,), write)
    answer.headers["Content-Disposition"] = f'attachment; filename="{model.job}.{format}"'
    name_network(answer, model.checkpoint)
    return answer


WRITERS: dict[FileFormat, Callable[[Arrays, Description], bytes | Pieces]] = {
    "safetensors": safetensors_pieces,
    "npz": npz_pieces,
    "json": json_object,
}


# --- Pictures -------------------------------------------------------------------------------------


class TemplateQuery(QueryParameters):
    units: int = Field(256, ge=1, le=1024, description="Maximum number of units to draw.")
    offset: int = Field(0, ge=0, le=2**31, description="First unit to draw, counted from 0.")
    tile: int | None = Field(
        None,
        ge=8,
        le=512,
        description="Longer side of each template in pixels; by default chosen to fit the page.",
    )
    columns: int | None = Field(None, ge=1, le=64, description="Number of templates in each row.")
    scale: Literal["shared", "each"] = Field(
        "shared", description="One colour scale for all templates, or one for each."
    )
    theme: Theme = Field("light", description="Colours for a light or a dark page.")


@dataclass(frozen=True)
class LayerPart:
    """Some units of a layer, to be drawn."""

    W: np.ndarray
    """(n_in, n): their weights."""
    layer: int
    """Counted from 1."""
    offset: int
    """The first of them, counted from 0."""
    units: int
    """How many units the layer has."""
    is_output: bool

    @property
    def note(self) -> str:
        """Which units are drawn, empty if all are."""
        drawn = self.W.shape[1]
        start = f", from {self.offset} on" if self.offset else ""
        return f"{drawn} of {self.units} units{start}" if drawn < self.units else ""

    def templates(self, image_shape: tuple[int, int]) -> tuple[np.ndarray, list[str] | None]:
        """Return pictures (n, rows, columns) of weights, with their titles if they have any."""
        n_in, drawn = self.W.shape
        if self.layer == 1:
            digits = range(self.offset, self.offset + drawn)
            titles = [f"Digit {digit}" for digit in digits] if self.is_output else None
            return self.W.T.reshape(drawn, *image_shape), titles
        rows = np.repeat(self.W.T, row_height(n_in, drawn), axis=0)
        units = self.note or f"{drawn} units"
        return rows[np.newaxis], [f"Layer {self.layer}: {n_in} inputs, {units} (rows)"]


@router.get(
    "/{ref}/layers/{layer}/weights.{format}",
    response_class=Response,
    responses=binary("png", "svg"),
    name="draw_weights",
    summary="Draw the weights of a layer",
)
async def draw_weights(
    services: ServicesDep,
    request: Request,
    ref: Ref,
    layer: LayerNumber,
    format: Format,
    query: Annotated[TemplateQuery, Query()],
) -> Response:
    """Draw what each unit responds to: red is negative, blue positive, white zero.

    Units of the first layer are 28x28 templates; any other layer is one matrix with a row for each
    unit. `units` and `offset` select the units. A picture without some of them says so in its
    caption: "256 of 1024 units".
    """
    looks = (layer, *query.model_dump().values())
    checkpoint, cached = await newest(services, ref)
    if answer := unchanged(request, format, (checkpoint, *looks)):
        return answer

    def draw() -> Response:
        model = cached or services.models.get(ref)
        part = _part(model.network, layer, query)
        check_size(part.W.shape[1] if layer == 1 else 1, query.tile or 0)
        image_shape = services.datasets.describe(model.dataset).image_shape
        picture = partial(_picture, part, image_shape, format, query)
        answer = conditional(request, format, (model.checkpoint, *looks), picture)
        name_network(answer, model.checkpoint)
        return answer

    return await HEAVY_POOL.run(request, draw)


def _part(network: Network, layer: int, query: TemplateQuery) -> LayerPart:
    """Return the units to draw; raises what `chosen_units` does."""
    drawn = chosen_units(network, layer, query.offset, query.units)
    W, is_output = network.weights[layer - 1], layer == len(network.weights)
    return LayerPart(W[:, drawn], layer, query.offset, W.shape[1], is_output=is_output)


def chosen_units(network: Network, layer: int, offset: int, most: int | None) -> slice:
    """Return which units `offset` and `most` choose.

    Raises:
        LayerNotFound: the network has no such layer.
        HTTPException: the layer has no units from `offset` on.

    """
    layers = len(network.weights)
    if layer > layers:
        raise LayerNotFound(layer, layers)
    units = len(network.biases[layer - 1])
    if offset >= units:
        raise HTTPException(404, f"Layer {layer} has {units} units: choose a lower offset.")
    return slice(offset, units if most is None else min(units, offset + most))


def _picture(
    part: LayerPart,
    image_shape: tuple[int, int],
    format: Literal["png", "svg"],
    query: TemplateQuery,
) -> bytes:
    shown, titles = part.templates(image_shape)
    return weight_templates.draw(
        shown,
        titles=titles,
        caption="" if titles else part.note,
        columns=query.columns,
        tile_size=query.tile,
        scale=query.scale,
        format=format,
        theme=query.theme,
    )


def row_height(n_in: int, units: int) -> int:
    """Return how often to repeat a unit's row, so that even a few units can be seen."""
    cell = max(1, MATRIX_PIXELS // max(n_in, units))
    return max(1, min(ROW_PIXELS // cell, MATRIX_PIXELS // (units * cell)))
