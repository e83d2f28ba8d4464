"""The order of the HTTP stack, shown by the requests that each layer keeps from the next ones."""

import asyncio
import gzip
from collections.abc import Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.dependencies import Services
from service.api.predict_input import is_large
from service.app import Application
from service.domain.errors import StoreBroken
from service.server import stack
from service.server.admission import Admission
from service.server.content_encoding import ContentEncoding
from service.server.key_ring import KeyRing
from service.server.metrics import Metrics
from service.server.sessions import Sessions
from service.store.api_keys import ApiKey, ApiKeyStore
from service.store.identity import FolderIdentity
from service.store.sessions import SessionSeal

PREDICT = "/v1/models/latest/predict"


class FakeKeys:
    """The part of an ApiKeyStore that a KeyRing needs."""

    def __init__(self, *keys: ApiKey) -> None:
        self.reads = 0
        self._keys = list(keys)

    def all(self) -> list[ApiKey]:
        self.reads += 1
        return self._keys


class Stacked:
    """The service's layers around an application that notes what reaches it."""

    def __init__(self, *, slots: int = 1, **options: Any) -> None:
        self.reached: list[str] = []
        self.keys = FakeKeys()
        self.admission = Admission(slots)
        self.metrics = Metrics(self.admission)
        ring = KeyRing(cast(ApiKeyStore, self.keys))
        models = SimpleNamespace(finds_at_once=True)
        services = SimpleNamespace(seen_by_owner=lambda *_: None, models=models)
        layers = stack.layers(
            admission=self.admission,
            metrics=self.metrics,
            access_log=None,
            keys=ring,
            sessions=Sessions(ring, SessionSeal(FolderIdentity(Path("no cookies are sent")))),
            services=cast(Services, services),
            network=stack.NetworkSettings(["localhost"], **options),
        )
        self.app = stack.build(self._note, layers)
        self.client = TestClient(self.app, base_url="http://localhost")

    async def _note(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached.append(scope["type"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def measured(self) -> str:
        return self.metrics.page(True)[0].decode()


def named(name: str, passed: list[str]) -> stack.Layer:
    def layer(app: ASGIApp) -> ASGIApp:
        async def note(scope: Scope, receive: Receive, send: Send) -> None:
            passed.append(name)
            await app(scope, receive, send)

        return note

    return layer


async def unused(*_: object) -> Any:
    raise AssertionError("nothing may be received or sent")


def test_the_first_layer_of_the_list_is_the_outermost() -> None:
    passed: list[str] = []

    async def app(*_: object) -> None:
        passed.append("app")

    built = stack.build(app, [named("outer", passed), named("inner", passed)])
    asyncio.run(cast(Coroutine[Any, Any, None], built({}, unused, unused)))
    assert passed == ["outer", "inner", "app"]


def test_a_request_that_nothing_refuses_passes_all_layers() -> None:
    stacked = Stacked()
    answer = stacked.client.get("/v1/jobs")
    assert (answer.status_code, stacked.reached) == (204, ["http"])
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", [PREDICT, f"{PREDICT}.npy"])
def test_without_a_free_slot_a_prediction_is_refused_before_anything_else(path: str) -> None:
    stacked = Stacked(slots=0)
    answer = stacked.client.post(path, headers={"Host": "evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert (stacked.admission.refused, stacked.keys.reads) == (1, 0)
    assert 'http_request_method="POST"' not in stacked.measured()
    assert stacked.client.get("/v1/jobs").status_code == 204


def test_without_a_free_slot_a_page_is_still_told_what_it_may_do_and_why_it_was_refused() -> None:
    stacked = Stacked(slots=0, allowed_origins=["https://app.example"])
    headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    assert stacked.client.options(PREDICT, headers=headers).status_code == 204
    answer = stacked.client.post(PREDICT, headers=headers)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert (stacked.admission.refused, stacked.keys.reads, stacked.reached) == (1, 0, [])


def test_without_a_free_slot_a_prediction_behind_a_prefix_is_refused_under_that_prefix() -> None:
    stacked = Stacked(slots=0, root_path="/mlp")
    for path in (PREDICT, f"/mlp{PREDICT}"):
        answer = stacked.client.post(path)
        assert (answer.status_code, answer.json()["type"]) == (503, "/mlp/problems/overloaded")
    assert Stacked(slots=0).client.post(PREDICT).json()["type"] == "/problems/overloaded"


def test_a_line_feed_after_its_path_does_not_hide_a_prediction_from_admission() -> None:
    """The router ignores the line feed, so the endpoint would answer."""
    stacked = Stacked(slots=0)
    assert stacked.client.post(f"{PREDICT}%0A").status_code == 503
    assert stacked.admission.refused == 1


def test_a_foreign_host_is_measured_and_refused_before_keys_are_read() -> None:
    stacked = Stacked()
    answer = stacked.client.get("/v1/jobs", headers={"Host": "evil.example"})
    assert answer.status_code == 400
    assert (stacked.keys.reads, stacked.reached) == (0, [])
    assert 'http_response_status_code="400"' in stacked.measured()


def test_a_prediction_without_a_key_is_refused_before_its_body_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stacked, sent = Stacked(), list[Message]()

    def fail() -> list[ApiKey]:
        raise StoreBroken("the keys can't be read")

    async def send(message: Message) -> None:
        sent.append(message)

    monkeypatch.setattr(stacked.keys, "all", fail)
    headers = [(b"host", b"localhost"), (b"content-length", b"9")]
    scope: dict[str, Any] = {"type": "http", "method": "POST", "scheme": "http", "path": PREDICT}
    scope |= {"headers": headers, "query_string": b""}
    asyncio.run(cast(Coroutine[Any, Any, None], stacked.app(scope, unused, send)))
    assert sent[0]["status"] == 503
    assert b"store-unavailable" in sent[1]["body"]
    assert (stacked.reached, stacked.admission.refused) == ([], 0)


def test_all_layers_decide_by_the_path_without_its_last_slash() -> None:
    stacked = Stacked(slots=0)
    assert stacked.client.post(f"{PREDICT}/").status_code == 503
    assert stacked.admission.refused == 1


def test_a_packed_body_is_not_looked_at_without_a_key_or_by_a_foreign_host() -> None:
    stacked, headers = Stacked(), {"Content-Encoding": "br"}
    assert stacked.client.post("/v1/jobs", content=b"x", headers=headers).status_code == 415
    foreign = {**headers, "Host": "evil.example"}
    assert stacked.client.post("/v1/jobs", content=b"x", headers=foreign).status_code == 400
    assert (stacked.reached, stacked.keys.reads) == ([], 1)


def test_a_packed_prediction_is_as_large_as_what_it_unpacks_to() -> None:
    """A small body may hold a large one, which must not take more than the slots for those."""
    stacked = Stacked(slots=9)
    lengths = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        lengths.append(is_large(Headers(scope=scope)))
        await Response(status_code=204)(scope, receive, send)

    client = TestClient(ContentEncoding(stacked.admission.limit(app)), base_url="http://localhost")
    for size in (9, 100_000):
        body = gzip.compress(bytes(size))
        client.post(PREDICT, content=body, headers={"Content-Encoding": "gzip"})
    assert lengths == [False, True]


def test_head_and_options_reach_every_layer_under_their_own_names() -> None:
    stacked = Stacked()
    assert stacked.client.head("/v1/jobs").status_code == 204
    assert stacked.client.options("/v1/jobs").status_code == 204
    assert 'http_request_method="HEAD"' in stacked.measured()
    assert 'http_request_method="OPTIONS"' in stacked.measured()


def test_a_stream_whose_client_has_left_is_no_crash_and_another_error_is_one() -> None:
    errors: list[Exception] = []
    app = Application([], docs_url=None)

    @app.get("/")
    async def fail() -> None:
        raise ExceptionGroup("the tasks of a stream", errors)

    client = TestClient(app, raise_server_exceptions=True)
    errors[:] = [OSError("the disk")]
    with pytest.raises(ExceptionGroup):
        client.get("/")
    errors[:] = [anyio.BrokenResourceError()]
    with pytest.raises(AssertionError, match="did not receive any response"):
        client.get("/")
