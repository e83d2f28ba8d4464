"""Answers the most frequent prediction, one digit in MNIST's form, without the web framework."""

from functools import lru_cache

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import predict_input, prediction_responses
from service.api.dependencies import Services
from service.api.predict import ROUTE
from service.inference.predict import Options, predict

MAX_LENGTH_DIGITS = 4
"""Digits of Content-Length: bodies of up to 9999 bytes."""
MAX_MODEL_BYTES = 4 * 1024**2
"""Parameters of this size are multiplied in half a millisecond."""
OWNERS = 100
"""Owners whose restricted services are kept; each only knows what to ask the database for."""


class QuickPredict:
    """Answers on the event loop what needs no thread, no query parameter and no file.

    A thread, the framework or a full look-up of the job would each take as long as the prediction.
    It calls the functions of the endpoint, and leaves to it what takes longer or fails. Pure ASGI
    middleware, inside everything that refuses requests.
    """

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._seen_by_owner = lru_cache(OWNERS)(services.seen_by_owner)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _is_small_prediction(scope):
            await self._app(scope, receive, send)
            return
        first = await receive()
        if answer := self._answer(scope, first):
            scope["route"] = ROUTE  # as the framework's router would have done
            await answer(scope, receive, send)
            return
        waiting = [first]

        async def replay() -> Message:
            return waiting.pop() if waiting else await receive()

        await self._app(scope, replay, send)

    def _answer(self, scope: Scope, message: Message) -> Response | None:
        headers, principal = Headers(scope=scope), scope["state"]["principal"]
        media_type, options = predict_input.media_type(headers), Options()
        services = self._seen_by_owner(principal.owner, principal.sees_everything)
        model = services.models.cached(scope["path"].split("/")[3])
        if message.get("more_body") or model is None or model.nbytes > MAX_MODEL_BYTES:
            return None
        try:
            parsed = predict_input.parse(media_type, message.get("body", b""))
            if not predict_input.is_quick(media_type, parsed):
                return None
            images, options = predict_input.read(media_type, parsed, options, services.datasets)
            return prediction_responses.response(
                predict(model, images, options, quick=True), options, headers
            )
        except Exception:  # the endpoint will meet it too, and describe it
            return None


def _is_small_prediction(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "POST" or scope["query_string"]:
        return False
    length = dict(scope["headers"]).get(b"content-length", b"")
    small = length.isdigit() and len(length) <= MAX_LENGTH_DIGITS
    return small and ROUTE.path_regex.fullmatch(scope["path"]) is not None
