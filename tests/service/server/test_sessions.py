"""Sessions of browsers: what the cookie opens, from where, and for how long."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.app import Application, create_app
from service.server import key_ring
from service.store.api_keys import ApiKeyStore
from service.store.sessions import LIFETIME_SECONDS
from service.store.sql.database import Database
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.conftest import URL
from tests.support.engines import local_files
from tests.support.keyed_service import bearer, id_of
from tests.support.live_service import settings

OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
UNKNOWN = "mlp_aaaaaaaaaa_" + "A" * 43


@pytest.fixture
def keys(api_database: Database, monkeypatch: pytest.MonkeyPatch) -> ApiKeyStore:
    monkeypatch.setattr(key_ring, "KEY_CACHE_SECONDS", 0.0)
    return ApiKeyStore(api_database)


@dataclass
class Browser:
    """A client with a session of ada's, which sends the cookie by hand."""

    http: TestClient
    key: str
    cookie: dict[str, str]

    def get(self, path: str, **headers: str) -> Any:
        return self.http.get(path, headers=self.cookie | headers)

    def post(self, path: str, json: Any, headers: dict[str, str]) -> Any:
        return self.http.post(path, json=json, headers=self.cookie | headers)


def set_cookie(answer: Any) -> Any:
    [(_, morsel)] = SimpleCookie(answer.headers["Set-Cookie"]).items()
    return morsel


def signed_in(http: TestClient, key: str) -> Browser:
    answer = http.post("/v1/session", json={"key": key})
    assert answer.status_code == 204, answer.text
    morsel = set_cookie(answer)
    http.cookies.clear()
    return Browser(http, key, {"Cookie": f"theme=dark; {morsel.key}={morsel.value}"})


@pytest.fixture
def browser(api: TestClient, keys: ApiKeyStore) -> Browser:
    return signed_in(api, keys.create("ada", ["read", "predict", "train"]))


# --- Beginning and ending ---


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(
    api: TestClient, keys: ApiKeyStore
) -> None:
    key = keys.create("ada", ["read"])
    answer = api.post("/v1/session", json={"key": key})
    assert (answer.status_code, answer.content) == (204, b"")
    morsel = set_cookie(answer)
    assert morsel["httponly"]
    assert (morsel["samesite"], morsel["path"], morsel["max-age"]) == ("Strict", "/", "43200")
    assert not morsel["secure"]
    assert not morsel["domain"]
    assert "mlp_" not in morsel.value
    assert key[-43:] not in answer.headers["Set-Cookie"]
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_behind_a_trusted_proxy_with_tls_the_cookie_is_secure(
    data_dir: Path, datasets_dir: Path, scheme: str
) -> None:
    app = create_app(settings(data_dir, datasets_dir, root_path="/lab", trusted_proxies=["*"]))
    key = ApiKeyStore(app.state.components.database).create("ada", ["read"])
    with TestClient(app, base_url=URL) as client:
        headers = {"X-Forwarded-Proto": scheme}
        began = client.post("/lab/v1/session", json={"key": key}, headers=headers)
        ended = client.delete("/lab/v1/session", headers=headers)
    for morsel in (set_cookie(began), set_cookie(ended)):
        assert morsel["path"] == "/lab"
        assert bool(morsel["secure"]) is (scheme == "https")


@pytest.mark.parametrize("sent", ["", "hunter2", UNKNOWN, "mlp_", "Bearer x", "é" * 50])
def test_a_wrong_key_begins_no_session(api: TestClient, keys: ApiKeyStore, sent: str) -> None:
    keys.create("ada", ["read"])
    answer = api.post("/v1/session", json={"key": sent})
    check_problem(answer, 401)
    assert answer.json()["code"] == "unauthenticated"
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "Set-Cookie" not in answer.headers


def test_only_a_client_with_the_secret_learns_that_a_key_was_valid(
    api: TestClient, keys: ApiKeyStore
) -> None:
    key = keys.create("ada", ["read"])
    keys.revoke(id_of(key))
    said = api.post("/v1/session", json={"key": key}).json()["detail"]
    guessed = api.post("/v1/session", json={"key": key[:-43] + "A" * 43}).json()["detail"]
    assert said == f"The key {id_of(key)} was revoked."
    assert guessed == "This key is unknown."


@pytest.mark.parametrize("body", [{}, {"key": 5}, {"key": "x", "more": 1}, [], {"key": "x" * 201}])
def test_a_body_without_one_key_is_refused_and_not_repeated(
    api: TestClient, keys: ApiKeyStore, body: Any
) -> None:
    answer = api.post("/v1/session", json=body)
    check_problem(answer, 422)
    assert "xxx" not in answer.text


