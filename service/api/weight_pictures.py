"""Serves the weights of a layer as pictures."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from service.api.conditional import conditional, unchanged
from service.api.curves import Format, Theme
from service.api.dependencies import Services, ServicesDep
from service.api.heavy_answers import HEAVY_POOL, check_size
from service.api.learned_units import MINUS_DESCRIPTION, Minus, chosen_units, weights_of
from service.api.network_headers import name_network
from service.api.openapi import binary
from service.api.validation import QueryParameters
from service.api.weights import LayerNumber, Ref, newest
from service.inference.loaded_model import LoadedModel
from service.pictures import weight_matrix, weight_templates

router = APIRouter(prefix="/v1/models", tags=["models"])

Scale = Literal["shared", "each"]


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
    scale: Scale | None = Field(
        None,
        description="One colour scale for all templates (`shared`), or one for each (`each`). By "
        "default, digits share one, and hidden units have their own.",
    )
    theme: Theme = Field("light", description="Colours for a light or a dark page.")
    minus: Minus | None = Field(None, description=MINUS_DESCRIPTION)


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
    is_learned: bool
    """Whether the weights before training were subtracted."""

    @property
    def counted(self) -> str:
        """How many units are drawn, and which if not all are."""
        drawn, kind = self.W.shape[1], "digits" if self.is_output else "units"
        start = f", from {self.offset} on" if self.offset else ""
        return f"{drawn} of {self.units} {kind}{start}" if drawn < self.units else f"{drawn} {kind}"

    @property
    def titles(self) -> list[str]:
        """What each unit is called."""
        numbers = range(self.offset, self.offset + self.W.shape[1])
        return [f"Digit {it}" if self.is_output else str(it) for it in numbers]

    def captions(self, scale: Scale) -> list[str]:
        """What stands above the templates of a hidden layer, at full length and shorter."""
        learned = "minus start" if self.is_learned else ""
        if self.is_output:
            return [learned]
        scales = "each in its own colour scale" if scale == "each" else "in one colour scale"
        counted = ", ".join(filter(None, (self.counted, learned)))
        return [f"{counted}, {scales}", counted]


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
    unit and a column for each of its inputs. `units` and `offset` select the units. Units are
    numbered from 0, and a bar says what the colours stand for.
    """
    looks = (layer, *query.model_dump().values())
    checkpoint, cached = await newest(services, ref)
    if answer := unchanged(request, format, (checkpoint, *looks)):
        return answer

    def draw() -> Response:
        model = cached or services.models.get(ref)
        part = _part(services, model, layer, query)
        check_size(part.W.shape[1] if layer == 1 else 1, query.tile or 0)
        image_shape = services.datasets.describe(model.dataset).image_shape
        picture = partial(_picture, part, image_shape, format, query)
        answer = conditional(request, format, (model.checkpoint, *looks), picture)
        name_network(answer, model.checkpoint)
        return answer

    return await HEAVY_POOL.run(request, draw)


def _part(services: Services, model: LoadedModel, layer: int, query: TemplateQuery) -> LayerPart:
    """Return the units to draw; raises what `chosen_units` and `weights_of` do."""
    network = model.network
    drawn = chosen_units(network, layer, query.offset, query.units)
    return LayerPart(
        weights_of(services, model, layer, drawn, query.minus),
        layer,
        query.offset,
        units=len(network.biases[layer - 1]),
        is_output=layer == len(network.weights),
        is_learned=query.minus is not None,
    )


def _picture(
    part: LayerPart,
    image_shape: tuple[int, int],
    format: Literal["png", "svg"],
    query: TemplateQuery,
) -> bytes:
    if part.layer > 1:
        return _matrix(part, format, query)
    scale: Scale = query.scale or ("shared" if part.is_output else "each")
    return weight_templates.draw(
        part.W.T.reshape(-1, *image_shape),
        titles=part.titles,
        captions=part.captions(scale),
        columns=query.columns,
        tile_size=query.tile,
        scale=scale,
        colour_bar=True,
        format=format,
        theme=query.theme,
    )


def _matrix(part: LayerPart, format: Literal["png", "svg"], query: TemplateQuery) -> bytes:
    return weight_matrix.draw(
        part.W.T,
        title=f"Layer {part.layer}: {part.counted} (rows), {len(part.W)} inputs (columns)"
        + (", minus start" if part.is_learned else ""),
        inputs=f"units of layer {part.layer - 1}",
        first=part.offset,
        longer_side=query.tile,
        format=format,
        theme=query.theme,
    )
