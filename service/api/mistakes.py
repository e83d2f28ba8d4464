"""Lists the images that a network misreads, also in comparison with another network."""

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from numpy.typing import NDArray
from pydantic import Field

from mlp_client.evaluations import Mistakes
from service.api.conditional import conditional, unchanged
from service.api.dependencies import Services, ServicesDep
from service.api.evaluation import Evaluated, SplitQuery, evaluated
from service.api.heavy_answers import HEAVY_POOL
from service.api.network_headers import name_network
from service.api.openapi import NOT_MODIFIED
from service.api.weights import Ref, newest
from service.inference.evaluate import Evaluation

router = APIRouter(prefix="/v1/models", tags=["models"])


class MistakesQuery(SplitQuery):
    label: int | None = Field(None, ge=0, le=255, description="Only images of this class.")
    predicted: int | None = Field(
        None, ge=0, le=255, description="Only images that the network reads as this class."
    )
    unlike: str | None = Field(
        None,
        max_length=64,
        description="Another network, as a job's id or `latest`, perhaps with `@`: only images "
        "that the other network reads.",
    )
    limit: int = Field(60, ge=1, le=400, description="Maximum number of mistakes.")
    after: int | None = Field(
        None, ge=0, le=2**31, description="Only mistakes behind that of this index."
    )


@router.get(
    "/{ref}/mistakes",
    response_model=Mistakes,
    responses=NOT_MODIFIED,
    name="list_mistakes",
    summary="List the images that a network misreads",
)
async def list_mistakes(
    services: ServicesDep,
    request: Request,
    ref: Ref,
    query: Annotated[MistakesQuery, Query()],
) -> Response:
    """List the images that the network misreads, the surest mistakes first.

    With `unlike`, only those that another network reads; asked the other way round, those that only
    this one reads. To continue behind a page, send the index of its last mistake as `after`.
    """
    source = ("mistakes", *query.model_dump().values())
    checkpoint, cached = await newest(services, ref)
    other = await _other(services, query)
    if answer := unchanged(request, "json", (checkpoint, other, *source)):
        return answer

    def write() -> Response:
        model = cached or services.models.get(ref)
        asked = evaluated(services, model, query.dataset or model.dataset, query.split)
        rival = _rival(services, asked, query.unlike)
        checkpoints = (asked.model.checkpoint, rival.model.checkpoint if rival else None)
        made = conditional(
            request, "json", (*checkpoints, *source), lambda: _mistakes(asked, rival, query)
        )
        name_network(made, asked.model.checkpoint)
        return made

    return await HEAVY_POOL.run(request, write)


async def _other(services: Services, query: MistakesQuery) -> object:
    """Return the checkpoint of the network to compare with, if there is one."""
    if query.unlike is None:
        return None
    return await run_in_threadpool(services.models.newest_checkpoint, query.unlike)


def _rival(services: Services, asked: Evaluated, unlike: str | None) -> Evaluated | None:
    """Return what the other network says about the same images, whatever it was trained on."""
    if unlike is None:
        return None
    return evaluated(services, services.models.get(unlike), asked.dataset, asked.split)


def _mistakes(asked: Evaluated, rival: Evaluated | None, query: MistakesQuery) -> bytes:
    found = asked.found
    chosen = ~found.is_right
    if rival:
        chosen &= rival.found.is_right
    reverse = int((found.is_right & ~rival.found.is_right).sum()) if rival else None
    for wanted, labels in ((query.label, found.labels), (query.predicted, found.predicted)):
        if wanted is not None:
            chosen &= labels == wanted
    indices = _surest(np.flatnonzero(chosen), found)
    behind = _behind(indices, found, query.after)
    page = behind[: query.limit]
    answer = Mistakes.model_validate(
        asked.named()
        | {
            "data": [_mistake(found, rival, index) for index in page.tolist()],
            "total": len(indices),
            "reverse_total": reverse,
            "unlike": rival.named() if rival else None,
            "has_more": len(behind) > len(page),
        }
    )
    return answer.model_dump_json().encode()


def _surest(indices: NDArray[np.intp], found: Evaluation) -> NDArray[np.intp]:
    """Return the indices by falling probability of the wrong label; of equals the lowest first."""
    ordered: NDArray[np.intp] = indices[np.lexsort((indices, -found.probabilities[indices]))]
    return ordered


def _behind(indices: NDArray[np.intp], found: Evaluation, after: int | None) -> NDArray[np.intp]:
    """Return the indices behind one in the order of `_surest`, whether or not it is among them.

    Raises:
        HTTPException: there is no such image.

    """
    if after is None:
        return indices
    if after >= len(found.labels):
        raise HTTPException(422, f"?after must be below {len(found.labels)}, the number of images.")
    sureness, last = found.probabilities[indices], found.probabilities[after]
    behind: NDArray[np.intp] = indices[(sureness < last) | ((sureness == last) & (indices > after))]
    return behind


def _mistake(found: Evaluation, rival: Evaluated | None, index: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "index": index,
        "label": int(found.labels[index]),
        "predicted": int(found.predicted[index]),
        "probability": float(found.probabilities[index]),
        "second": int(found.second[index]),
    }
    if rival:
        row["unlike"] = {
            "predicted": int(rival.found.predicted[index]),
            "probability": float(rival.found.probabilities[index]),
        }
    return row