def test_ending_a_session_makes_the_browser_forget_the_cookie(browser: Browser) -> None:
    answer = browser.http.delete("/v1/session", headers=browser.cookie | OWN_PAGE)
    assert answer.status_code == 204
    morsel = set_cookie(answer)
    assert (morsel.value, morsel["max-age"], morsel["path"]) == ("", "0", "/")
    assert browser.cookie["Cookie"].split("; ")[1].startswith(f"{morsel.key}=")


# --- What it opens ---


def test_a_session_may_do_what_its_key_may_do_and_nothing_else(
    api: TestClient, keys: ApiKeyStore
) -> None:
    reader = signed_in(api, keys.create("ada", ["read"]))
    assert reader.get("/v1/jobs").status_code == 200
    refused = reader.post("/v1/jobs", {}, OWN_PAGE)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    other = signed_in(api, keys.create("bob", ["read", "train"]))
    job = other.post("/v1/jobs", {}, OWN_PAGE).json()
    assert job["owner"] == "bob"
    assert reader.get(f"/v1/jobs/{job['id']}").status_code == 404
    assert other.get(f"/v1/jobs/{job['id']}").status_code == 200


def test_the_system_tells_the_page_who_it_is_and_until_when(browser: Browser) -> None:
    session = browser.get("/v1/system").json()["session"]
    assert (session["owner"], session["scopes"]) == ("ada", ["predict", "read", "train"])
    assert session["expires_at"] is not None


def test_a_stale_cookie_makes_a_stranger_and_no_error_of_the_system(browser: Browser) -> None:
    for cookie in (f"{browser.cookie['Cookie'][:-1]}", "mlp_000000=x", "theme=dark"):
        answer = browser.http.get("/v1/system", headers={"Cookie": cookie})
        assert (answer.status_code, answer.json()["keys"]) == (200, {"required": True})
        assert "session" not in answer.json()


@pytest.mark.parametrize("header", ["", "Bearer", f"Bearer {UNKNOWN}", "Basic eDp5"])
def test_a_cookie_is_not_looked_at_beside_an_authorization_header(
    browser: Browser, header: str
) -> None:
    check_problem(browser.get("/v1/jobs", Authorization=header), 401)
    check_problem(browser.get("/v1/system", Authorization=header), 401)


def test_the_key_in_the_header_decides_and_not_the_cookie(
    browser: Browser, keys: ApiKeyStore
) -> None:
    headers = bearer(keys.create("bob", ["train"]))
    assert browser.post("/v1/jobs", {}, headers).json()["owner"] == "bob"


def test_a_cookie_in_the_authorization_header_opens_nothing(browser: Browser) -> None:
    assert browser.get("/v1/jobs").status_code == 200
    headers = [("Authorization", ""), ("Authorization", browser.cookie["Cookie"])]
    assert browser.http.get("/v1/jobs", headers=headers).status_code == 401
    headers = [("Authorization", browser.cookie["Cookie"])]
    assert browser.http.get("/v1/jobs", headers=headers).status_code == 401


def test_a_planted_cookie_of_the_same_name_does_not_hide_the_real_one(browser: Browser) -> None:
    pair = browser.cookie["Cookie"].split("; ")[1]
    name = pair.split("=")[0]
    planted = {"Cookie": f"{name}=x; {name}=a.1.b; {pair}"}
    assert browser.http.get("/v1/jobs", headers=planted).status_code == 200
    many = {"Cookie": "; ".join([f"{name}=x"] * 5 + [pair])}
    assert browser.http.get("/v1/jobs", headers=many).status_code == 401


