"""Serves the weights of a whole network as files."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Path, Request, Response
from fastapi.concurrency import run_in_threadpool

from service.api.conditional import Pieces, conditional, unchanged
from service.api.dependencies import Services, ServicesDep
from service.api.heavy_answers import HEAVY_POOL
from service.api.network_headers import name_network
from service.api.openapi import binary
from service.api.validation import NO_PARAMETERS
from service.api.weight_files import (
    Description,
    description,
    json_object,
    npz_pieces,
    safetensors_pieces,
)
from service.inference.loaded_model import LoadedModel
from service.store.checkpoints import Arrays, CheckpointRef

router = APIRouter(prefix="/v1/models", tags=["models"])

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
    if cached := await services.models.find_cached(ref):
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
