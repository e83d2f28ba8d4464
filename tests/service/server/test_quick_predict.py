"""Predictions that are computed together are told apart."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import numpy as np
import pytest

from mlp_core import Network
from service.app import create_app
from service.domain.principal import Principal
from service.inference.loaded_model import LoadedModel
from service.inference.predict_together import predict_together
from service.server import quick_predict
from service.server.admission import Replay
from service.server.quick_predict import QuickPredict
from service.store.checkpoints import CheckpointRef
from service.store.stored_dataset import MNIST
from tests.service.conftest import World
from tests.service.server.test_stack import PREDICT
from tests.support.live_service import settings
from tests.support.shipped_files import shipped_file


def test_requests_of_the_same_turn_get_the_answers_that_they_would_get_alone(
    world: World, datasets_dir: Path
) -> None:
    """They alternate between two networks, and one has an image that must be refused."""
    path = shipped_file(datasets_dir, "test.images")
    bodies = [digit.tobytes() for digit in np.load(path)[:31]] + [bytes(784)]
    paths = [PREDICT, f"/v1/models/{world.deep}/predict"] * 16
    app = create_app(settings(world.data_dir, datasets_dir))
    transport = httpx2.ASGITransport(app)
    headers = {"Content-Type": "application/octet-stream"}

    async def ask() -> tuple[list[httpx2.Response], list[httpx2.Response]]:
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:

            def post(path: str, body: bytes) -> "asyncio.Future[httpx2.Response]":
                return asyncio.ensure_future(client.post(path, content=body, headers=headers))

            asked = list(zip(paths, bodies, strict=True))
            alone = [await post(*each) for each in asked]
            return alone, list(await asyncio.gather(*(post(*each) for each in asked)))

    alone, together = asyncio.run(ask())
    app.state.components.database.close()
    assert [answer.status_code for answer in together] == [200] * 31 + [422]
    for one, other in zip(alone[:31], together[:31], strict=True):
        assert one.json() == other.json()
    assert {answer.json()["model"] for answer in together[:31]} == {world.linear, world.deep}
    assert len({answer.headers["Request-Id"] for answer in (*alone, *together)}) == 64


# --- The layer alone, with models that are in memory already ---


class Models:
    """A cache that knows the models of one owner."""

    def __init__(self, **by_ref: LoadedModel | Exception) -> None:
        self.by_ref = by_ref

    def cached(self, ref: str) -> LoadedModel | None:
        found = self.by_ref.get(ref)
        if isinstance(found, Exception):
            raise found
        return found

    async def find_cached(self, ref: str) -> LoadedModel | None:
        for _ in range(3):  # a server answers a little later
            await asyncio.sleep(0)
        return self.cached(ref)


class Layer:
    """QuickPredict around an endpoint that counts its requests."""

    finds_at_once = True

    def __init__(self, **models: Models) -> None:
        self.at_endpoint = 0

        async def endpoint(scope: Any, receive: Any, send: Any) -> None:
            self.at_endpoint += 1

        def seen_by_owner(owner: str, _: bool) -> Any:
            return SimpleNamespace(models=models[owner])

        services: Any = SimpleNamespace(datasets=None, seen_by_owner=seen_by_owner)
        self._app = QuickPredict(endpoint, services, finds_at_once=self.finds_at_once)

    async def ask(self, owner: str, ref: str = "latest", body: bytes = b"") -> str | None:
        """Predict for a key of an owner; return the model, or None for the endpoint."""
        scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": f"/v1/models/{ref}/predict",
            "query_string": b"",
            "headers": [(b"content-type", b"application/octet-stream")],
            "state": {"principal": Principal(owner, frozenset({"predict"}), still_valid)},
        }
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        message = {"type": "http.request", "body": body or DIGIT, "more_body": False}
        await self._app(scope, Replay(message, nothing), send)
        return dict(sent[0]["headers"])[b"model"].decode() if sent else None


async def still_valid() -> bool:
    return True


async def nothing() -> Any:
    raise AssertionError("the body has been read")


def model(job: str, width: int = 8) -> LoadedModel:
    rng = np.random.default_rng(len(job))
    network = Network.random((784, width, 10), "relu", "he_normal", 0.1, rng)
    checkpoint = CheckpointRef(job, 1, 1, 0, f"{job}/key", 1, "0" * 64)
    return LoadedModel(job, "mnist", MNIST.manifest, checkpoint, network, network.arrays())


def bar() -> bytes:
    """A picture in MNIST's form."""
    picture = np.zeros((28, 28), np.uint8)
    picture[4:24, 12:16] = 255
    return picture.tobytes()


