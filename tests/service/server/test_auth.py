"""Authentication by API keys. tests/attack/test_keys.py tests what keys must not open."""

import asyncio
import time
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from service.domain.errors import StoreBroken
from service.domain.principal import Principal
from service.server import key_ring
from service.server.auth import Authenticator, needed_scope
from service.server.key_ring import KeyRing
from service.server.sessions import Sessions
from service.store.api_keys import ApiKey, ApiKeyStore
from service.store.identity import FolderIdentity
from service.store.sessions import SessionSeal
from service.store.sql.database import Database
from tests.service.api.test_hostile_bodies import check_problem


@pytest.fixture
def keys(api_database: Database, monkeypatch: pytest.MonkeyPatch) -> ApiKeyStore:
    monkeypatch.setattr(key_ring, "KEY_CACHE_SECONDS", 0.0)
    return ApiKeyStore(api_database)


async def unused(*_: object) -> Any:
    raise AssertionError("nothing may be received or sent")


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/", None),
        ("GET", "/readyz", None),
        ("HEAD", "/vendor/swagger/x.js", None),
        ("GET", "/problems/invalid", None),
        ("GET", "/v1/system", "any"),
        ("HEAD", "/v1/system", "any"),
        ("POST", "/v1/system", "train"),
        ("GET", "/v1/system/", "read"),
        ("GET", "/livez/", "read"),
        ("GET", "/livez\n", "read"),
        ("GET", "//livez", "read"),
        ("GET", "/metrics", "read"),
        ("GET", "/v1/models/latest/predict", "read"),
        ("POST", "/v1/models/latest/predict", "predict"),
        ("POST", "/v1/models/latest/predict\n", "predict"),
        ("POST", "/v1/models/latest/predict.npy", "predict"),
        ("POST", "/v1/models/latest/predict.npy\n", "predict"),
        ("POST", "/v1/models/latest/predictnpy", "train"),
        ("POST", "/v1/models/latest/predict.npyz", "train"),
        ("GET", "/v1/models/latest/predict.npy", "read"),
        ("POST", "/v1/models/a/b/predict", "train"),
        ("POST", "/v1/models/latest/predict/", "train"),
        ("PUT", "/v1/models/latest/predict", "train"),
        ("POST", "/livez", "train"),
        ("DELETE", "/v1/jobs/x", "train"),
        ("OPTIONS", "/v1/jobs", None),
        ("options", "/v1/jobs", "train"),
        ("get", "/v1/jobs", "train"),
    ],
)
def test_method_and_path_decide_what_is_needed(method: str, path: str, scope: str | None) -> None:
    assert needed_scope(method, path) == scope


def test_the_first_key_closes_the_service_and_revoking_the_last_does_not_open_it(
    api: TestClient, keys: ApiKeyStore
) -> None:
    job = api.post("/v1/jobs", json={}).json()
    assert job["owner"] is None
    key = keys.create("ada", ["read", "train"])
    check_problem(api.get("/v1/jobs"), 401)
    assert api.get("/v1/jobs", headers=bearer(key)).json()["data"] == []
    assert api.post("/v1/jobs", json={}, headers=bearer(key)).json()["owner"] == "ada"
    keys.revoke(key.split("_")[1])
    for headers in ({}, bearer(key)):
        answer = api.get("/v1/jobs", headers=headers)
        check_problem(answer, 401)
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_an_answer_without_a_key_says_how_to_get_one(api: TestClient, keys: ApiKeyStore) -> None:
    keys.create("ada", ["read"])
    assert "mlp-service keys create" in api.get("/v1/jobs").json()["detail"]


def test_a_missing_scope_is_named(api: TestClient, keys: ApiKeyStore) -> None:
    answer = api.post("/v1/jobs", json={}, headers=bearer(keys.create("ada", ["read", "predict"])))
    check_problem(answer, 403)
    assert "'train'" in answer.json()["detail"]
    assert "predict, read" in answer.json()["detail"]


