"""Answers the most frequent prediction, one digit in MNIST's form, without the web framework."""

from functools import lru_cache

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import predict_input, prediction_responses
from service.api.dependencies import Services
from service.api.predict import route_of
from service.api.predict_route import answers_with_array, is_prediction
from service.inference.predict import Options, predict
from service.server.admission import replay

MAX_LENGTH_DIGITS = 4
"""Most digits of Content-Length, so that a body has 9999 bytes at most."""
MAX_MODEL_BYTES = 4 * 1024**2
"""Largest network that is answered here: its products take half a millisecond."""
OWNERS = 100
"""Number of owners for whom a restricted view of the services is cached; a view holds no data."""


class QuickPredict:
    """Answers a prediction on the event loop if it needs no thread, query parameter or file.

    A thread, the framework or a full look-up of the job would each take as long as the prediction.
    This layer calls the same functions as the endpoint, and passes requests that take longer or
    fail on to it. It is pure ASGI, and comes after every layer that may refuse a request.
    """

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._seen_by_owner = lru_cache(OWNERS)(services.seen_by_owner)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _is_small_prediction(scope):
            await self._app(scope, receive, send)
            return
        message = await receive()
        if answer := self._answer(scope, message):
            scope["route"] = route_of(scope["path"])  # as the framework's router would have done
            await answer(scope, receive, send)
        else:
            await self._app(scope, replay(message, receive), send)

    def _answer(self, scope: Scope, message: Message) -> Response | None:
        headers, principal = Headers(scope=scope), scope["state"]["principal"]
        services = self._seen_by_owner(principal.models_owner, principal.sees_everything)
        model = services.models.cached(scope["path"].split("/")[3])
        if message.get("more_body") or model is None or model.nbytes > MAX_MODEL_BYTES:
            return None
        body, options = message.get("body", b""), Options()
        media_type = predict_input.actual_type(predict_input.media_type(headers), body)
        try:
            parsed = predict_input.parse(media_type, body)
            if not predict_input.is_quick(media_type, parsed):
                return None
            images, options = predict_input.read(media_type, parsed, options, services.datasets)
            batch = predict(model, images, options, quick=True)
            as_array = answers_with_array(scope["path"])
            return prediction_responses.response(batch, options, headers, as_array=as_array)
        except Exception:  # the endpoint meets the same error, and describes it
            return None


def _is_small_prediction(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["query_string"]:
        return False
    length = dict(scope["headers"]).get(b"content-length", b"")
    small = length.isdigit() and len(length) <= MAX_LENGTH_DIGITS
    return small and is_prediction(scope["method"], scope["path"])
