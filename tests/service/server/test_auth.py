"""The door: keys, and pages of other sites. What keys must not open: tests/attack/test_keys.py."""

import asyncio
import time

import pytest

from service.domain.errors import StoreBroken
from service.server import auth
from service.server.auth import Authenticator, KeyRing, needed_scope
from service.store.api_keys import KeyStore
from tests.service.api.test_hostile_bodies import check_problem


@pytest.fixture
def keys(house, monkeypatch):
    monkeypatch.setattr(auth, "KEY_CACHE_SECONDS", 0.0)
    return KeyStore(house)


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/", None),
        ("GET", "/readyz", None),
        ("HEAD", "/vendor/swagger/x.js", None),
        ("GET", "/problems/invalid", None),
        ("GET", "/livez/", "read"),
        ("GET", "/livez\n", "read"),
        ("GET", "//livez", "read"),
        ("GET", "/metrics", "read"),
        ("GET", "/v1/models/latest/predict", "read"),
        ("POST", "/v1/models/latest/predict", "predict"),
        ("POST", "/v1/models/a/b/predict", "train"),
        ("POST", "/v1/models/latest/predict/", "train"),
        ("PUT", "/v1/models/latest/predict", "train"),
        ("POST", "/livez", "train"),
        ("DELETE", "/v1/jobs/x", "train"),
        ("OPTIONS", "/v1/jobs", "train"),
        ("get", "/v1/jobs", "train"),
    ],
)
def test_method_and_path_decide_what_is_needed(method, path, scope):
    assert needed_scope(method, path) == scope


def test_the_first_key_closes_the_service_and_revoking_the_last_does_not_open_it(api, keys):
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


def test_an_answer_without_a_key_says_how_to_get_one(api, keys):
    keys.create("ada", ["read"])
    assert "mlp-service keys create" in api.get("/v1/jobs").json()["detail"]


def test_a_missing_scope_is_named(api, keys):
    answer = api.post("/v1/jobs", json={}, headers=bearer(keys.create("ada", ["read", "predict"])))
    check_problem(answer, 403)
    assert "'train'" in answer.json()["detail"]
    assert "predict, read" in answer.json()["detail"]


def test_the_scheme_may_be_written_small_and_with_spaces(api, keys):
    key = keys.create("ada", ["read"])
    for header in (f"bearer {key}", f"BEARER   {key}"):
        assert api.get("/v1/jobs", headers={"Authorization": header}).status_code == 200


@pytest.mark.parametrize(
    "headers", [{"Content-Length": "5"}, {"Transfer-Encoding": "chunked"}], ids=str
)
def test_a_connection_ends_if_a_body_comes_that_nobody_reads(api, keys, headers):
    keys.create("ada", ["read"])
    assert api.post("/v1/jobs", content=b"12345", headers=headers).headers["Connection"] == "close"
    assert "Connection" not in api.get("/v1/jobs").headers


def test_keys_that_can_not_be_read_let_nobody_in(api, keys, monkeypatch):
    def fail(self):
        raise StoreBroken("the database failed: gone")

    monkeypatch.setattr(KeyStore, "all", fail)
    answer = api.get("/v1/presets")
    check_problem(answer, 503)
    assert answer.headers["Retry-After"] == "1"
    assert api.get("/livez").status_code == 200


def test_many_requests_at_once_read_the_keys_once():
    class Slow:
        reads = 0

        def all(self):
            self.reads += 1
            time.sleep(0.05)
            return []

    async def ask():
        ring = KeyRing(store)
        await asyncio.gather(*(ring.keys() for _ in range(20)))

    store = Slow()
    asyncio.run(ask())
    assert store.reads == 1


def test_many_requests_at_once_wait_for_one_failing_look_at_the_keys():
    class Failing:
        reads = 0

        def all(self):
            self.reads += 1
            time.sleep(0.05)
            raise StoreBroken("the database is locked")

    async def ask():
        ring = KeyRing(store)
        return await asyncio.gather(*(ring.keys() for _ in range(20)), return_exceptions=True)

    store = Failing()
    answers = asyncio.run(ask())
    assert [type(answer) for answer in answers] == [StoreBroken] * 20
    assert store.reads == 1


def test_requests_that_waited_for_the_keys_go_on_together():
    turns, done = [], []

    class Slow:
        def all(self):
            time.sleep(0.05)
            return []

    async def ask():
        await ring.keys()
        done.append(len(turns))

    async def ask_all():
        tasks = [asyncio.create_task(ask()) for _ in range(200)]
        while len(done) < len(tasks):
            await asyncio.sleep(0)
            turns.append(None)

    ring = KeyRing(Slow())
    asyncio.run(ask_all())
    assert done[-1] - done[0] < 5


def test_what_began_while_the_service_was_open_ends_with_the_first_key(keys):
    came = []

    async def app(scope, receive, send):
        came.append(scope["state"]["principal"])

    async def ask():
        scope = {"type": "http", "method": "GET", "path": "/v1/jobs", "headers": []}
        await Authenticator(app, KeyRing(keys))(scope, None, None)
        [principal] = came
        assert await principal.still_valid()
        keys.create("ada", ["read"])
        assert not await principal.still_valid()

    asyncio.run(ask())


def test_a_web_socket_is_closed_unheard():
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(Authenticator(None, None)({"type": "websocket"}, None, send))
    assert sent == [{"type": "websocket.close"}]


# --- Pages of other sites ---


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:8001"},
        {"Origin": "http://127.0.0.1.evil.example"},
        {"Origin": "http://localhost"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
def test_a_page_of_another_site_changes_nothing(api, house, method, headers):
    answer = api.request(method, "/v1/jobs", headers={**headers, "Content-Length": "2"})
    check_problem(answer, 403)
    assert answer.json()["code"] == "cross-site"
    assert answer.headers["Connection"] == "close"
    assert api.get("/v1/jobs", headers=headers).json()["data"] == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "HTTPS://127.0.0.1"},
        {"Origin": "http://localhost:8000", "Host": "LOCALHOST:8000"},
        {"Origin": "https://proxied.example", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
    ids=str,
)
def test_the_services_own_pages_and_programs_may_change(api, headers):
    assert api.post("/v1/jobs", json={}, headers=headers).status_code == 201
