"""Serves the film of a layer's weights through the epochs that a job keeps."""

import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Annotated

import numpy as np
from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from service.api.conditional import conditional, unchanged
from service.api.curves import Theme
from service.api.dependencies import Services, ServicesDep
from service.api.heavy_answers import HEAVY_POOL, MAX_PIXELS, check_size
from service.api.learned_units import Minus, chosen_units
from service.api.openapi import binary
from service.api.template_shapes import has_templates, templates_of
from service.api.validation import QueryParameters
from service.api.weight_pictures import Scale
from service.api.weights import Ref
from service.domain.errors import JobNotFound, NotTrainedYet, StartUnknown
from service.domain.job_state import FINAL
from service.domain.model_ref import START
from service.inference.start_network import check_start
from service.pictures import film
from service.pictures.film import Frame
from service.pictures.weight_templates import arranged
from service.store.snapshots import Snapshot
from service.store.stored_job import StoredJob

router = APIRouter(prefix="/v1/models", tags=["models"])

MAX_WEIGHTS = 16_000_000
"""Most weights in all frames together."""

MATRIX_PIXELS = 896
"""Longer side of the picture of a matrix, if its weights and all frames have room in it."""

Kept = Mapping[int, Snapshot]


class FilmQuery(QueryParameters):
    layer: int = Field(1, ge=1, le=2**31, description="The layer's number, from 1.")
    units: int = Field(64, ge=1, le=256, description="Maximum number of units to draw.")
    offset: int = Field(0, ge=0, le=2**31, description="First unit to draw, counted from 0.")
    seconds: float = Field(6, ge=1, le=60, description="How long the film takes.")
    minus: Minus | None = Field(
        None, description="`start`: draw only what was learned, the weights minus the first ones."
    )
    tile: int = Field(56, ge=8, le=224, description="Longer side of each template in pixels.")
    scale: Scale | None = Field(
        None,
        description="One colour scale for all templates (`shared`), or one for each (`each`). By "
        "default, classes share one, and hidden units have their own.",
    )
    theme: Theme = Field("light", description="Colours for a light or a dark page.")


@router.get(
    "/{ref}/film.webp",
    response_class=Response,
    responses=binary("webp"),
    name="draw_film",
    summary="Draw a film of the weights of a layer",
)
async def draw_film(
    services: ServicesDep, request: Request, ref: Ref, query: Annotated[FilmQuery, Query()]
) -> Response:
    """Draw the weights after each epoch that the job keeps, as an animated WebP.

    It begins with the network before training, if the seed can make it again. The number of the
    epoch stands above the weights, and the colour scale is the same from the first frame to the
    last.
    """
    job, kept = await run_in_threadpool(_frames, services, ref, query)
    source = ("film", *(it.file for it in kept.values()), *query.model_dump().values())
    if answer := unchanged(request, "webp", source):
        return answer
    draw = partial(_film, services, job, kept, query)
    return await HEAVY_POOL.run(request, lambda: conditional(request, "webp", source, draw))


def _frames(services: Services, ref: str, query: FilmQuery) -> tuple[StoredJob, Kept]:
    """Return the job and the networks of the film.

    Raises:
        NotTrainedYet: there is none yet but the one before training.
        StartUnknown: that one is to be subtracted, and can't be made again.

    """
    job, kept = services.models.kept_networks(ref)
    if len(kept) < 2:
        raise NotTrainedYet(job.id, job.state, ended=job.state in FINAL)
    try:
        check_start(job)
    except StartUnknown:
        if query.minus:
            raise
        return job, {epoch: it for epoch, it in kept.items() if epoch != START}
    return job, kept


def _film(services: Services, job: StoredJob, kept: Kept, query: FilmQuery) -> bytes:
    frames = list(_drawn_weights(services, job, kept, query))
    if not frames:  # it has just been deleted
        raise JobNotFound(job.id)
    (n, height, width), is_output = frames[0].templates.shape, query.layer > len(job.spec["hidden"])
    longer = max(height, width)
    side = longer * max(1, min(MATRIX_PIXELS, math.isqrt(MAX_PIXELS // len(frames))) // longer)
    if has_templates(job.manifest, query.layer):
        side = query.tile * job.manifest.channels
    check_size(n * len(frames), side)
    scale: Scale = query.scale or ("shared" if is_output else "each")
    grid = arranged(frames[0].templates, side)
    return film.draw(frames, grid, seconds=query.seconds, scale=scale, theme=query.theme)


def _drawn_weights(
    services: Services, job: StoredJob, kept: Kept, query: FilmQuery
) -> Iterator[Frame]:
    """Yield the templates of each network; one that a better one has just replaced is left out."""
    start = None
    for epoch, snapshot in kept.items():
        try:
            network = services.models.read(job, snapshot.file).network
        except FileNotFoundError:
            continue
        drawn = chosen_units(network, query.layer, query.offset, query.units)
        W = network.weights[query.layer - 1][:, drawn]
        if (count := W.size * len(kept)) > MAX_WEIGHTS:
            raise HTTPException(422, f"{count:,} weights are too many for a film: lower ?units.")
        if query.minus:
            start = W if start is None else start
            W = W - start
        if has_templates(job.manifest, query.layer):
            yield Frame(f"epoch {epoch}", templates_of(W, job.manifest))
        else:
            yield Frame(f"epoch {epoch}", np.ascontiguousarray(W.T)[np.newaxis])
