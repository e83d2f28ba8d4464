"""Answers the most frequent prediction, one digit in MNIST's form, without the web framework."""

import asyncio
from functools import lru_cache

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import plain_pixels, predict_input, prediction_responses
from service.api.dependencies import Services
from service.api.predict import route_of
from service.api.predict_route import answers_with_array, is_prediction
from service.domain.principal import Principal
from service.inference.loaded_model import LoadedModel
from service.inference.predict import Images, Options, PredictedBatch, predict
from service.server.admission import Replay
from service.store.datasets import DatasetStore

MAX_LENGTH_DIGITS = 4
"""Most digits of Content-Length, so that a body has 9999 bytes at most."""
MAX_MODEL_BYTES = 4 * 1024**2
"""Largest network that is answered here: its products take half a millisecond."""
HEADERS = {b"content-type": "content-type", b"accept": "accept"}
OWNERS = 100
"""Number of owners for whom a restricted view of the services is cached; a view holds no data."""


Task = tuple["asyncio.Future[PredictedBatch]", LoadedModel, Images, Options]
"""A prediction to make, and where to put it."""


class QuickPredict:
    """Answers a prediction on the event loop if it needs no thread, query parameter or file.

    A thread, the framework or a full look-up of the job would each take as long as the prediction.
    This layer calls the same functions as the endpoint, and passes requests that take longer or
    fail on to it. It is pure ASGI, and comes after every layer that may refuse a request.
    """

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._seen_by_owner = lru_cache(OWNERS)(services.seen_by_owner)
        self._found_now: dict[tuple[str | None, bool, str], LoadedModel] = {}
        """The models looked up in this turn of the event loop."""
        self._waiting: list[Task] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not isinstance(receive, Replay) or not _is_small_prediction(scope):
            await self._app(scope, receive, send)
        elif answer := await self._answer(scope, receive.message):
            scope["route"] = route_of(scope["path"])  # as the framework's router would have done
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, message: Message | None) -> Response | None:
        principal: Principal = scope["state"]["principal"]
        model = self._model(principal, scope["path"].split("/")[3])
        if not message or model is None or model.nbytes > MAX_MODEL_BYTES:
            return None
        headers, body = _chosen_headers(scope), message.get("body", b"")
        try:
            found = _read(headers, body, self._services(principal).datasets)
            if found is None:
                return None
            images, options = found
            batch = await self._predicted(model, images, options)
            as_array = answers_with_array(scope["path"])
            return prediction_responses.response(batch, options, headers, as_array=as_array)
        except Exception:  # the endpoint meets the same error, and describes it
            return None

    async def _predicted(
        self, model: LoadedModel, images: Images, options: Options
    ) -> PredictedBatch:
        """Return the predictions, computed together with those of other requests.

        The forward passes displace all other code and data from the processor's caches. One after
        the other, with nothing between them, they and everything else take two thirds of the time.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._predict_all)
        result: asyncio.Future[PredictedBatch] = loop.create_future()
        self._waiting.append((result, model, images, options))
        return await result

    def _predict_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        for result, model, images, options in waiting:
            if result.cancelled():
                continue
            try:
                result.set_result(predict(model, images, options, quick=True))
            except Exception as exc:
                result.set_exception(exc)

    def _services(self, principal: Principal) -> Services:
        return self._seen_by_owner(principal.models_owner, principal.sees_everything)

    def _model(self, principal: Principal, ref: str) -> LoadedModel | None:
        """Return the model if it is in memory; requests of one turn of the loop share a look-up.

        All of them had arrived before the turn began, so none gets a model older than itself.
        """
        key = (principal.models_owner, principal.sees_everything, ref)
        model = self._found_now.get(key)
        if model is None:
            model = self._services(principal).models.cached(ref)
            if model is not None:  # otherwise the database may just have been busy
                if not self._found_now:
                    asyncio.get_running_loop().call_soon(self._found_now.clear)
                self._found_now[key] = model
        return model


def _read(
    headers: dict[str, str], body: bytes, datasets: DatasetStore
) -> tuple[Images, Options] | None:
    """Return the images and options in a body; None if reading them may take long."""
    media_type = predict_input.actual_type(predict_input.media_type(headers), body)
    parsed = predict_input.parse(media_type, body)
    if (image := plain_pixels.image(parsed, body)) is not None:
        return [image], Options()
    if not predict_input.is_quick(media_type, parsed):
        return None
    return predict_input.read(media_type, parsed, Options(), datasets)


def _chosen_headers(scope: Scope) -> dict[str, str]:
    """Return the headers that a prediction depends on; of repeated ones the first."""
    found = {}
    for name, value in reversed(scope["headers"]):
        if name in HEADERS:
            found[HEADERS[name]] = value.decode("latin-1")
    return found


def _is_small_prediction(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["query_string"]:
        return False
    if not is_prediction(scope["method"], scope["path"]):
        return False
    length = dict(scope["headers"]).get(b"content-length", b"")
    return length.isdigit() and len(length) <= MAX_LENGTH_DIGITS
