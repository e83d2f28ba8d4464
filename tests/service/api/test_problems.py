"""Every error is a problem document, and every answer carries the security headers."""

import asyncio
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from service.api import problem_responses
from service.api.problem_types import PROBLEM_TYPES
from service.domain.errors import Replaced, StoreBroken
from service.server.request_guard import RequestGuard
from service.store.jobs import JobStore
from tests.service.api.test_hostile_bodies import check_problem

ROOT = Path(__file__).parents[3]
HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
LOCKED = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
)


# --- Addresses ---


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/v1",
        "/v2/jobs",
        "/v1/jobs/x/curves.gif",
        "/v1/models/latest/weights.pkl",
        "/v1/models/latest/layers/1/weights.jpg",
        "/v1/models/latest/layers/one/weights.png",
        "/v1/models/latest/layers/0/weights.png",
        "/v1/models/latest/layers/-1/weights.png",
        "/v1/models/latest/layers/99999999999999999999/weights.png",
        "/v1/datasets/mnist/test/0.gif",
        "/v1/datasets/mnist/test/-1.png",
        "/v1/datasets/mnist/both/0.png",
        "/v1/jobs/" + "x" * 65,
        "/v1/jobs/" + "x" * 20_000,
        "/v1/jobs/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/problems/nonsense",
        "/problems/" + "x" * 20_000,
        "/vendor/../app.py",
        "/vendor/%2e%2e/%2e%2e/app.py",
        "/vendor/..%2f..%2fapp.py",
        "/vendor/%00",
        "/vendor/",
        "/vendor/" + "x" * 5000,
    ],
)
def test_an_unknown_address_is_a_small_404(reader: TestClient, path: str) -> None:
    answer = reader.get(path)
    check_problem(answer, 404)
    assert answer.json()["code"] == "not-found"
    assert len(answer.content) < 600


@pytest.mark.parametrize(
    "job", ["x", "%00", "%ED%A0%80", "%0a", "%2e%2e", "😀", "latest", "x" * 64]
)
@pytest.mark.parametrize("tail", ["", "/epochs", "/epochs.csv", "/events", "/curves.png"])
def test_an_unknown_job_is_not_found_on_every_route(
    reader: TestClient, job: str, tail: str
) -> None:
    answer = reader.get(f"/v1/jobs/{job}{tail}")
    check_problem(answer, 404)
    assert answer.json()["code"] == "job-not-found"


@pytest.mark.parametrize(
    "path", ["weights.json", "layers/1/weights.png", "predict"], ids=lambda path: path
)
def test_an_unknown_model_is_not_found_on_every_route(reader: TestClient, path: str) -> None:
    address, body = f"/v1/models/nope/{path}", {"inputs": [{"dataset": "mnist", "index": 0}]}
    answer = reader.post(address, json=body) if path == "predict" else reader.get(address)
    check_problem(answer, 404)
    assert answer.json()["code"] == "job-not-found"


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "?limit"),
        ("limit=101", "?limit"),
        ("limit=", "?limit"),
        ("limit=1e1", "?limit"),
        ("limit=" + "9" * 5000, "?limit"),
        ("state=done", "?state/0"),
        ("state=queued&state=%ED%A0%80", "?state/1"),
        ("state=" + "x" * 50_000, "?state/0"),
        ("after=" + "x" * 65, "?after"),
    ],
)
def test_a_bad_query_is_refused_by_name(reader: TestClient, query: str, pointer: str) -> None:
    answer = reader.get(f"/v1/jobs?{query}")
    check_problem(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize("after", ["", "x", "%00", "../.."])
def test_a_page_after_an_unknown_job_is_not_found(reader: TestClient, after: str) -> None:
    check_problem(reader.get(f"/v1/jobs?after={after}"), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/jobs", "GET, HEAD, POST, OPTIONS"),
        ("DELETE", "/v1/jobs", "GET, HEAD, POST, OPTIONS"),
        ("PUT", "/v1/jobs/x", "GET, HEAD, PATCH, DELETE, OPTIONS"),
        ("POST", "/v1/jobs/x", "GET, HEAD, PATCH, DELETE, OPTIONS"),
        ("GET", "/v1/jobs/preview", "POST, OPTIONS"),
        ("PATCH", "/v1/jobs/preview", "POST, OPTIONS"),
        ("DELETE", "/v1/jobs/actions/", "POST, OPTIONS"),
        ("GET", "/v1/jobs/x/cancel", "POST, OPTIONS"),
        ("GET", "/v1/models/latest/predict", "POST, OPTIONS"),
        ("POST", "/livez", "GET, HEAD, OPTIONS"),
        ("FOO", "/metrics", "GET, HEAD, OPTIONS"),
        ("POST", "/vendor/vendor.json", "GET, HEAD, OPTIONS"),
    ],
)
def test_the_answer_to_a_wrong_method_lists_the_right_ones(
    reader: TestClient, method: str, path: str, allowed: str
) -> None:
    answer = reader.request(method, path)
    check_problem(answer, 405)
    assert answer.headers["Allow"] == allowed


