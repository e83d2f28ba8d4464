"""HEAD answers as GET without a body; OPTIONS tells the methods of an address."""

import socket
import time

import pytest
from starlette.testclient import TestClient

from service.store.api_keys import ApiKeyStore
from service.store.sql.database import Database
from tests.conftest import submit
from tests.service.conftest import World
from tests.support.live_service import Live
from tests.support.server_process import eventually

PATHS = (
    "/",
    "/livez",
    "/readyz",
    "/docs",
    "/openapi.json",
    "/vendor/vendor.json",
    "/problems/invalid",
    "/v1/jobs",
    "/v1/presets",
    "/v1/jobs/{linear}",
    "/v1/jobs/{linear}/epochs",
    "/v1/jobs/{linear}/epochs.csv",
    "/v1/jobs/{linear}/curves.svg",
    "/v1/models/latest/weights.json",
    "/v1/models/latest/weights.npz",
    "/v1/models/{deep}/weights.safetensors",
    "/v1/models/{linear}/layers/1/weights.png",
    "/v1/models/{linear}/layers/1/weights.npy",
    "/v1/datasets/mnist/samples.png",
    "/v1/datasets/mnist/test/7.json",
    "/v1/jobs/{linear}/events",
    "/v1/datasets/mnist/events",
    "/v1/jobs/nope",
    "/v1/jobs?limit=0",
    "/v1/models/latest/predict",
    "/nothing",
)


@pytest.mark.parametrize("path", PATHS)
def test_head_has_the_status_and_headers_of_get(
    reader: TestClient, world: World, path: str
) -> None:
    path = path.format(linear=world.linear, deep=world.deep)
    headers = {"Request-Id": "same"}
    get, head = reader.get(path, headers=headers), reader.head(path, headers=headers)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert dict(head.headers) == dict(get.headers)


def test_head_of_an_unchanged_answer_is_304(reader: TestClient) -> None:
    path = "/v1/datasets/mnist/test/7.png"
    held = {"If-None-Match": reader.head(path).headers["ETag"]}
    assert reader.head(path, headers=held).status_code == 304


def test_head_needs_the_key_that_get_needs(api: TestClient, api_database: Database) -> None:
    key = ApiKeyStore(api_database).create("ada", ["read"])
    assert api.head("/v1/jobs").status_code == 401
    assert api.head("/v1/jobs", headers={"Authorization": f"Bearer {key}"}).status_code == 200
    assert api.head("/livez").status_code == 200


def test_metrics_count_head_under_its_own_name_and_the_route(reader: TestClient) -> None:
    reader.head("/v1/presets")
    lines = reader.get("/metrics").text.splitlines()
    labels = ('"HEAD"', '"/v1/presets"', 'http_response_status_code="200"')
    counts = [line for line in lines if "duration_seconds_count" in line]
    assert [line for line in counts if all(label in line for label in labels)]


def test_head_of_an_endless_stream_ends_at_once_and_leaves_no_listener(live: Live) -> None:
    job = submit(live.jobs, preset="linear")
    feed = live.app.state.components.event_feed
    for after in ("0", "99"):  # with events to send, and with none
        started = time.monotonic()
        answer = live.http.head(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": after})
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert time.monotonic() - started < 5
    eventually(lambda: not feed.followed, "the end of both streams", 5)


def test_a_connection_goes_on_after_head(live: Live) -> None:
    """The next answer must follow the headers directly, or a client would misread it."""
    port = int(str(live.http.base_url).rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for path in (b"/openapi.json", b"/v1/jobs"):
            connection.sendall(b"HEAD %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path)
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/livez", "GET, HEAD, OPTIONS"),
        ("/v1/jobs", "GET, HEAD, POST, OPTIONS"),
        ("/v1/jobs/", "GET, HEAD, POST, OPTIONS"),
        ("/v1/jobs/x", "GET, HEAD, PATCH, DELETE, OPTIONS"),
        ("/v1/jobs/preview", "POST, OPTIONS"),
        ("/v1/jobs/actions", "POST, OPTIONS"),
        ("/v1/jobs/x/resume", "POST, OPTIONS"),
        ("/v1/models/latest/predict", "POST, OPTIONS"),
        ("/vendor/vendor.json", "GET, HEAD, OPTIONS"),
    ],
)
def test_options_lists_the_methods(reader: TestClient, path: str, allowed: str) -> None:
    answer = reader.options(path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Allow"] == allowed
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Content-Length" not in answer.headers


def test_options_of_an_unknown_address_is_not_found(reader: TestClient) -> None:
    answer = reader.options("/v1/nothing")
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


def test_options_with_a_body_that_is_too_large_is_refused(reader: TestClient) -> None:
    answer = reader.request("OPTIONS", "/v1/jobs", content=bytes(300_000))
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")


def test_options_of_a_star_is_about_the_whole_service(live: Live) -> None:
    port = int(str(live.http.base_url).rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert b"allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" in answer
