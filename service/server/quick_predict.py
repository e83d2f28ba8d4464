"""Answers the most frequent prediction, one digit in MNIST's form, without the web framework."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api import plain_pixels, predict_input, prediction_responses
from service.api.dependencies import Services
from service.api.predict import route_of
from service.api.predict_route import answers_with_array
from service.domain.principal import Principal
from service.inference.loaded_model import LoadedModel
from service.inference.predict import Images, Options, PredictedBatch
from service.inference.predict_together import predict_together
from service.server.admission import Replay
from service.store.datasets import DatasetStore

MAX_BODY_BYTES = 10_000
MAX_MODEL_BYTES = 4 * 1024**2
"""Largest network that is answered here: its products take half a millisecond."""
HEADERS = {b"content-type": "content-type", b"accept": "accept"}
MOST_TOGETHER = 32
"""Requests that wait for each other at most."""
OWNERS = 100
"""Number of owners for whom a restricted view of the services is cached; a view holds no data."""


@dataclass(slots=True)
class Task:
    """A prediction to make, and where to put it."""

    principal: Principal
    ref: str
    images: Images
    options: Options
    result: asyncio.Future[PredictedBatch | None]
    """None if it can't be made here."""


class QuickPredict:
    """Answers a prediction on the event loop if it needs no thread, query parameter or file.

    A thread, the framework or a full look-up of the job would each take as long as the prediction.
    This layer calls the same functions as the endpoint, and passes requests that take longer or
    fail on to it. It is pure ASGI, and comes after every layer that may refuse a request.
    """

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services
        self._seen_by_owner = lru_cache(OWNERS)(services.seen_by_owner)
        self._waiting: list[Task] = []
        self._seen_waiting = 0
        """How many were waiting when `_predict_all` last looked."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Of predictions, `Admission.begin` has read the bodies that are not large.
        body = (receive.message or {}).get("body", b"") if isinstance(receive, Replay) else b""
        small = 0 < len(body) <= MAX_BODY_BYTES and not scope["query_string"]
        if small and (answer := await self._answer(scope, body)):
            scope["route"] = route_of(scope["path"])  # as the framework's router would have done
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, body: bytes) -> Response | None:
        headers = _chosen_headers(scope)
        try:
            found = _read(headers, body, self._services.datasets)
            if found is None:
                return None
            images, options = found
            batch = await self._predicted(scope, images, options)
            if batch is None:
                return None
            as_array = answers_with_array(scope["path"])
            return prediction_responses.response(batch, options, headers, as_array=as_array)
        except Exception:  # the endpoint meets the same error, and describes it
            return None

    async def _predicted(
        self, scope: Scope, images: Images, options: Options
    ) -> PredictedBatch | None:
        """Return the predictions, computed together with those of other requests."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._predict_all)
        ref = scope["path"].split("/")[3]
        task = Task(scope["state"]["principal"], ref, images, options, loop.create_future())
        self._waiting.append(task)
        return await task.result

    def _predict_all(self) -> None:
        """Predict for all requests that wait, as soon as a turn of the loop brings no further one.

        The forward passes displace all other code and data from the processor's caches. Reading all
        requests, then predicting for all, then answering all takes two thirds of the time. The
        requests also share the look-up of their model: none gets one older than itself.
        """
        if self._seen_waiting < len(self._waiting) < MOST_TOGETHER:
            self._seen_waiting = len(self._waiting)
            asyncio.get_running_loop().call_soon(self._predict_all)
            return
        waiting, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
        self._seen_waiting = 0
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._predict_all)
        for model, tasks in self._by_model(waiting):
            _predict(model, tasks)

    def _by_model(self, tasks: list[Task]) -> Iterable[tuple[LoadedModel, list[Task]]]:
        """Return the requests of each model; those whose model is not in memory get None."""
        found: dict[tuple[str | None, bool, str], LoadedModel] = {}
        groups: dict[str, tuple[LoadedModel, list[Task]]] = {}
        for task in tasks:
            if task.result.done():  # its client has left
                continue
            asked = (task.principal.models_owner, task.principal.sees_everything, task.ref)
            # What was not found is looked up again: the database may just have been busy.
            model = found.get(asked) or self._model(*asked)
            if model is None:
                task.result.set_result(None)
            else:
                found[asked] = model
                groups.setdefault(model.checkpoint.key, (model, []))[1].append(task)
        return groups.values()

    def _model(self, owner: str | None, everything: bool, ref: str) -> LoadedModel | None:
        """Return the model if it is small and in memory; else the endpoint finds or loads it."""
        model = self._seen_by_owner(owner, everything).models.cached(ref)
        return model if model and model.nbytes <= MAX_MODEL_BYTES else None


def _predict(model: LoadedModel, tasks: list[Task]) -> None:
    """Give each request its predictions, or None."""
    try:
        batches = predict_together(model, [(task.images, task.options) for task in tasks])
    except Exception:  # the endpoint meets the same error, and describes it
        batches = [None] * len(tasks)
    for task, batch in zip(tasks, batches, strict=True):
        task.result.set_result(batch)


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
