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
from service.api.template_shapes import has_templates, is_of_digits, templates_of
from service.api.validation import QueryParameters
from service.api.weights import LayerNumber, Ref, newest
from service.domain.dataset_manifest import Manifest
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
        "default, classes share one, and hidden units have their own.",
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
    manifest: Manifest
    """The manifest of the set on which the network was trained."""

    @property
    def is_matrix(self) -> bool:
        """Whether the units are the rows of one picture."""
        return not has_templates(self.manifest, self.layer)

    @property
    def numbers(self) -> range:
        """The numbers of the units."""
        return range(self.offset, self.offset + self.W.shape[1])

    @property
    def counted(self) -> str:
        """How many units are drawn, and which if not all are."""
        outputs = "digits" if is_of_digits(self.manifest) else "classes"
        drawn, kind = self.W.shape[1], outputs if self.is_output else "units"
        start = f", from {self.offset} on" if self.offset else ""
        return f"{drawn} of {self.units} {kind}{start}" if drawn < self.units else f"{drawn} {kind}"

    @property
    def titles(self) -> list[str]:
        """What each unit is called."""
        if not self.is_output:
            return list(map(str, self.numbers))
        if is_of_digits(self.manifest):
            return [f"Digit {it}" for it in self.numbers]
        return [self.manifest.classes[it] for it in self.numbers]

    def captions(self, scale: Scale) -> list[str]:
        """What stands above the templates of a hidden layer, at full length and shorter."""
        learned = "minus start" if self.is_learned else ""
        if self.manifest.channels > 1:
            learned = ", ".join(filter(None, ("red, green and blue side by side", learned)))
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

    Units of the first layer are templates of the size of the images; any other layer, and the first
    one of a table, is one matrix with a row for each unit and a column for each of its inputs.
    `units` and `offset` select the units. Units are numbered from 0, classes have their names, and
    a bar says what the colours stand for. A PNG has a class's number where its typeface lacks a
    letter of the name; an SVG has all names.
    """
    looks = (layer, *query.model_dump().values())
    checkpoint, cached = await newest(services, ref)
    if answer := unchanged(request, format, (checkpoint, *looks)):
        return answer

    def draw() -> Response:
        model = cached or services.models.get(ref)
        part = _part(services, model, layer, query)
        check_size(1 if part.is_matrix else part.W.shape[1], query.tile or 0)
        picture = partial(_picture, part, format, query)
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
        manifest=model.manifest,
    )


def _picture(part: LayerPart, format: Literal["png", "svg"], query: TemplateQuery) -> bytes:
    if part.is_matrix:
        return _matrix(part, format, query)
    scale: Scale = query.scale or ("shared" if part.is_output else "each")
    return weight_templates.draw(
        templates_of(part.W, part.manifest),
        titles=part.titles,
        instead=list(map(str, part.numbers)),
        captions=part.captions(scale),
        columns=query.columns,
        tile_size=query.tile,
        scale=scale,
        colour_bar=True,
        format=format,
        theme=query.theme,
    )


def _matrix(part: LayerPart, format: Literal["png", "svg"], query: TemplateQuery) -> bytes:
    of_table = part.layer == 1
    named = part.is_output and not is_of_digits(part.manifest)
    return weight_matrix.draw(
        part.W.T,
        title=f"Layer {part.layer}: {part.counted} (rows), {len(part.W)} inputs (columns)"
        + (", minus start" if part.is_learned else ""),
        inputs="columns of the table" if of_table else f"units of layer {part.layer - 1}",
        first=part.offset,
        row_names=part.titles if named else (),
        column_names=[it.name for it in part.manifest.columns] if of_table else (),
        longer_side=query.tile,
        format=format,
        theme=query.theme,
    )