DIGIT = bar()


@pytest.fixture(params=["file", "server"])
def each_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let models be found at once, and then a little later."""
    monkeypatch.setattr(Layer, "finds_at_once", request.param == "file")


on_each_engine = pytest.mark.usefixtures("each_engine")


def run_all(*requests: Coroutine[Any, Any, Any]) -> list[Any]:
    """Run requests that arrive in the same turn of the event loop; return their answers."""

    async def gather() -> list[Any]:
        return await asyncio.gather(*requests, return_exceptions=True)

    return asyncio.run(asyncio.wait_for(gather(), 10))


@on_each_engine
def test_a_digit_is_answered_without_the_endpoint() -> None:
    layer = Layer(ada=Models(latest=model("job_a")))
    assert run_all(*(layer.ask("ada") for _ in range(3))) == ["job_a"] * 3
    assert layer.at_endpoint == 0


@on_each_engine
def test_owners_that_ask_together_get_their_own_models_only() -> None:
    ada, bob = model("job_a"), model("job_bb")
    layer = Layer(ada=Models(latest=ada, job_a=ada), bob=Models(latest=bob, job_bb=bob))
    asked = [("ada", "latest"), ("bob", "latest"), ("ada", "job_bb"), ("bob", "job_a")] * 8
    for _ in range(3):  # also with what the layer remembers
        expected = ["job_a", "job_bb", None, None] * 8
        assert run_all(*(layer.ask(*each) for each in asked)) == expected
    assert layer.at_endpoint == 3 * 16


@on_each_engine
def test_a_request_that_is_cancelled_or_fails_leaves_the_others_alone() -> None:
    models = Models(latest=model("job_a"), broken=model("job_b"))
    layer = Layer(ada=models)
    run_all(layer.ask("ada", "broken"))  # now the layer takes it for a model in memory
    models.by_ref["broken"] = RuntimeError("of no kind that anybody expects")

    async def cancel_itself() -> str | None:
        task = asyncio.create_task(layer.ask("ada"))
        await asyncio.sleep(0)
        task.cancel()
        return await task

    requests = (layer.ask("ada"), cancel_itself(), layer.ask("ada", "broken"), layer.ask("ada"))
    first, cancelled, broken, last = run_all(*requests)
    assert isinstance(cancelled, asyncio.CancelledError)
    assert (first, broken, last, layer.at_endpoint) == ("job_a", None, "job_a", 1)


def test_no_more_requests_are_answered_together_than_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []

    def counted(model: LoadedModel, requests: Any) -> Any:
        sizes.append(len(requests))
        return predict_together(model, requests)

    monkeypatch.setattr(quick_predict, "predict_together", counted)
    layer = Layer(ada=Models(latest=model("job_a")))
    assert run_all(*(layer.ask("ada") for _ in range(100))) == ["job_a"] * 100
    assert sizes == [32, 32, 32, 4]


def test_requests_do_not_wait_for_each_other_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = Layer(ada=Models(latest=model("job_a")))

    async def turns_until_answered(count: int, patience: float) -> int:
        monkeypatch.setattr(quick_predict, "PATIENCE_SECONDS", patience)
        tasks = [asyncio.create_task(layer.ask("ada")) for _ in range(count)]
        turns = 0
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            turns += 1
        return turns

    alone, together, impatient = (
        asyncio.run(turns_until_answered(*case)) for case in ((1, 60.0), (2, 60.0), (2, 0.0))
    )
    assert alone == impatient == together - 1


def test_a_steady_flow_of_requests_keeps_none_waiting() -> None:
    layer = Layer(ada=Models(latest=model("job_a")))
    done: list[int] = []

    async def ask(number: int) -> None:
        assert await layer.ask("ada") == "job_a"
        done.append(number)

    async def flow() -> int:
        tasks: list[asyncio.Task[None]] = []
        while not done:  # one arrives in each turn
            tasks.append(asyncio.create_task(ask(len(tasks))))
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        return len(tasks)

    assert asyncio.run(asyncio.wait_for(flow(), 10)) < 40
    assert done == sorted(done)


def test_the_bodies_for_large_and_unknown_models_are_left_to_the_endpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[object] = []
    monkeypatch.setattr(quick_predict, "_read", lambda *given: read.append(given))
    layer = Layer(ada=Models(large=model("job_a", width=1400)))
    assert run_all(layer.ask("ada", "large"), layer.ask("ada", "unknown")) == [None, None]
    assert (layer.at_endpoint, read) == (2, [])
