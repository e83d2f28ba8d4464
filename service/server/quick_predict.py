"""Answers the most frequent predictions, of digits in MNIST's form, without the web framework."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api import plain_pixels, predict_input, prediction_responses
from service.api.dependencies import Services
from service.api.predict import route_of
from service.api.predict_route import answers_with_array
from service.api.prediction_options import check_options
from service.domain.dataset_manifest import InputForm
from service.domain.principal import Principal
from service.inference.input_batch import Images
from service.inference.loaded_model import LoadedModel
from service.inference.predict import Options, PredictedBatch
from service.inference.predict_together import predict_together
from service.server.admission import Replay
from service.store.datasets import DatasetStore

MAX_BODY_BYTES = 10_000
"""Largest body that is read here: twelve digits as raw pixels, or one as JSON."""
MAX_MODEL_BYTES = 4 * 1024**2
"""Largest network that is answered here: its products take half a millisecond."""
HEADERS = {b"content-type": "content-type", b"accept": "accept"}
MOST_TOGETHER = 32
"""The most requests that are answered together; this many wait for no further ones."""
PATIENCE_SECONDS = 0.002
"""How long requests wait for further ones. A turn of the loop can take longer than that if it is
busy with something else, which would delay them twice."""
OWNERS = 100
"""Number of owners for whom a restricted view of the services is cached; a view holds no data."""
KNOWN_MODELS = 1000
"""Number of references that are remembered because they name a model that is answered here."""

Asked = tuple[str | None, bool, str]
"""Whose models a client may use, whether these are everybody's, and the model that it names."""


@dataclass(slots=True)
class Waiting:
    """A request that waits for its predictions."""

    asked: Asked
    images: Images
    options: Options
    result: asyncio.Future[PredictedBatch | None]
    """None if they can't be made here."""


