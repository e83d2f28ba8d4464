"""What most ask for, one digit in MNIST's form, answered before the framework looks at it."""

import re
from functools import lru_cache

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import predict as endpoint
from service.api import predict_input
from service.api.dependencies import Services
from service.inference import predict

PATH = re.compile(r"/v1/models/([^/]+)/predict")
[ROUTE] = endpoint.router.routes
MOST_DIGITS = 4
"""Of Content-Length: a body of up to 9999 bytes."""
QUICK_NETWORK_BYTES = 4 * 1024**2
"""Of weights, multiplied in half a millisecond."""
OWNERS = 100
"""Whose views of the services are kept; a view holds nothing but what to ask the database for."""


class QuickPredict:
    """Answers a prediction that needs no thread and no parameters, by a glance at the database.

    Each of these takes as long as the prediction itself. The answer is the endpoint's; whatever is
    more to do, may have to wait or is wrong is left to it. Pure ASGI, behind all that refuses.
    """

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._seen_by_owner = lru_cache(OWNERS)(services.seen_by_owner)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ref = _ref(scope)
        if ref is None:
            await self._app(scope, receive, send)
            return
        first = await receive()
        if answer := self._answer(ref, scope, first):
            scope["route"] = ROUTE  # as the framework's router would have noted
            await answer(scope, receive, send)
            return
        waiting = [first]

        async def replay() -> Message:
            return waiting.pop() if waiting else await receive()

        await self._app(scope, replay, send)

    def _answer(self, ref: str, scope: Scope, message: Message) -> Response | None:
        headers, body = Headers(scope=scope), message.get("body", b"")
        media_type = predict_input.media_type(headers)
        if message.get("more_body"):
            return None
        principal = scope["state"]["principal"]
        services = self._seen_by_owner(principal.owner, principal.sees_everything)
        trained = services.networks.known(ref)
        if trained is None or trained.size > QUICK_NETWORK_BYTES:
            return None
        try:
            question = predict_input.read_quickly(media_type, body, services.datasets)
            seen = predict.see_at_once(question) if question else None
            if question is None or seen is None:
                return None
            as_rows = endpoint.wants_rows(headers)
            return endpoint.answer(trained, seen, question.options, as_rows)
        except Exception:  # the endpoint comes to it too, and then it is worded
            return None


def _ref(scope: Scope) -> str | None:
    """Return whom a request with a small body and no parameters asks."""
    if scope["type"] != "http" or scope["method"] != "POST" or scope["query_string"]:
        return None
    length = dict(scope["headers"]).get(b"content-length", b"")
    path = (
        PATH.fullmatch(scope["path"]) if length.isdigit() and len(length) <= MOST_DIGITS else None
    )
    return path and path[1]
