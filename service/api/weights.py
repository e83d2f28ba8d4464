"""What a network has learned: its weights as pictures and as files."""

import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from mlp_core import Network
from service.api.curves import Format, Theme
from service.api.dependencies import Services, ServicesDep
from service.api.responses import HEAVY_POOL, Pieces, binary, check_size, conditional, unchanged
from service.domain.errors import LayerNotFound
from service.inference.loaded_model import LoadedModel
from service.pictures import templates
from service.store.checkpoints import Arrays, CheckpointRef, npz_pieces, safetensors_pieces

router = APIRouter(prefix="/v1/models", tags=["models"])

MATRIX_PIXELS, ROW_PIXELS = 896, 8
"""Of a picture's side, and of a unit's row at least, if all have room."""
MAX_JSON_PARAMETERS = 1_000_000
"""Writing more as text would hold up everybody."""

FileFormat = Literal["safetensors", "npz", "json"]
Ref = Annotated[
    str,
    Path(
        description="a job's id, or `latest`: the job that succeeded last",
        max_length=64,
        examples=["latest"],
    ),
]


@router.get(
    "/{ref}/weights.{format}",
    response_class=Response,
    responses=binary("safetensors", "npz", "json"),
    name="get_weights",
)
async def get_weights(
    services: ServicesDep, request: Request, ref: Ref, format: FileFormat
) -> Response:
    """Read the weights: tensors `layers.<k>.weight` (n_in, n_out) and `layers.<k>.bias` (n_out,).

    Layers count from 1. While the job trains, these are the weights of its last checkpoint.
    """
    saved, known = await _newest(services, ref)
    if answer := unchanged(request, format, (saved,)):
        return answer
    return await HEAVY_POOL.make(
        request, lambda: _weights(request, known or services.models.get(ref), format)
    )


async def _newest(services: Services, ref: str) -> tuple[CheckpointRef, LoadedModel | None]:
    """Return the checkpoint that is meant, and its network if that is in memory."""
    known = services.models.cached(ref)
    return known.checkpoint if known else await run_in_threadpool(
        services.models.newest_checkpoint, ref
    ), known


def _weights(request: Request, trained: LoadedModel, format: FileFormat) -> Response:
    count = sum(array.size for array in trained.arrays.values())
    if format == "json" and count > MAX_JSON_PARAMETERS:
        raise HTTPException(
            422, f"{count:,} parameters are too many for JSON; ask for .npz or .safetensors."
        )
    answer = conditional(
        request, format, (trained.checkpoint,), lambda: WRITE[format](trained.arrays)
    )
    answer.headers["Content-Disposition"] = f'attachment; filename="{trained.job}.{format}"'
    return answer


def _json(arrays: Arrays) -> bytes:
    tensors: dict[str, Any] = {name: array.tolist() for name, array in sorted(arrays.items())}
    return json.dumps(tensors, separators=(",", ":")).encode()


WRITE: dict[FileFormat, Callable[[Arrays], bytes | Pieces]] = {
    "safetensors": safetensors_pieces,
    "npz": npz_pieces,
    "json": _json,
}


@router.get(
    "/{ref}/layers/{layer}/weights.{format}",
    response_class=Response,
    responses=binary("png", "svg"),
    name="draw_weights",
)
async def draw_weights(
    services: ServicesDep,
    request: Request,
    ref: Ref,
    layer: Annotated[int, Path(ge=1, le=2**31, description="layers count from 1")],
    format: Format,
    units: Annotated[int, Query(ge=1, le=1024, description="how many units to draw")] = 256,
    offset: Annotated[int, Query(ge=0, le=2**31, description="first unit to draw, from 0")] = 0,
    tile: Annotated[int | None, Query(ge=8, le=512, description="pixels of a tile's side")] = None,
    columns: Annotated[int | None, Query(ge=1, le=64)] = None,
    scale: Annotated[
        Literal["shared", "each"],
        Query(description="one colour scale for all tiles, or one for each"),
    ] = "shared",
    theme: Theme = "light",
) -> Response:
    """Draw what each unit of a layer looks for: red is negative, blue positive, white zero.

    Units of the first layer are 28x28 templates; the others are one matrix, a row for each unit. A
    picture that lacks some units says so: "256 of 1024 units". `units` and `offset` choose them.
    """
    looks = (layer, units, offset, tile, columns, scale, theme)
    saved, known = await _newest(services, ref)
    if answer := unchanged(request, format, (saved, *looks)):
        return answer

    def draw() -> Response:
        trained = known or services.models.get(ref)
        W = _chosen(trained.network, layer, slice(offset, offset + units))
        check_size(W.shape[1] if layer == 1 else 1, tile or 0)

        def make() -> bytes:
            image = services.datasets.describe(trained.dataset).image_shape
            last = layer == len(trained.network.weights)
            part = _part(W.shape[1], trained.network.weights[layer - 1].shape[1], offset)
            shown, titles = _templates(W, layer, image, offset, part, last=last)
            return templates.draw_tiles(
                shown,
                titles=titles,
                caption="" if titles else part,
                columns=columns,
                tile_size=tile,
                scale=scale,
                format=format,
                theme=theme,
            )

        return conditional(request, format, (trained.checkpoint, *looks), make)

    return await HEAVY_POOL.make(request, draw)


def _chosen(network: Network, layer: int, units: slice) -> np.ndarray:
    """Return the weights (n_in, n) of some units of a layer."""
    weights = network.weights
    if layer > len(weights):
        raise LayerNotFound(layer, len(weights))
    W = weights[layer - 1][:, units]
    if not W.size:
        raise HTTPException(404, f"Layer {layer} has {weights[layer - 1].shape[1]} units.")
    return W


def _part(shown: int, units: int, offset: int) -> str:
    """Return which units are shown, if not all."""
    first = f", from {offset} on" if offset else ""
    return f"{shown} of {units} units{first}" if shown < units else ""


def _templates(
    W: np.ndarray, layer: int, image: tuple[int, int], offset: int, part: str, *, last: bool
) -> tuple[np.ndarray, list[str] | None]:
    """Return the weights of some units as tiles (n, rows, columns), with titles."""
    n_in, units = W.shape
    if layer == 1:
        titles = [f"Digit {offset + unit}" for unit in range(units)] if last else None
        return W.T.reshape(units, *image), titles
    rows = np.repeat(W.T, _row_height(n_in, units), axis=0)
    return rows[np.newaxis], [f"Layer {layer}: {n_in} inputs, {part or f'{units} units'} (rows)"]


def _row_height(n_in: int, units: int) -> int:
    """Return how often to repeat a unit's row, so that a few of many weights can be seen."""
    cell = max(1, MATRIX_PIXELS // max(n_in, units))
    return max(1, min(ROW_PIXELS // cell, MATRIX_PIXELS // (units * cell)))
