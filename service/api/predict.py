"""The endpoint for predictions."""

from typing import Annotated, cast

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import Field

from mlp_client.predictions import Predictions
from service.api import predict_input, predict_route, prediction_responses
from service.api.content_negotiation import OCTETS
from service.api.dependencies import Services, ServicesDep
from service.api.predict_schema import BINARY, DESCRIPTIONS, FORM, NPY, REQUEST_BODY
from service.api.validation import QueryParameters
from service.api.weights import Ref
from service.inference import predict as inference
from service.inference.predict import Images, Normalize, Options

MAX_BODY_BYTES = 10 * 1024**2
MANY_IMAGES = 64
"""Requests with more images count as large: with a large network, one of them can take as long as
a thousand requests with one image."""
THREADS = CapacityLimiter(1)
"""Small requests run one at a time: the interpreter runs only one thread at a time anyway, and the
event loop would wait behind several."""
LARGE_THREADS = CapacityLimiter(1)
"""Requests that may take seconds wait for each other, and short ones never wait for them."""

router = APIRouter(prefix=predict_route.PREFIX, tags=["models"])


class ArrayQuery(QueryParameters):
    normalize: Normalize = Field("auto", description=DESCRIPTIONS["normalize"])


class PredictQuery(QueryParameters):
    top_k: int = Field(3, ge=1, le=10, description=DESCRIPTIONS["top_k"])
    normalize: Normalize = Field("auto", description=DESCRIPTIONS["normalize"])
    return_pixels: bool = Field(False, description=DESCRIPTIONS["return_pixels"])


@router.post(
    predict_route.PATH,
    name="predict",
    openapi_extra={"requestBody": REQUEST_BODY},
    max_body_size=MAX_BODY_BYTES,
    response_model=Predictions,
    summary="Predict digits",
)
async def predict(
    services: ServicesDep,
    request: Request,
    ref: Ref,
    query: Annotated[PredictQuery, Query()],
) -> Response:
    """Predict which digit each image shows.

    The body is one image file; several files, as multipart fields named `image`; an `.npy` array
    (uint8 0-255 or float 0-1, one image or a batch); the raw pixels of 28x28 images (0-255, one
    image after the other, as application/octet-stream); or JSON. Options in a JSON body take
    precedence over the query parameters of the same names. If the only image can't be read, the
    answer is an error; among several, each image that can't be read has a `problem` of its own.
    """
    options = Options(query.top_k, query.normalize, query.return_pixels)
    return await _answer(services, request, ref, options, as_array=False)


@router.post(
    predict_route.ARRAY_PATH,
    name="predict_array",
    openapi_extra={"requestBody": REQUEST_BODY},
    max_body_size=MAX_BODY_BYTES,
    response_class=Response,
    responses={200: {"content": {NPY: BINARY, OCTETS: BINARY}}},
    summary="Predict digits as an array",
)
async def predict_array(
    services: ServicesDep,
    request: Request,
    ref: Ref,
    query: Annotated[ArrayQuery, Query()],
) -> Response:
    """Predict the probability of each digit, for the same bodies as `predict`.

    The answer is an `.npy` file: a float32 array (n, 10) with the probabilities of the digits 0 to
    9 for each image, or NaN for an image among several that can't be read.
    """
    options = Options(normalize=query.normalize)
    return await _answer(services, request, ref, options, as_array=True)


async def _answer(
    services: Services, request: Request, ref: str, options: Options, *, as_array: bool
) -> Response:
    media_type, headers = predict_input.media_type(request.headers), request.headers
    predict_input.check_type(media_type)
    if media_type == FORM:
        files = await predict_input.uploads(request)
        count, body = len(files), b""
    else:
        files, body = [], await request.body()
        count = predict_input.count_at_most(media_type, body)

    def answer() -> Response:
        images: Images = files
        chosen = options
        if media_type != FORM:
            parsed = predict_input.parse(media_type, body)
            images, chosen = predict_input.read(media_type, parsed, options, services.datasets)
        model = services.models.get(ref)
        batch = inference.predict(model, images, chosen)
        return prediction_responses.response(batch, chosen, headers, as_array=as_array)

    many = predict_input.is_large(headers) or count > MANY_IMAGES
    return await to_thread.run_sync(answer, limiter=LARGE_THREADS if many else THREADS)


ROUTES = {cast(APIRoute, route).path: cast(APIRoute, route) for route in router.routes}


def route_of(path: str) -> APIRoute:
    """Return the route under which metrics count a prediction, also on the quick path."""
    is_array = predict_route.answers_with_array(path)
    template = predict_route.ARRAY_PATH if is_array else predict_route.PATH
    return ROUTES[predict_route.PREFIX + template]
