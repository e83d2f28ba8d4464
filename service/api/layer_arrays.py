"""Serves the weights or biases of a layer as an array, whole or for some of its units."""

import zlib
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from numpy.typing import NDArray
from pydantic import Field

from service.api.conditional import conditional, unchanged
from service.api.content_negotiation import accepts_gzip
from service.api.dependencies import Services, ServicesDep
from service.api.heavy_answers import HEAVY_POOL
from service.api.learned_units import (
    MINUS_DESCRIPTION,
    Floats,
    Minus,
    biases_of,
    chosen_units,
    weights_of,
)
from service.api.network_headers import name_network
from service.api.npy_file import npy_file
from service.api.openapi import binary
from service.api.validation import QueryParameters
from service.api.weights import LayerNumber, Ref, newest
from service.inference.loaded_model import LoadedModel

router = APIRouter(prefix="/v1/models", tags=["models"])

MAX_NUMBERS = 4_000_000
"""The most numbers in an answer, which is in memory as a whole."""
HIGHEST, NOT_FINITE = 127, -128
"""What stands for the largest weight in int8, and for one that is not finite."""
PACKING_LEVEL = 6
"""The level of gzip. Higher levels take four times as long and save hardly more."""
GZIP_FORM = 31
"""Stands for gzip's header and checksum around what zlib writes."""

Part = Literal["weights", "biases"]


class ArrayQuery(QueryParameters):
    units: int | None = Field(
        None, ge=1, le=2**31, description="Maximum number of units; by default all of the layer."
    )
    offset: int = Field(0, ge=0, le=2**31, description="The first unit, counted from 0.")
    dtype: Literal["float32", "int8"] = Field(
        "float32",
        description="`int8` has a quarter of the bytes: whole numbers from -127 to 127, of which "
        "the header `Scale` says what 1 means; -128 stands for a weight that is not finite.",
    )
    minus: Minus | None = Field(None, description=MINUS_DESCRIPTION)


@router.get(
    "/{ref}/layers/{layer}/{part}.npy",
    response_class=Response,
    responses=binary("npy"),
    name="get_layer",
    summary="Download the weights or biases of a layer",
)
async def get_layer(
    services: ServicesDep,
    request: Request,
    ref: Ref,
    layer: LayerNumber,
    part: Annotated[Part, Path(description="Which of its parameters.", examples=["weights"])],
    query: Annotated[ArrayQuery, Query()],
) -> Response:
    """Return an `.npy` file: a row of `weights` (n, n_in) for each unit, or the `biases` (n,).

    The units of the last layer are the classes, so its columns are what each unit of the layer
    before says for and against each class. `units` and `offset` select the units; the header
    `Units` says how many the layer has.
    """
    packed = query.dtype == "int8" and accepts_gzip(request.headers)
    source = (layer, part, *query.model_dump().values(), packed)
    checkpoint, cached = await newest(services, ref)
    if answer := unchanged(request, "npy", (checkpoint, *source)):
        return answer

    def write() -> Response:
        model = cached or services.models.get(ref)
        numbers = _numbers(services, model, layer, part, query)
        scale = scale_of(numbers) if query.dtype == "int8" else None
        array = numbers if scale is None else as_int8(numbers, scale)
        made = conditional(
            request, "npy", (model.checkpoint, *source), lambda: _file(array, packed=packed)
        )
        made.headers["Units"] = str(len(model.network.biases[layer - 1]))
        if scale is not None:
            made.headers["Scale"], made.headers["Vary"] = f"{scale:.9g}", "Accept, Accept-Encoding"
        if packed:
            made.headers["Content-Encoding"] = "gzip"
        name_network(made, model.checkpoint)
        return made

    return await HEAVY_POOL.run(request, write)


def _numbers(
    services: Services, model: LoadedModel, layer: int, part: Part, query: ArrayQuery
) -> Floats:
    """Return the weights (n, n_in) of some units of a layer, or their biases (n,).

    Raises:
        LayerNotFound: the network has no such layer.
        HTTPException: the layer has no such units, or they have too many weights for one answer.
        StartUnknown: the weights before training can't be made again here.

    """
    units = chosen_units(model.network, layer, query.offset, query.units)
    if part == "biases":
        return biases_of(services, model, layer, units, query.minus)
    _check_count(units.stop - units.start, len(model.network.weights[layer - 1]))
    return np.ascontiguousarray(weights_of(services, model, layer, units, query.minus).T)


def _check_count(units: int, inputs: int) -> None:
    if units * inputs > MAX_NUMBERS:
        raise HTTPException(
            422,
            f"{units:,} units have {units * inputs:,} weights, and an answer may have "
            f"{MAX_NUMBERS:,}: ask for {MAX_NUMBERS // inputs:,} units at a time.",
        )


def scale_of(numbers: Floats) -> float:
    """Return what 1 stands for in int8, so that the largest number just fits."""
    most = np.abs(numbers).max(where=np.isfinite(numbers), initial=0)
    return float(most) / HIGHEST or 1.0


def as_int8(numbers: Floats, scale: float) -> NDArray[np.int8]:
    finite = np.isfinite(numbers)
    levels = np.rint(np.where(finite, numbers, 0) / scale)
    return np.where(finite, levels, NOT_FINITE).astype(np.int8)


def _file(array: NDArray[np.generic], *, packed: bool) -> bytes:
    file = npy_file(array)
    return _packed(file) if packed else file


def _packed(file: bytes) -> bytes:
    """Return a file in gzip's form.

    Such numbers hardly ever repeat, so it counts how often each of them comes.
    """
    strategy = zlib.Z_FILTERED
    packer = zlib.compressobj(PACKING_LEVEL, zlib.DEFLATED, GZIP_FORM, strategy=strategy)
    return packer.compress(file) + packer.flush()