class QuickPredict:
    """Answers a prediction on the event loop if it needs no thread, query parameter or file.

    A thread, the framework or a full look-up of the job would each take as long as the prediction.
    This layer calls the same functions as the endpoint, and passes requests that take longer or
    fail on to it. It is pure ASGI, and comes after every layer that may refuse a request.
    """

    def __init__(self, app: ASGIApp, services: Services, *, finds_at_once: bool = True) -> None:
        """Create it.

        Args:
            app: answers everything else.
            services: the models of everybody.
            finds_at_once: whether the database is a file, in which a model is found at once.

        """
        self._app = app
        self._services = services
        self._finds_at_once = finds_at_once
        self._looking_up: asyncio.Task[None] | None = None
        self._seen_by_owner = lru_cache(OWNERS)(services.seen_by_owner)
        self._known: set[Asked] = set()
        """What named a model that is answered here; for anything else, no body is read in vain."""
        self._waiting: list[Waiting] = []
        self._seen_waiting = 0
        """How many were waiting when `_predict_all` last looked."""
        self._waiting_since = 0.0
        """When the first of them began to wait, by the loop's clock."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Only `Admission.begin` makes a Replay, and only for predictions with small bodies.
        body = (receive.message or {}).get("body", b"") if isinstance(receive, Replay) else b""
        small = 0 < len(body) <= MAX_BODY_BYTES and not scope["query_string"]
        if small and (answer := await self._answer(scope, body)):
            scope["route"] = route_of(scope["path"])  # as the framework's router would have done
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, body: bytes) -> Response | None:
        asked = _asked(scope)
        if asked not in self._known and await self._find_model(asked) is None:
            return None
        headers = _chosen_headers(scope)
        try:
            found = _read(headers, body, self._services.datasets)
            batch = await self._predicted(asked, *found) if found else None
            if found is None or batch is None:
                return None
            check_options(Options(), found[1], batch.model.manifest)
            as_array = answers_with_array(scope["path"])
            return prediction_responses.response(batch, found[1], headers, as_array=as_array)
        except Exception:  # the endpoint meets the same error, and describes it
            return None

    async def _predicted(
        self, asked: Asked, images: Images, options: Options
    ) -> PredictedBatch | None:
        """Return the predictions, computed together with those of other requests."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            self._waiting_since = loop.time()
            loop.call_soon(self._predict_all)
        request = Waiting(asked, images, options, loop.create_future())
        self._waiting.append(request)
        return await request.result

    def _predict_all(self) -> None:
        """Predict for all requests that wait, unless further ones may come in the next turn.

        The forward passes displace all other code and data from the processor's caches. Reading all
        requests, then predicting for all, then answering all takes two thirds of the time. The
        requests share the look-up of their model. It comes after all of them have arrived, so no
        request is answered with a model that was replaced before it arrived. A server answers the
        look-up a little later, and what arrives meanwhile waits for the next one.
        """
        if self._looking_up:
            return
        if self._further_may_come():
            self._seen_waiting = len(self._waiting)
            asyncio.get_running_loop().call_soon(self._predict_all)
            return
        waiting, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
        self._seen_waiting = 0
        if not self._finds_at_once:
            self._looking_up = asyncio.create_task(self._look_up_and_predict(waiting))
            return
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._predict_all)
        for model, requests in _by_model(waiting, self._model):
            _predict(model, requests)

    async def _look_up_and_predict(self, waiting: list[Waiting]) -> None:
        asked = list({request.asked for request in waiting})
        try:
            found = await asyncio.gather(*map(self._find_model, asked))
            for model, requests in _by_model(waiting, dict(zip(asked, found, strict=True)).get):
                _predict(model, requests)
        finally:
            self._looking_up = None
            if self._waiting:
                asyncio.get_running_loop().call_soon(self._predict_all)

    def _further_may_come(self) -> bool:
        """Return whether to wait for one more turn: not with one request, nor if turns are long."""
        if not 1 < len(self._waiting) < MOST_TOGETHER or len(self._waiting) == self._seen_waiting:
            return False
        return asyncio.get_running_loop().time() - self._waiting_since < PATIENCE_SECONDS

    def _model(self, asked: Asked) -> LoadedModel | None:
        """Return the model if it is in memory and is answered here; else the endpoint finds it."""
        owner, everything, ref = asked
        try:
            model = self._seen_by_owner(owner, everything).models.cached(ref)
        except Exception:  # the endpoint meets the same error, and describes it
            return None
        return self._noted(asked, model)

    async def _find_model(self, asked: Asked) -> LoadedModel | None:
        """Return what `_model` does, also if the database is a server."""
        if self._finds_at_once:
            return self._model(asked)
        owner, everything, ref = asked
        try:
            model = await self._seen_by_owner(owner, everything).models.find_cached(ref)
        except Exception:  # the endpoint meets the same error, and describes it
            return None
        return self._noted(asked, model)

    def _noted(self, asked: Asked, model: LoadedModel | None) -> LoadedModel | None:
        """Return a model that is answered here, and note for which requests one is."""
        if model is None or not _is_answered_here(model):
            self._known.discard(asked)
            return None
        if len(self._known) >= KNOWN_MODELS:
            self._known.clear()
        self._known.add(asked)
        return model


def _by_model(
    waiting: list[Waiting], look_up: Callable[[Asked], LoadedModel | None]
) -> Iterable[tuple[LoadedModel, list[Waiting]]]:
    """Return the requests of each model; those whose model is not in memory get None."""
    found: dict[Asked, LoadedModel] = {}
    groups: dict[str, tuple[LoadedModel, list[Waiting]]] = {}
    for request in waiting:
        if request.result.done():  # it was cancelled, because its client has left
            continue
        # What was not found is looked up again: the database may just have been busy.
        model = found.get(request.asked) or look_up(request.asked)
        if model is None:
            request.result.set_result(None)
        else:
            found[request.asked] = model
            groups.setdefault(model.checkpoint.key, (model, []))[1].append(request)
    return groups.values()


def _is_answered_here(model: LoadedModel) -> bool:
    """Return whether a model is small, and its inputs are digits in MNIST's form."""
    return model.nbytes <= MAX_MODEL_BYTES and model.manifest.input is InputForm.DIGIT


def _asked(scope: Scope) -> Asked:
    principal: Principal = scope["state"]["principal"]
    return principal.models_owner, principal.sees_everything, scope["path"].split("/")[3]


def _predict(model: LoadedModel, requests: list[Waiting]) -> None:
    """Give each request its predictions, or None."""
    try:
        batches = predict_together(model, [(each.images, each.options) for each in requests])
    except Exception:  # the endpoint meets the same error, and describes it
        batches = [None] * len(requests)
    for request, batch in zip(requests, batches, strict=True):
        request.result.set_result(batch)


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