def test_the_scheme_may_be_in_lower_case_and_followed_by_spaces(
    api: TestClient, keys: ApiKeyStore
) -> None:
    key = keys.create("ada", ["read"])
    for header in (f"bearer {key}", f"BEARER   {key}"):
        assert api.get("/v1/jobs", headers={"Authorization": header}).status_code == 200


@pytest.mark.parametrize(
    "headers", [{"Content-Length": "5"}, {"Transfer-Encoding": "chunked"}], ids=str
)
def test_a_refused_request_with_a_body_closes_the_connection(
    api: TestClient, keys: ApiKeyStore, headers: dict[str, str]
) -> None:
    keys.create("ada", ["read"])
    assert api.post("/v1/jobs", content=b"12345", headers=headers).headers["Connection"] == "close"
    assert "Connection" not in api.get("/v1/jobs").headers


def test_no_request_passes_while_the_keys_can_not_be_read(
    api: TestClient, keys: ApiKeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: ApiKeyStore) -> list[ApiKey]:
        raise StoreBroken("the database failed: gone")

    monkeypatch.setattr(ApiKeyStore, "all", fail)
    answer = api.get("/v1/presets")
    check_problem(answer, 503)
    assert answer.headers["Retry-After"] == "1"
    assert api.get("/livez").status_code == 200


class SlowKeys:
    """The part of an ApiKeyStore that a KeyRing needs, with slow reads."""

    def __init__(self, failure: StoreBroken | None = None) -> None:
        self.reads = 0
        self._failure = failure

    def all(self) -> list[ApiKey]:
        self.reads += 1
        time.sleep(0.05)
        if self._failure:
            raise self._failure
        return []


def ring_of(store: SlowKeys) -> KeyRing:
    return KeyRing(cast(ApiKeyStore, store))


def sessions_of(ring: KeyRing, directory: Path) -> Sessions:
    return Sessions(ring, SessionSeal(FolderIdentity(directory)))


def test_many_concurrent_requests_read_the_keys_once() -> None:
    store = SlowKeys()

    async def ask() -> None:
        ring = ring_of(store)
        await asyncio.gather(*(ring.keys() for _ in range(20)))

    asyncio.run(ask())
    assert store.reads == 1


def test_many_concurrent_requests_share_a_failed_read_of_the_keys() -> None:
    store = SlowKeys(StoreBroken("the database is locked"))

    async def ask() -> list[object]:
        ring = ring_of(store)
        return await asyncio.gather(*(ring.keys() for _ in range(20)), return_exceptions=True)

    answers = asyncio.run(ask())
    assert [type(answer) for answer in answers] == [StoreBroken] * 20
    assert store.reads == 1


def test_requests_that_waited_for_the_keys_continue_together() -> None:
    iterations, done = list[None](), list[int]()
    ring = ring_of(SlowKeys())

    async def ask() -> None:
        await ring.keys()
        done.append(len(iterations))

    async def ask_all() -> None:
        tasks = [asyncio.create_task(ask()) for _ in range(200)]
        while len(done) < len(tasks):
            await asyncio.sleep(0)
            iterations.append(None)

    asyncio.run(ask_all())
    assert done[-1] - done[0] < 5


def test_a_stream_begun_without_keys_ends_when_the_first_key_is_created(
    keys: ApiKeyStore, tmp_path: Path
) -> None:
    came: list[Principal] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        came.append(scope["state"]["principal"])

    async def ask() -> None:
        scope = {"type": "http", "method": "GET", "path": "/v1/jobs", "headers": []}
        ring = KeyRing(keys)
        await Authenticator(app, ring, sessions_of(ring, tmp_path))(scope, unused, unused)
        [principal] = came
        assert await principal.still_valid()
        keys.create("ada", ["read"])
        assert not await principal.still_valid()

    asyncio.run(ask())


def test_a_web_socket_is_closed_and_never_reaches_the_application(tmp_path: Path) -> None:
    ring = ring_of(SlowKeys())
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    authenticator = Authenticator(unused, ring, sessions_of(ring, tmp_path))
    asyncio.run(authenticator({"type": "websocket"}, unused, send))
    assert sent == [{"type": "websocket.close"}]