# --- Crashes ---


def raising(error: Exception) -> Any:
    def broken(*_: object) -> Any:
        raise error

    return broken


def test_an_unexpected_error_goes_to_the_log_and_not_to_the_client(
    api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JobStore, "get", raising(RuntimeError("secret /srv/path")))
    with capture_logs() as logged:
        answer = api.get("/v1/jobs/x")
    check_problem(answer, 500)
    assert answer.json()["code"] == "internal"
    assert not re.search("secret|root|RuntimeError", answer.text)
    [entry] = logged
    assert (entry["event"], entry["path"]) == ("request_crashed", "/v1/jobs/x")
    assert str(entry["exc_info"]) == "secret /srv/path"


@pytest.mark.parametrize("error", [StoreBroken("the disk is full"), Replaced("job_x", 2)])
def test_a_broken_store_suggests_a_retry(
    api: TestClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(JobStore, "page", raising(error))
    with capture_logs() as logged:
        answer = api.get("/v1/jobs")
    assert [entry["error"] for entry in logged] == [str(error)]
    check_problem(answer, 503 if isinstance(error, StoreBroken) else 500)
    assert answer.headers["Retry-After"] == "1"
    assert answer.json()["detail"] == str(error)


def test_every_kind_of_problem_has_its_page(reader: TestClient) -> None:
    for code, kind in PROBLEM_TYPES.items():
        page = reader.get(f"/problems/{code}")
        assert page.json() == {"type": f"/problems/{code}", **kind._asdict()}


def test_every_code_in_the_tables_is_explained() -> None:
    named = {*problem_responses.CODES.values(), *problem_responses.BY_STATUS.values()}
    written = re.findall(r'problem\(\s*"([a-z-]+)"', "".join(sources()))
    assert len(written) > 3
    assert named | set(written) <= set(PROBLEM_TYPES)
    assert all(
        PROBLEM_TYPES[code].status == status for status, code in problem_responses.BY_STATUS.items()
    )


def sources() -> list[str]:
    return [path.read_text() for path in (ROOT / "service/api").glob("*.py")]


def test_a_status_without_a_code_of_its_own_is_a_bad_request() -> None:
    app, router = FastAPI(), APIRouter()

    @router.get("/teapot")
    def teapot() -> Any:
        raise HTTPException(418, "short and stout")

    app.include_router(router)
    problem_responses.install(app)
    found = TestClient(app).get("/teapot").json()
    assert (found["code"], found["detail"]) == ("bad-request", "short and stout")


# --- The edge ---


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/livez", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/vendor/vendor.json", 200),
        ("GET", "/v1/datasets/mnist/test/0.png", 200),
        ("GET", "/v1/jobs/nope", 404),
        ("GET", "/nothing", 404),
        ("PUT", "/v1/jobs", 405),
        ("POST", "/v1/jobs", 415),
    ],
)
def test_every_answer_has_security_headers(
    reader: TestClient, method: str, path: str, status: int
) -> None:
    answer = reader.request(method, path)
    assert answer.status_code == status
    assert HEADERS.items() <= dict(answer.headers).items()
    assert answer.headers["Content-Security-Policy"] == LOCKED
    assert "server" not in answer.headers


def test_answers_from_below_the_application_have_security_headers(
    api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JobStore, "get", raising(RuntimeError("boom")))
    large = api.post("/v1/jobs", content=b" " * 300_000, headers={"Content-Type": "text/plain"})
    with capture_logs():
        crash = api.get("/v1/jobs/x")
    for answer, status in ((crash, 500), (large, 413)):
        assert answer.status_code == status
        assert HEADERS.items() <= dict(answer.headers).items()
        assert answer.headers["Content-Security-Policy"] == LOCKED


