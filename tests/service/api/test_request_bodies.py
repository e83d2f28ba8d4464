"""Bodies where none is read: refused, unless nothing is in them."""

import socket
import time
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.conftest import submit
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.conftest import World
from tests.support.live_service import Live

NOTHING = [b"", b"{}", b" { } \n", b" \r\n\t", b"\xef\xbb\xbf{}"]
SOMETHING = [
    b'{"epochs": 10}',
    b"[]",
    b"null",
    b"x",
    b"a=1",
    b"{}{}",
    b" " * 2000,
    b"\0" * 100_000,
]
GETS = ("/v1/jobs", "/v1/jobs/{}", "/v1/jobs/{}/epochs", "/v1/presets", "/livez", "/docs", "/")
OTHERS = ("/v1/jobs/{}/events", "/v1/jobs/{}/curves.png", "/vendor/vendor.json", "/metrics")


@pytest.mark.parametrize("path", [*GETS, *OTHERS])
def test_a_get_takes_no_body_but_an_empty_one(reader: TestClient, world: World, path: str) -> None:
    path = path.format(world.linear)
    for body in NOTHING:
        assert reader.request("GET", path, content=body).status_code == 200, body
    for body in SOMETHING:
        answer = reader.request("GET", path, content=body)
        check_problem(answer, 422)
        assert answer.json()["errors"][0]["pointer"] == "#"
        assert f"GET {path} takes no body" in answer.json()["detail"]
        assert reader.request("HEAD", path, content=body).status_code == 422


def test_a_body_without_a_known_length_is_looked_at_too(reader: TestClient) -> None:
    assert reader.request("GET", "/v1/jobs", content=iter([b"{", b"}"])).status_code == 200
    assert reader.request("GET", "/v1/jobs", content=iter([b"{", b"1}"])).status_code == 422
    endless = iter([b"x" * 1000] * 200)
    assert reader.request("GET", "/v1/jobs", content=endless).status_code == 422


@pytest.mark.parametrize("action", ["pause", "resume", "cancel"])
def test_an_action_refuses_a_body_and_does_nothing(live: Live, action: str) -> None:
    """Over real HTTP: `resume` with other epochs must not look as if it had changed the job."""
    job = submit(live.jobs, preset="linear")
    if action == "resume":
        live.http.post(f"/v1/jobs/{job}/pause")
    before = live.http.get(f"/v1/jobs/{job}").json()
    answer = live.http.post(f"/v1/jobs/{job}/{action}", json={"epochs": 10})
    check_problem(answer, 422)
    assert f"{action} takes no body" in answer.json()["detail"]
    assert live.http.get(f"/v1/jobs/{job}").json() == before
    nothing: list[dict[str, Any]] = [{}, {"json": {}}, {"content": b""}, {"content": iter([b"{}"])}]
    for body in nothing:
        assert live.http.post(f"/v1/jobs/{job}/{action}", **body).status_code == 200


def test_deleting_with_a_body_deletes_nothing(api: TestClient) -> None:
    path = f"/v1/jobs/{api.post('/v1/jobs', json={}).json()['id']}"
    check_problem(api.request("DELETE", path, json={"force": True}), 422)
    assert api.get(path).status_code == 200
    assert api.request("DELETE", path, json={}).status_code == 204


def test_a_body_that_never_comes_does_not_block_others(live: Live) -> None:
    port = int(str(live.http.base_url).rstrip("/").rpartition(":")[2])
    head = b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head)
        started = time.monotonic()
        assert live.http.get("/v1/jobs").status_code == 200
        assert time.monotonic() - started < 5
        connection.sendall(b" {}  ")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
        connection.sendall(head)  # and now the body does not come at all
        started = time.monotonic()
        assert connection.recv(65536).startswith(b"HTTP/1.1 422 ")
        assert time.monotonic() - started < 5.9  # when the connection would be closed
