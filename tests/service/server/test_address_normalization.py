"""One slash at the end and parameters that mean nothing, removed before anything is decided."""

import asyncio
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from service.server.address_normalization import normalize_addresses
from service.server.auth import needed_scope
from service.store.api_keys import ApiKeyStore
from service.store.sql.database import Database
from tests.service.conftest import World


def normalized(path: str, query: str = "", **others: Any) -> tuple[str, bytes, str]:
    """Return the path, the raw path and the query that the next layer sees."""
    seen: Scope = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.update(scope)

    async def unused(*_: object) -> Any:
        raise AssertionError("nothing may be received or sent")

    scope = {"type": "http", "path": path, "raw_path": path.encode(), **others}
    scope["query_string"] = query.encode()
    asyncio.run(_run(normalize_addresses(app), scope, unused))
    return seen["path"], seen["raw_path"], seen["query_string"].decode()


async def _run(app: Any, scope: Scope, unused: Any) -> None:
    await app(scope, unused, unused)


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/", "/"),
        ("/livez", "/livez"),
        ("/livez/", "/livez"),
        ("/v1/jobs/", "/v1/jobs"),
        ("/livez//", "/livez//"),
        ("//", "//"),
        ("//livez", "//livez"),
        ("/v1//jobs/", "/v1//jobs"),
        ("*", "*"),
    ],
)
def test_one_slash_at_the_end_is_removed(path: str, seen: str) -> None:
    assert normalized(path)[:2] == (seen, seen.encode())


def test_an_escaped_slash_is_part_of_a_name() -> None:
    assert normalized("/v1/jobs/", raw_path=b"/v1/jobs%2F")[0] == "/v1/jobs/"


def test_the_root_of_a_service_behind_a_prefix_stays_as_it_is() -> None:
    """The layer in front has removed the prefix."""
    assert normalized("/", root_path="/mlp")[0] == "/"
    assert normalized("/livez/", root_path="/mlp")[0] == "/livez"


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ("", ""),
        ("_=1732820000000", ""),
        ("limit=2&_=1&t=2&limit=3", "limit=2&limit=3"),
        ("cb=1&cachebust=2&nocache&ts=3&top_k=2", "top_k=2"),
        ("lastEventId=7", ""),
        ("T=1&__=2&tt=3", "T=1&__=2&tt=3"),
        ("limit=%5F&a=_=1", "limit=%5F&a=_=1"),
    ],
)
def test_parameters_that_only_get_around_caches_are_removed(query: str, seen: str) -> None:
    assert normalized("/v1/jobs", query)[2] == seen


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ("lastEventId=7", "lastEventId=7"),
        ("_=1&lastEventId=7&t=2", "lastEventId=7"),
        ("lastEventId=7&lastEventId=9", "lastEventId=9"),
        ("lastEventId=", ""),
    ],
)
def test_an_event_stream_keeps_the_last_id_that_was_sent(query: str, seen: str) -> None:
    assert normalized("/v1/jobs/x/events/", query)[2] == seen


def test_a_path_needs_the_same_key_with_a_slash_and_without(
    api: TestClient, api_database: Database
) -> None:
    ApiKeyStore(api_database).create("ada", ["read"])
    for path in ("/livez", "/readyz", "/docs", "/problems/invalid"):
        assert needed_scope("GET", path) is None
        assert api.get(f"{path}/").status_code == 200
    for path in ("/v1/jobs/", "/metrics/", "/livez//", "/livez/../v1/jobs/"):
        assert api.get(path).status_code == 401, path


def test_an_address_is_answered_with_a_slash_as_without(reader: TestClient, world: World) -> None:
    paths = ["/v1/jobs", f"/v1/jobs/{world.linear}", "/v1/presets", "/docs", "/v1/datasets/mnist"]
    for path in paths:
        plain, slash = reader.get(path), reader.get(f"{path}/", follow_redirects=False)
        assert (slash.status_code, slash.content) == (200, plain.content), path
    body = {"inputs": [{"dataset": "mnist", "index": 0}]}
    plain = reader.post("/v1/models/latest/predict", json=body)
    slash = reader.post("/v1/models/latest/predict/", json=body, follow_redirects=False)
    assert (slash.status_code, slash.content) == (200, plain.content)


def test_a_job_submitted_with_a_slash_is_found_at_its_location(api: TestClient) -> None:
    answer = api.post("/v1/jobs/", json={}, follow_redirects=False)
    assert answer.status_code == 201
    assert api.get(answer.headers["Location"]).json()["id"] == answer.json()["id"]


def test_two_slashes_are_nobodys_address(reader: TestClient) -> None:
    for path in ("/v1/jobs//", "/v1//jobs", "/livez//"):
        assert reader.get(path, follow_redirects=False).status_code == 404, path


def test_an_etag_does_not_depend_on_ignored_parameters(reader: TestClient, world: World) -> None:
    path = f"/v1/jobs/{world.linear}/curves.png"
    plain, busted = reader.get(f"{path}?width=300"), reader.get(f"{path}?width=300&_=1&t=2")
    assert busted.status_code == 200
    assert busted.headers["ETag"] == plain.headers["ETag"]
