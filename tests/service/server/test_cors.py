"""Pages of other origins: what browsers ask for and are answered, on every layer's responses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.store.api_keys import ApiKeyStore
from service.store.sql.database import Database
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.conftest import URL
from tests.support.engines import database_url_of, local_files
from tests.support.live_service import Live, claimed, record, settings, succeed

APP = "https://app.example"
DEV = "http://localhost:3000"
PREDICT = "/v1/models/latest/predict"
EXPOSED = (
    "location",
    "retry-after",
    "etag",
    "model",
    "epochs-done",
    "checkpoint-sha256",
    "idempotent-replayed",
    "request-id",
    "scale",
    "units",
)
SENT_BY_APPS = (
    "authorization",
    "content-type",
    "accept",
    "idempotency-key",
    "last-event-id",
    "if-none-match",
    "content-encoding",
    "cache-control",
    "x-requested-with",
    "request-id",
)
TRICKS = [
    "https://app.example.evil.com",
    "https://evilapp.example",
    "https://sub.app.example",
    "https://app.example:8443",
    "http://app.example",
    "HTTPS://APP.EXAMPLE",
    "https://App.example",
    "https://app.example.",
    "https://app.example/",
    "https://app.example@evil.com",
    "https://evil.com@app.example",
    "https://app.example https://evil.com",
    "https://app.example,https://evil.com",
    " ",
    "",
    "app.example",
    "null",
    "file://",
    "*",
    "http://localhost",
    "http://localhost:30000",
]
"""Origins that look like those that are allowed."""


@pytest.fixture
def database(data_dir: Path) -> Iterator[Database]:
    database = Database(database_url_of(data_dir))
    yield database
    database.close()


def opened(data_dir: Path, datasets_dir: Path, *origins: str, **others: Any) -> TestClient:
    made = settings(data_dir, datasets_dir, allowed_origins=list(origins), **others)
    return TestClient(create_app(made), base_url=URL, raise_server_exceptions=False)


@pytest.fixture
def pages(data_dir: Path, datasets_dir: Path) -> Iterator[TestClient]:
    """A service without keys that two other origins may use."""
    with opened(data_dir, datasets_dir, APP, DEV) as client:
        yield client


def preflight(client: TestClient, origin: str, path: str = PREDICT, **headers: str) -> Any:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    asked |= {f"Access-Control-Request-{name}": value for name, value in headers.items()}
    return client.options(path, headers=asked)


def listed(header: str) -> set[str]:
    return {name.strip().lower() for name in header.split(",")}


def cors_headers(answer: Any) -> dict[str, str]:
    return {name: it for name, it in answer.headers.items() if name.startswith("access-control-")}


# --- Preflights -----------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", [APP, DEV])
def test_a_preflight_of_an_allowed_origin_is_answered_204(pages: TestClient, origin: str) -> None:
    answer = preflight(pages, origin)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert {"get", "head", "post", "delete"} <= listed(
        answer.headers["Access-Control-Allow-Methods"]
    )
    assert set(SENT_BY_APPS) <= listed(answer.headers["Access-Control-Allow-Headers"])
    assert "origin" in listed(answer.headers["Vary"])
    assert int(answer.headers["Access-Control-Max-Age"]) > 60
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_preflight_never_allows_the_credentials_of_the_browser(pages: TestClient) -> None:
    assert "Access-Control-Allow-Credentials" not in preflight(pages, APP).headers
    assert "Access-Control-Allow-Credentials" not in pages.get("/", headers={"Origin": APP}).headers


def test_other_headers_that_a_page_asks_for_are_allowed(pages: TestClient) -> None:
    answer = preflight(pages, APP, Headers="x-trace-id, baggage,content-type")
    assert {"x-trace-id", "baggage", *SENT_BY_APPS} <= listed(
        answer.headers["Access-Control-Allow-Headers"]
    )


@pytest.mark.parametrize("asked", ["x" * 1001, "x\x01y", "a b", ","])
def test_a_list_of_headers_that_is_long_or_none_is_not_reflected(
    pages: TestClient, asked: str
) -> None:
    answer = preflight(pages, APP, Headers=asked)
    assert answer.status_code == 204
    assert listed(answer.headers["Access-Control-Allow-Headers"]) == set(SENT_BY_APPS)


def test_a_page_of_the_internet_may_reach_a_private_network(pages: TestClient) -> None:
    asked = "Access-Control-Allow-Private-Network"
    assert preflight(pages, APP, **{"Private-Network": "true"}).headers[asked] == "true"
    assert asked not in preflight(pages, APP).headers


@pytest.mark.parametrize("path", ["/v1/jobs", "/nowhere", "/livez", "/v1/jobs/x/events"])
def test_a_preflight_is_answered_whatever_the_path_and_the_method(
    pages: TestClient, path: str
) -> None:
    assert preflight(pages, APP, path, Method="BREW").status_code == 204


@pytest.mark.parametrize("origin", TRICKS)
def test_a_preflight_of_another_origin_is_a_problem_that_names_the_setting(
    pages: TestClient, origin: str
) -> None:
    answer = preflight(pages, origin)
    check_problem(answer, 403)
    assert answer.json()["code"] == "cross-site"
    assert "MLP_ALLOWED_ORIGINS" in answer.json()["detail"]
    assert cors_headers(answer) == {}


def test_the_refusal_says_which_origin_to_add(pages: TestClient) -> None:
    detail = preflight(pages, "https://new.example").json()["detail"]
    assert detail.endswith("to allow this page, add https://new.example there.")
    detail = preflight(pages, "https://a\x7fb").json()["detail"]
    assert detail.endswith("add the page's origin there.")


def test_without_the_setting_a_preflight_is_refused_too(api: TestClient) -> None:
    check_problem(preflight(api, APP), 403)


def test_two_origins_are_no_origin(pages: TestClient) -> None:
    headers = [("Origin", APP), ("Origin", APP), ("Access-Control-Request-Method", "POST")]
    assert pages.options(PREDICT, headers=headers).status_code == 403
    assert pages.post("/v1/jobs", headers=headers, json={}).status_code == 403


def test_options_without_the_question_of_a_preflight_is_an_ordinary_request(
    pages: TestClient,
) -> None:
    answer = pages.options("/v1/jobs", headers={"Origin": APP})
    assert "Access-Control-Allow-Methods" not in answer.headers
    assert answer.headers["Access-Control-Allow-Origin"] == APP


# --- Responses ------------------------------------------------------------------------------------


def check_readable(answer: Any, origin: str = APP) -> None:
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    assert set(EXPOSED) <= listed(answer.headers["Access-Control-Expose-Headers"])
    assert answer.headers["Timing-Allow-Origin"] == origin
    assert "origin" in listed(answer.headers["Vary"])


def test_a_page_of_an_allowed_origin_may_change_jobs_and_read_the_answer(
    pages: TestClient,
) -> None:
    headers = {"Origin": DEV, "Sec-Fetch-Site": "cross-site"}
    answer = pages.post("/v1/jobs", headers=headers, json={"preset": "linear"})
    assert answer.status_code == 201
    check_readable(answer, DEV)


@pytest.mark.parametrize("origin", TRICKS)
def test_a_page_of_another_origin_changes_and_reads_nothing(pages: TestClient, origin: str) -> None:
    answer = pages.post("/v1/jobs", headers={"Origin": origin}, json={"preset": "linear"})
    check_problem(answer, 403)
    assert "MLP_ALLOWED_ORIGINS" in answer.json()["detail"]
    assert cors_headers(answer) == {}
    answer = pages.get("/v1/jobs", headers={"Origin": origin})
    assert answer.json()["data"] == []
    assert cors_headers(answer) == {}
    assert "origin" in listed(answer.headers["Vary"])


@pytest.mark.parametrize(
    ("status", "request_of"),
    [
        (400, {"method": "POST", "url": "/v1/jobs", "content": b"{"}),
        (400, {"method": "GET", "url": "/v1/jobs", "headers": {"Host": "evil.example"}}),
        (404, {"method": "GET", "url": "/nowhere"}),
        (405, {"method": "PUT", "url": "/v1/jobs"}),
        (413, {"method": "POST", "url": "/v1/jobs", "content": bytes(300_000)}),
        (415, {"method": "POST", "url": "/v1/jobs", "content": b"{}", "type": "text/plain"}),
        (422, {"method": "POST", "url": "/v1/jobs", "content": b'{"epochs": 0}'}),
    ],
)
def test_errors_can_be_read_too(pages: TestClient, status: int, request_of: dict[str, Any]) -> None:
    asked = dict(request_of)
    headers = {"Origin": APP, "Content-Type": asked.pop("type", "application/json")}
    asked["headers"] = headers | asked.get("headers", {})
    answer = pages.request(**asked)
    assert answer.status_code == status
    check_readable(answer)


def test_a_crash_can_be_read_too(
    data_dir: Path, datasets_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(data_dir, datasets_dir, APP) as client:
        services = client.app.state.services  # type: ignore[attr-defined]  # TestClient hides it

        def crash(*_: object, **__: object) -> None:
            raise RuntimeError("boom")

        monkeypatch.setattr(type(services.jobs), "page", crash)
        answer = client.get("/v1/jobs", headers={"Origin": APP})
        assert answer.status_code == 500
        check_readable(answer)


def test_a_refusal_without_a_key_can_be_read_and_its_preflight_needs_none(
    data_dir: Path, datasets_dir: Path, database: Database
) -> None:
    ApiKeyStore(database).create("ada", ["read"])
    with opened(data_dir, datasets_dir, APP) as client:
        assert preflight(client, APP, "/v1/jobs", Headers="authorization").status_code == 204
        answer = client.get("/v1/jobs", headers={"Origin": APP})
        assert answer.status_code == 401
        check_readable(answer)
        answer = client.post(PREDICT, headers={"Origin": APP}, content=b"x")
        assert answer.status_code == 401
        check_readable(answer)


def test_a_304_can_be_read_too(pages: TestClient) -> None:
    picture = "/v1/datasets/mnist/test/0.png"
    tag = pages.get(picture).headers["ETag"]
    answer = pages.get(picture, headers={"Origin": APP, "If-None-Match": tag})
    assert answer.status_code == 304
    check_readable(answer)


def test_caches_keep_answers_to_pages_and_to_others_apart(
    pages: TestClient, api: TestClient
) -> None:
    assert "origin" in listed(pages.get("/v1/jobs").headers["Vary"])
    assert "Vary" not in api.get("/v1/jobs").headers


def test_an_event_stream_reaches_a_page_of_another_origin(
    data_dir: Path, datasets_dir: Path
) -> None:
    with Live(settings(data_dir, datasets_dir, allowed_origins=[APP])) as live:
        job = live.http.post("/v1/jobs", json={"preset": "linear", "epochs": 1}).json()["id"]
        attempt = claimed(live.database)
        record(attempt, 1)
        succeed(attempt)
        stream = f"/v1/jobs/{job}/events"
        headers = {"Origin": APP, "Accept": "text/event-stream", "Sec-Fetch-Site": "cross-site"}
        answer = live.http.get(stream, headers=headers)
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert "event: epoch" in answer.text
        check_readable(answer)
        last = max(line for line in answer.text.splitlines() if line.startswith("id: "))
        ended = live.http.get(
            stream, headers=headers | {"Last-Event-ID": last.removeprefix("id: ")}
        )
        assert ended.status_code == 204  # an EventSource stops at it, if it may read it
        check_readable(ended)


# --- Origins of anybody ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "origin"), [("*", "https://any.example"), ("*", "null"), ("null", "null")]
)
def test_entries_for_anybody_count_only_while_there_are_keys(
    data_dir: Path, datasets_dir: Path, database: Database, entry: str, origin: str
) -> None:
    with opened(data_dir, datasets_dir, entry) as client:
        assert preflight(client, origin).status_code == 403
        assert client.post("/v1/jobs", headers={"Origin": origin}, json={}).status_code == 403
    secret = ApiKeyStore(database).create("ada", ["train"])
    with opened(data_dir, datasets_dir, entry) as client:
        headers = {"Origin": origin, "Authorization": f"Bearer {secret}"}
        assert preflight(client, origin).headers["Access-Control-Allow-Origin"] == origin
        assert client.post("/v1/jobs", headers=headers, json={}).status_code == 201
        answer = client.post("/v1/jobs", headers={"Origin": origin}, json={})
        assert answer.status_code == 401
        check_readable(answer, origin)


def test_null_allows_no_other_origin(
    data_dir: Path, datasets_dir: Path, database: Database
) -> None:
    ApiKeyStore(database).create("ada", ["train"])
    with opened(data_dir, datasets_dir, "null") as client:
        assert preflight(client, APP).status_code == 403


@local_files
def test_a_star_counts_no_more_than_keys_can_be_read(
    data_dir: Path, datasets_dir: Path, database: Database
) -> None:
    ApiKeyStore(database).create("ada", ["train"])
    with opened(data_dir, datasets_dir, "*", APP) as client:
        (data_dir / "jobs.sqlite3").write_bytes(b"no database" * 1000)
        assert preflight(client, "https://any.example").status_code == 403
        assert preflight(client, APP).status_code == 204


@pytest.mark.parametrize("origin", [APP, "https://evil.example"])
def test_a_stolen_key_helps_a_page_of_another_origin_to_nothing(
    data_dir: Path, datasets_dir: Path, database: Database, origin: str
) -> None:
    secret = ApiKeyStore(database).create("ada", ["read", "train", "predict", "admin"])
    with opened(data_dir, datasets_dir, DEV) as client:
        headers = {"Origin": origin, "Authorization": f"Bearer {secret}"}
        assert preflight(client, origin, Headers="authorization").status_code == 403
        for method, path in (("POST", "/v1/jobs"), ("POST", PREDICT), ("DELETE", "/v1/jobs/x")):
            answer = client.request(method, path, headers=headers, json={})
            check_problem(answer, 403)
            assert answer.json()["code"] == "cross-site"
        assert cors_headers(client.get("/v1/jobs", headers=headers)) == {}
