"""The endpoint for predictions."""

import traceback
from typing import Annotated, cast

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from pydantic import Field

from mlp_client.predictions import Predictions
from service.api import (
    form_input,
    pixel_input,
    predict_input,
    predict_route,
    prediction_responses,
)
from service.api.content_negotiation import OCTETS
from service.api.dependencies import Services, ServicesDep
from service.api.expected_input import Expected
from service.api.predict_schema import (
    BINARY,
    DESCRIPTIONS,
    FORM,
    MAX_CLASSES,
    NPY,
    REQUEST_BODY,
    ClassLabel,
    ReturnList,
    Share,
)
from service.api.prediction_options import check_options
from service.api.validation import QueryParameters
from service.api.weights import Ref
from service.domain.errors import BadImage, NotCalibrated
from service.inference import predict as inference
from service.inference.input_batch import Images, Normalize
from service.inference.loaded_model import LoadedModel
from service.inference.predict import Options, PredictedBatch

MAX_BODY_BYTES = 28 * 1024**2
"""A picture of 20 MB in base64, or in a form."""
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
    calibrated: bool = Field(False, description=DESCRIPTIONS["calibrated"])
    dtype: pixel_input.DtypeName | None = Field(
        None,
        description="NumPy's name for the type of raw numbers in the body, such as `float32` or "
        "`>i4` (big-endian); `uint8` if only `shape` is given.",
    )
    shape: pixel_input.ShapeText | None = Field(
        None,
        description="The shape of raw numbers in the body, of one picture or of all: `28,28,3` is "
        "RGB. By default each picture has the shape of the network's data set, such as 28x28.",
    )


class PredictQuery(ArrayQuery):
    top_k: int = Field(3, ge=1, le=MAX_CLASSES, description=DESCRIPTIONS["top_k"])
    return_pixels: bool = Field(False, description=DESCRIPTIONS["return_pixels"])
    return_: ReturnList = Field([], alias="return", description=DESCRIPTIONS["return"])
    for_: ClassLabel | None = Field(None, alias="for", description=DESCRIPTIONS["for"])
    against: ClassLabel | None = Field(None, description=DESCRIPTIONS["against"])
    abstain_below: Share | None = Field(None, description=DESCRIPTIONS["abstain_below"])


@router.post(
    predict_route.PATH,
    name="predict",
    openapi_extra={"requestBody": REQUEST_BODY},
    max_body_size=MAX_BODY_BYTES,
    response_model=Predictions,
    summary="Predict classes",
)
async def predict(
    services: ServicesDep,
    request: Request,
    ref: Ref,
    query: Annotated[PredictQuery, Query()],
) -> Response:
    """Predict which class each image belongs to: of MNIST, which digit it shows.

    The body is one image file; several files in a multipart form, in fields of any name; an `.npy`
    or `.npz` array, or CSV (0-255 or 0-1, one image or a batch); the raw pixels of images of the
    size of the network's data set, such as 28x28 (0-255, one image after the other, as
    application/octet-stream; `dtype` and `shape` declare others); or JSON. Networks that were
    trained on a table read `features` in JSON, CSV with or without names, and arrays of numbers in
    the order of its columns. If the media type is missing or general, the first bytes of the body
    decide. Options in a JSON body or a form take precedence over the query parameters of the same
    names. If the only image can't be read, the answer is an error; among several, each image that
    can't be read has a `problem` of its own.

    `return` asks for the reasons, too. `votes` and `contributions` take apart the difference of the
    logits of two classes, `for` and its rival: by units of the last hidden layer, and by pixels.
    """
    options = Options(
        query.top_k,
        query.normalize,
        query.return_pixels,
        query.return_,
        query.for_,
        query.against,
        query.abstain_below,
        query.calibrated,
    )
    return await _answer(services, request, ref, query, options, as_array=False)