def test_a_304_answer_has_security_headers(reader: TestClient) -> None:
    tag = reader.get("/v1/datasets/mnist/test/0.png").headers["ETag"]
    answer = reader.get("/v1/datasets/mnist/test/0.png", headers={"If-None-Match": tag})
    assert answer.status_code == 304
    assert HEADERS.items() <= dict(answer.headers).items()


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8000"]
)
def test_the_host_names_of_this_machine_are_accepted(reader: TestClient, host: str) -> None:
    assert reader.get("/v1/jobs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "127.0.0.1.evil.example", "localhost.", "[::1", "127.0.0.1@x", "a" * 3000],
)
def test_a_foreign_host_name_is_refused(reader: TestClient, host: str) -> None:
    answer = reader.get("/v1/jobs", headers={"Host": host})
    check_problem(answer, 400)
    assert answer.json()["code"] == "host-not-allowed"
    assert HEADERS.items() <= dict(answer.headers).items()
    assert len(answer.content) < 400


def test_a_refused_requests_body_is_not_read() -> None:
    async def never(*_: object) -> Any:
        raise AssertionError("the app was asked, or the body read")

    sent = []

    async def send(message: Message) -> Any:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "headers": [(b"host", b"evil.example")]}
    asyncio.run(RequestGuard(never, ["localhost"])(scope, never, send))
    assert sent[0]["status"] == 400


def test_a_star_accepts_all_host_names() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> Any:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    assert (
        TestClient(RequestGuard(app, ["*"]), base_url="http://any.example").get("/").status_code
        == 204
    )
    assert (
        TestClient(RequestGuard(app, ["x.y"]), base_url="http://X.y:8").get("/").status_code == 204
    )
    other = TestClient(RequestGuard(app, ["x.y"]), base_url="http://any.example")
    assert other.get("/").status_code == 400


# --- The page ---


class Loaded(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: Any, attributes: Any) -> None:
        self.addresses += [value for name, value in attributes if name in ("src", "href") and value]


def test_the_api_page_loads_nothing_from_elsewhere(reader: TestClient) -> None:
    page = reader.get("/docs")
    loaded = Loaded()
    loaded.feed(page.text)
    assert len(loaded.addresses) >= 3
    for address in loaded.addresses:
        assert address.startswith("/vendor/")
        assert reader.get(address).status_code == 200
    assert not re.findall(r"(?:https?:)?//[a-z]", page.text)
    assert "/openapi.json" in page.text


def test_the_policy_of_the_api_page_allows_what_it_needs_and_no_more(reader: TestClient) -> None:
    policy = dict(
        part.split(" ", 1)
        for part in reader.get("/docs").headers["Content-Security-Policy"].split("; ")
    )
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self' 'unsafe-inline'",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "frame-ancestors": "'none'",
    }


def test_the_first_page_links_to_the_others(reader: TestClient) -> None:
    links = reader.get("/").json()
    for address in (links["docs"], links["openapi"], links["jobs"]):
        assert reader.get(address).status_code == 200


# --- Query parameters ---


@pytest.mark.parametrize(
    ("path", "pointer", "detail", "hint"),
    [
        ("/v1/jobs?stat=queued", "?stat", "unknown parameter", "did you mean 'state'?"),
        ("/v1/jobs?limit=1&limit=1", "?limit", "is sent 2 times; send it once", None),
        ("/v1/jobs/nope/epochs?after=1&after=x", "?after", "is sent 2 times; send it once", None),
        ("/v1/presets?x=1", "?x", "unknown parameter", None),
    ],
)
def test_query_parameters_that_would_be_ignored_are_refused(
    api: TestClient, path: str, pointer: str, detail: str, hint: str | None
) -> None:
    answer = api.get(path)
    assert answer.status_code == 422
    expected = {"pointer": pointer, "detail": detail} | ({"hint": hint} if hint else {})
    assert expected in answer.json()["errors"]


def test_an_unknown_parameter_is_reported_beside_a_repeated_one(api: TestClient) -> None:
    answer = api.get("/v1/jobs?limit=3&limit=4&stat=x")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["?limit", "?stat"]


@pytest.mark.parametrize(
    "path", ["/v1/datasets/mnist/bad/3.png?x=1", "/v1/models/latest/weights.bmp?x=1"]
)
def test_a_bad_path_is_reported_before_its_query(api: TestClient, path: str) -> None:
    answer = api.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


@pytest.mark.parametrize("path", ["/v1/jobs?state=queued&state=paused", "/livez?now=1", "/?x"])
def test_query_parameters_that_may_be_repeated_are_accepted(api: TestClient, path: str) -> None:
    assert api.get(path).status_code == 200
