"""Two servers of one database behind a balancer: each accepts what the other one has given out."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.server import key_ring
from service.store.api_keys import ApiKeyStore
from service.store.jobs import JobStore
from service.store.sql.database import Database
from tests.conftest import QUICK, submit
from tests.service.conftest import URL
from tests.support.keyed_service import bearer
from tests.support.live_service import settings

OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class Pair:
    """Two servers with directories of their own."""

    database: Database
    one: TestClient
    other: TestClient


@pytest.fixture
def pair(
    tmp_path: Path, datasets_dir: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Pair]:
    monkeypatch.setattr(key_ring, "KEY_CACHE_SECONDS", 0.0)
    with ExitStack() as stack:
        clients = []
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
            made = settings(tmp_path / name, datasets_dir, database_url=postgres_url)
            app = create_app(made)
            clients.append(stack.enter_context(TestClient(app, base_url=URL)))
        database = Database(postgres_url)
        stack.callback(database.close)
        yield Pair(database, *clients)


def test_a_session_that_one_server_has_begun_is_valid_at_the_other(pair: Pair) -> None:
    key = ApiKeyStore(pair.database).create("ada", ["read", "train"])
    begun = pair.one.post("/v1/session", json={"key": key})
    assert begun.status_code == 204, begun.text
    cookie = {"Cookie": begun.headers["Set-Cookie"].partition(";")[0]}
    pair.one.cookies.clear()
    assert pair.other.get("/v1/jobs", headers=cookie).status_code == 200
    changed = pair.other.post("/v1/jobs", json=QUICK, headers=cookie | OWN_PAGE)
    assert changed.status_code == 201, changed.text
    ended = [each.delete("/v1/session", headers=OWN_PAGE) for each in (pair.one, pair.other)]
    assert {answer.headers["Set-Cookie"] for answer in ended} == {ended[0].headers["Set-Cookie"]}


def test_both_servers_say_that_they_are_the_same_service(pair: Pair) -> None:
    one, other = (each.get("/v1/system").json() for each in (pair.one, pair.other))
    assert one["instance"] == other["instance"]
    assert one["web"] == other["web"]


def test_answers_of_both_have_the_same_etag(pair: Pair) -> None:
    id_ = submit(JobStore(pair.database), **QUICK)
    for path in (f"/v1/jobs/{id_}/curves.svg", "/v1/datasets/mnist/test/0.png"):
        tag = pair.one.get(path).headers["ETag"]
        held = pair.other.get(path, headers={"If-None-Match": tag})
        assert held.status_code == 304, path


def test_a_page_of_jobs_goes_on_at_the_other_server(pair: Pair) -> None:
    ids = [submit(JobStore(pair.database), **QUICK) for _ in range(3)]
    first = pair.one.get("/v1/jobs?limit=2").json()
    following = pair.other.get("/v1/jobs", params={"limit": 2, "after": first["last_id"]}).json()
    assert [job["id"] for job in first["data"] + following["data"]] == ids[::-1]


def test_a_submission_that_is_repeated_at_the_other_server_is_one_job(pair: Pair) -> None:
    headers = {"Idempotency-Key": "once"}
    first, again = (
        each.post("/v1/jobs", json=QUICK, headers=headers) for each in (pair.one, pair.other)
    )
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_revoked_key_ends_at_both(pair: Pair) -> None:
    keys = ApiKeyStore(pair.database)
    key = keys.create("ada", ["read"])
    assert pair.one.get("/v1/jobs", headers=bearer(key)).status_code == 200
    assert pair.other.get("/v1/jobs", headers=bearer(key)).status_code == 200
    keys.revoke(keys.all()[0].id)
    assert pair.one.get("/v1/jobs", headers=bearer(key)).status_code == 401
    assert pair.other.get("/v1/jobs", headers=bearer(key)).status_code == 401
