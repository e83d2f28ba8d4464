"""Every answer has an id, whichever layer gives it; problems and log lines repeat it."""

import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.server import request_id
from tests.service.server.test_stack import PREDICT, Stacked
from tests.support.engines import local_files
from tests.support.raw_requests import raw
from tests.support.server_process import Server

GENERATED = re.compile(r"[0-9a-f]{10}-[0-9a-f]{8,}")


@pytest.mark.parametrize(
    "id_", ["7", "a-b_c.d:e/f+g=h@i~j", "Root=1-67891233-abcdef012345678912345678", "x" * 128]
)
@pytest.mark.parametrize("name", [b"request-id", b"x-request-id"])
def test_a_well_formed_id_of_the_client_is_kept(name: bytes, id_: str) -> None:
    assert request_id.chosen([(b"host", b"x"), (name, id_.encode())]) == id_


@pytest.mark.parametrize(
    "id_",
    ["", " ", "a b", "-a", "x" * 129, 'a"b', "a\\b", "a\nb", "\x1b[31m", "a\0", "é", "<b>", "a,b"],
)
def test_any_other_id_is_replaced(id_: str) -> None:
    assert GENERATED.fullmatch(request_id.chosen([(b"x-request-id", id_.encode())]))


def test_of_two_headers_request_id_counts_and_the_other_one_if_it_is_malformed() -> None:
    both = [(b"x-request-id", b"x"), (b"request-id", b"plain")]
    assert request_id.chosen(both) == "plain"
    assert request_id.chosen([(b"x-request-id", b"x"), (b"request-id", b"not plain")]) == "x"


def test_generated_ids_differ() -> None:
    assert len({request_id.new() for _ in range(1000)}) == 1000


def test_success_has_an_id(api: TestClient) -> None:
    for path in ("/livez", "/readyz", "/docs", "/openapi.json", "/v1/jobs", "/metrics"):
        assert api.get(path, headers={"Request-Id": "mine"}).headers["Request-Id"] == "mine"
        assert GENERATED.fullmatch(api.get(path).headers["Request-Id"])


REFUSED: list[tuple[str, str, int, dict[str, Any]]] = [
    ("GET", "/nowhere", 404, {}),
    ("PUT", "/v1/jobs", 405, {}),
    ("GET", "/docs", 400, {"headers": {"Host": "evil.example"}}),
    ("POST", "/v1/jobs", 403, {"headers": {"Origin": "http://evil.example"}}),
    ("POST", "/v1/jobs", 413, {"content": b"x" * 300_000}),
    ("POST", "/v1/jobs", 422, {"json": {"epochs": -1}}),
    ("GET", "/v1/jobs/job_x", 404, {}),
    ("POST", PREDICT, 404, {"content": bytes(784)}),
    ("POST", PREDICT, 415, {"content": b"x", "headers": {"Content-Type": "text/html"}}),
]


@pytest.mark.parametrize(("method", "path", "status", "options"), REFUSED)
def test_a_refusal_has_its_id_in_header_and_body(
    api: TestClient, method: str, path: str, status: int, options: dict[str, Any]
) -> None:
    headers = {"Content-Type": "application/octet-stream"} if "content" in options else {}
    headers |= {"X-Request-Id": "mine", **options.get("headers", {})}
    answer = api.request(method, path, **{**options, "headers": headers})
    assert answer.status_code == status, answer.text
    assert (answer.headers.get_list("Request-Id"), answer.json()["request_id"]) == (
        ["mine"],
        "mine",
    )


@pytest.mark.parametrize("headers", [{"Request-Id": "mine"}, {}])
def test_a_refusal_under_overload_has_its_id_too(headers: dict[str, str]) -> None:
    stacked = Stacked(slots=0)
    answer = stacked.client.post(PREDICT, headers=headers)
    assert answer.status_code == 503
    assert answer.headers["Request-Id"] == answer.json()["request_id"]
    assert answer.headers["Request-Id"] == "mine" or GENERATED.fullmatch(
        answer.headers["Request-Id"]
    )
    assert int(answer.headers["Content-Length"]) == len(answer.content)


def test_a_crashed_layer_is_answered_with_the_id(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise ZeroDivisionError

    stacked = Stacked()
    monkeypatch.setattr(stacked.keys, "all", crash)
    client = TestClient(stacked.app, base_url="http://localhost", raise_server_exceptions=False)
    answer = client.get("/v1/jobs", headers={"Request-Id": "mine"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert (answer.headers["Request-Id"], answer.json()["request_id"]) == ("mine", "mine")
    assert 'error_type="ZeroDivisionError"' in stacked.measured()


@local_files
def test_lines_logged_during_a_request_have_its_id(tmp_path: Path, datasets_dir: Path) -> None:
    environment = {"MLP_CONCURRENT_JOBS": "0", "MLP_LOG_FORMAT": "json"}
    server = Server(tmp_path / "data", datasets_dir, **environment).start()
    try:
        status, answer = raw(server, b"GET / HTTP/9\r\n\r\n")
        assert status == 400
        assert GENERATED.search(answer.decode())
        (server.data_dir / "jobs.sqlite3").write_bytes(b"no database" * 1000)
        headers = {"Request-Id": "mine"}
        refused = server.http.get("/v1/jobs", headers=headers)
        assert (refused.status_code, refused.json()["request_id"]) == (503, "mine")
        failed = [line for line in server.log().splitlines() if "request_failed" in line]
        assert any('"request_id": "mine"' in line for line in failed), failed
    finally:
        server.stop()
