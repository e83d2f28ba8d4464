"""Ask a network about digit images: the endpoint, and its answers."""

import io
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import numpy as np
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Query, Request, Response
from pydantic_core import to_json
from starlette.datastructures import Headers

from mlp_client.predictions import Prediction, Predictions
from mlp_core import Network, predict_probabilities, scaled
from service.api import predict_input, problem_responses
from service.api.dependencies import Services, ServicesDep
from service.api.predict_input import NPY, Normalize, Options, Question, is_large
from service.api.weights import Ref
from service.domain.errors import NetworkDiverged
from service.inference import predict as inference
from service.inference.image_normalization import BadImage, Normalized
from service.inference.model_cache import LoadedModel
from service.inference.predict import Sight

MAX_BODY_BYTES = 10 * 1024**2
MANY_IMAGES = 64
"""More can take a large network as long as a thousand requests with one."""
THREADS = CapacityLimiter(1)
"""The interpreter runs one at a time anyway; the event loop would wait behind several."""
LARGE_THREADS = CapacityLimiter(1)
"""Requests that may take seconds wait for each other, never the short ones for them."""
BLOCK = 500
"""Images asked about together; as floats they fit into the processor's cache."""
ROWS = {
    "description": "What the network says. With `Accept: application/x-npy`: float32 (n, 10), "
    "for each image the probabilities of the digits 0 to 9, or NaN if it can't be read; the "
    "headers `Model`, `Epochs-Done` and `Checkpoint-Sha256` name the network.",
    "content": {NPY: predict_input.IMAGE_SCHEMA},
}


router = APIRouter(prefix="/v1/models", tags=["models"])


@router.post(
    "/{ref}/predict",
    name="predict",
    openapi_extra={"requestBody": predict_input.REQUEST_BODY},
    max_body_size=MAX_BODY_BYTES,
    response_model=Predictions,
    responses={200: ROWS},
)
async def predict(
    services: ServicesDep,
    request: Request,
    ref: Ref,
    top_k: Annotated[int, Query(ge=1, le=10)] = 3,
    normalize: Normalize = "auto",
    return_pixels: bool = False,
) -> Response:
    """Say which digits the images show.

    The body is one image file, several as multipart fields `image`, an `.npy` array (uint8 0-255 or
    float 0-1; one image or a batch), the bare bytes of 28x28 pixels (0-255, one image after the
    other, as application/octet-stream), or JSON, whose fields come before the query parameters of
    their names. One bad image alone is an error; among several it has its own `problem`.
    """
    media_type = predict_input.media_type(request.headers)
    options = Options(top_k, normalize, return_pixels)
    predict_input.check_type(media_type)
    if media_type == "multipart/form-data":
        files = await predict_input.uploads(request)
        images, read = len(files), partial(Question, files, options)
    else:
        body = await request.body()
        images = predict_input.most_images(media_type, body)
        read = partial(predict_input.read, media_type, body, options, services.datasets)
    ask = partial(_ask, services, ref, read, wants_rows(request.headers))
    many = is_large(request.headers) or images > MANY_IMAGES
    return await to_thread.run_sync(ask, limiter=LARGE_THREADS if many else THREADS)


def wants_rows(headers: Headers) -> bool:
    accepted = headers.get("accept", "").lower().split(",")
    return NPY in (each.split(";")[0].strip() for each in accepted)


def _ask(services: Services, ref: str, read: Callable[[], Question], as_rows: bool) -> Response:
    question = read()
    trained = services.networks.get(ref)
    return answer(trained, inference.see(question), question.options, as_rows)


# --- The answer -----------------------------------------------------------------------------------


def answer(trained: LoadedModel, seen: Sight, asked: Options, as_rows: bool) -> Response:
    """Return what the network says, as JSON or as rows of probabilities.

    Raises:
        NetworkDiverged: it says nothing finite.

    """
    probabilities, saved = _probabilities(trained.network, seen.pixels), trained.saved
    if not np.isfinite(probabilities).all():
        raise NetworkDiverged(trained.job)
    if as_rows:
        names = {
            "Model": trained.job,
            "Epochs-Done": str(saved.epochs_done),
            "Checkpoint-Sha256": saved.sha256,
        }
        return Response(_rows(probabilities, seen), headers=names, media_type=NPY)
    # Written as `Predictions` would be; to make and check ten thousand records takes longer.
    told = {
        "object": "predictions",
        "model": trained.job,
        "epochs_done": saved.epochs_done,
        "checkpoint_sha256": saved.sha256,
        "predictions": _predictions(probabilities, seen, asked),
    }
    return Response(to_json(told), media_type="application/json")


def _probabilities(network: Network, pixels: np.ndarray) -> np.ndarray:
    rows = pixels.reshape(len(pixels), -1)
    with np.errstate(over="ignore", invalid="ignore"):
        parts = [
            predict_probabilities(network, scaled(rows[at : at + BLOCK]))
            for at in range(0, len(rows), BLOCK)
        ]
    return np.concatenate(parts)


def _rows(probabilities: np.ndarray, seen: Sight) -> bytes:
    probabilities[seen.bad] = np.nan
    file = io.BytesIO()
    np.save(file, probabilities)
    return file.getvalue()


def _predictions(probabilities: np.ndarray, seen: Sight, asked: Options) -> list[dict[str, Any]]:
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, : asked.top_k]
    chances = probabilities[np.arange(len(best))[:, np.newaxis], best]
    rows = zip(best.tolist(), chances.tolist(), seen.boxes.tolist(), strict=True)
    found = [_prediction(*row) for row in rows]
    for number, other in seen.others.items():
        if isinstance(other, BadImage):
            problem = Prediction(problem=problem_responses.of(other))
            found[number] = problem.model_dump(exclude_none=True)
        else:
            found[number] |= {"input": _input(other), "warnings": other.warnings}
    if asked.return_pixels:
        for prediction, pixels in zip(found, seen.pixels, strict=True):
            if "input" in prediction:
                prediction["input"]["pixels"] = pixels.tolist()
    return found


def _prediction(labels: list[int], chances: list[float], box: list[int]) -> dict[str, Any]:
    pairs = zip(labels, chances, strict=True)
    return {
        "label": labels[0],
        "probability": chances[0],
        "top_k": [{"label": label, "probability": chance} for label, chance in pairs],
        "input": {"normalized": False, "inverted": False, "box": box},
        "warnings": [],
    }


def _input(seen: Normalized) -> dict[str, Any]:
    report = seen.report
    return {
        "normalized": not report.unchanged,
        "inverted": report.inverted,
        "box": report.box,
    }