@router.post(
    predict_route.ARRAY_PATH,
    name="predict_array",
    openapi_extra={"requestBody": REQUEST_BODY},
    max_body_size=MAX_BODY_BYTES,
    response_class=Response,
    responses={200: {"content": {NPY: BINARY, OCTETS: BINARY}}},
    summary="Predict classes as an array",
)
async def predict_array(
    services: ServicesDep,
    request: Request,
    ref: Ref,
    query: Annotated[ArrayQuery, Query()],
) -> Response:
    """Predict the probability of each class, for the same bodies as `predict`.

    The answer is an `.npy` file: a float32 array (n, classes) with the probabilities of all classes
    for each image, or NaN for an image among several that can't be read. The header `Classes` names
    them.
    """
    options = Options(normalize=query.normalize, calibrated=query.calibrated)
    return await _answer(services, request, ref, query, options, as_array=True)


async def _answer(
    services: Services,
    request: Request,
    ref: str,
    query: ArrayQuery,
    options: Options,
    *,
    as_array: bool,
) -> Response:
    media_type, headers = predict_input.media_type(request.headers), request.headers
    predict_input.check_type(media_type)
    parts, body = await _sent(request, media_type)
    model = await _model(services, ref)
    expected = Expected.of(model.manifest, options.normalize)
    count = len(parts)
    if media_type != FORM:
        media_type = predict_input.actual_type(media_type, body, expected)
        count = predict_input.count_at_most(media_type, body, expected)

    def answer() -> Response:
        if media_type == FORM:
            images, chosen = predict_input.read_form(parts, options, expected)
        else:
            parsed, datasets = predict_input.parse(media_type, body), services.datasets
            images, chosen = predict_input.read(
                media_type, parsed, options, datasets, query.dtype, query.shape, expected
            )
        check_options(options, chosen, model.manifest)
        asked = _tempered(services, ref, model) if chosen.calibrated else model
        batch = _predicted(asked, images, chosen)
        return prediction_responses.response(batch, chosen, headers, as_array=as_array)

    many = predict_input.is_large(headers) or count > MANY_IMAGES
    try:
        return await to_thread.run_sync(answer, limiter=LARGE_THREADS if many else THREADS)
    except Exception as exc:
        body, parts = b"", []
        _clear_frames(exc)
        raise


async def _sent(request: Request, media_type: str) -> tuple[list[form_input.Part], bytes]:
    """Return the parts of a form, or the body of any other request."""
    if media_type == FORM:
        return await form_input.parts_of(request), b""
    return [], await request.body()


async def _model(services: Services, ref: str) -> LoadedModel:
    """Return the model, which says how the body is to be read."""
    if cached := await services.models.find_cached(ref):
        return cached
    return await run_in_threadpool(services.models.get, ref)


def _tempered(services: Services, ref: str, model: LoadedModel) -> LoadedModel:
    """Return the network with the temperature that was fitted for it.

    Raises:
        NotCalibrated: there is none.

    """
    found = services.temperatures.find(model.job, model.checkpoint.sha256)
    if found is None:
        raise NotCalibrated(ref)
    return model.with_temperature(found)


def _predicted(model: LoadedModel, images: Images, options: Options) -> PredictedBatch:
    try:
        return inference.predict(model, images, options)
    except BadImage as exc:  # about the only image
        raise exc.at(options.place(0)) from None


def _clear_frames(exc: BaseException | None) -> None:
    """Clear the local variables of all functions that an error, or one before it, has passed.

    They hold the body and the pictures, and often the error itself: such a cycle would keep tens of
    megabytes until the garbage is collected.
    """
    while exc is not None:
        traceback.clear_frames(exc.__traceback__)
        exc = exc.__context__


ROUTES = {cast(APIRoute, route).path: cast(APIRoute, route) for route in router.routes}


def route_of(path: str) -> APIRoute:
    """Return the route under which metrics count a prediction, also on the quick path."""
    is_array = predict_route.answers_with_array(path)
    template = predict_route.ARRAY_PATH if is_array else predict_route.PATH
    return ROUTES[predict_route.PREFIX + template]