# --- From where ---


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Sec-Fetch-Site": "none"}, 201),
        ({"Origin": URL}, 201),
        ({"Origin": URL, "Sec-Fetch-Site": "same-origin"}, 201),
        ({}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": URL}, 403),
        ({"Origin": f"{URL}:3000"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Sec-Fetch-Mode": "cors"}, 403),
    ],
    ids=str,
)
def test_a_session_changes_something_only_from_the_own_page(
    browser: Browser, headers: dict[str, str], status: int
) -> None:
    answer = browser.post("/v1/jobs", {}, headers)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["code"] in ("not-own-page", "cross-site")
    count = len(browser.get("/v1/jobs").json()["data"])
    assert count == (1 if status == 201 else 0)


def test_without_any_word_of_a_browser_a_session_may_only_read(browser: Browser) -> None:
    assert browser.get("/v1/jobs").status_code == 200
    answer = browser.post("/v1/models/latest/predict", {}, {})
    check_problem(answer, 403)
    assert answer.json()["code"] == "not-own-page"
    assert "Authorization: Bearer" in answer.json()["detail"]


@pytest.fixture
def allowing(data_dir: Path, datasets_dir: Path) -> Iterator[Browser]:
    """A service that allows the pages of another port of its host."""
    app: Application = create_app(
        settings(data_dir, datasets_dir, allowed_origins=["http://localhost:3000"])
    )
    keys = ApiKeyStore(app.state.components.database)
    with TestClient(app, base_url=URL) as client:
        yield signed_in(client, keys.create("ada", ["read", "train"]))


def test_an_allowed_origin_has_no_use_of_the_session(allowing: Browser) -> None:
    page = {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"}
    for answer in (allowing.get("/v1/jobs", **page), allowing.post("/v1/jobs", {}, page)):
        check_problem(answer, 403)
        assert answer.json()["code"] == "not-own-page"
        assert "Access-Control-Allow-Credentials" not in answer.headers
    headers = page | bearer(allowing.key)
    assert allowing.http.post("/v1/jobs", json={}, headers=headers).status_code == 201


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_an_allowed_origin_neither_begins_nor_ends_a_session(
    allowing: Browser, method: str
) -> None:
    page = {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"}
    json = {"key": allowing.key} if method == "POST" else None
    answer = allowing.http.request(method, "/v1/session", json=json, headers=page)
    check_problem(answer, 403)
    assert answer.json()["code"] == "not-own-page"
    assert "Set-Cookie" not in answer.headers


# --- For how long ---


def test_a_session_ends_with_its_key(browser: Browser, keys: ApiKeyStore) -> None:
    assert browser.get("/v1/jobs").status_code == 200
    keys.revoke(id_of(browser.key))
    answer = browser.get("/v1/jobs")
    check_problem(answer, 401)
    assert "was revoked" in answer.json()["detail"]
    assert browser.get("/v1/system").json()["keys"] == {"required": True}


class Clock:
    """Stands in for the module `time` of `service.store.sessions`."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def time(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("service.store.sessions.time", made)
    return made


def test_a_session_is_renewed_past_half_its_life_and_otherwise_left(
    browser: Browser, clock: Clock
) -> None:
    assert "Set-Cookie" not in browser.get("/v1/jobs").headers
    clock.ahead = LIFETIME_SECONDS / 2 + 5
    answer = browser.get("/v1/jobs")
    morsel = set_cookie(answer)
    assert (morsel["max-age"], morsel["httponly"], morsel["samesite"]) == ("43200", True, "Strict")
    clock.ahead = LIFETIME_SECONDS + 5
    check_problem(browser.get("/v1/jobs"), 401)
    renewed = {"Cookie": f"{morsel.key}={morsel.value}"}
    assert browser.http.get("/v1/jobs", headers=renewed).status_code == 200


def test_an_ended_session_is_refused_although_it_was_just_accepted(
    browser: Browser, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_ring, "KEY_CACHE_SECONDS", 60.0)
    assert browser.get("/v1/jobs").status_code == 200
    clock.ahead = LIFETIME_SECONDS + 1
    check_problem(browser.get("/v1/jobs"), 401)


def test_a_refused_request_is_not_renewed(browser: Browser, clock: Clock) -> None:
    clock.ahead = LIFETIME_SECONDS / 2 + 5
    refused = browser.post("/v1/jobs", {}, {})
    assert refused.status_code == 403
    assert "Set-Cookie" not in refused.headers


@local_files
def test_a_damaged_secret_is_a_problem_and_keys_still_work(
    data_dir: Path, datasets_dir: Path
) -> None:
    (data_dir / "session.key").write_bytes(b"short")
    app = create_app(settings(data_dir, datasets_dir))
    key = ApiKeyStore(app.state.components.database).create("ada", ["read"])
    with TestClient(app, base_url=URL) as client:
        check_problem(client.post("/v1/session", json={"key": key}), 503)
        name = app.state.components.sessions.end({}).split("=")[0]
        value = f"abcdefgh12.99999999999.{'A' * 43}"
        check_problem(client.get("/v1/jobs", headers={"Cookie": f"{name}={value}"}), 503)
        assert client.get("/v1/jobs", headers=bearer(key)).status_code == 200
