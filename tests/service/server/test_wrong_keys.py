"""Who sends too many wrong keys to begin a session has to wait, and nobody else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.domain.errors import TooManyTries
from service.server import key_ring, sessions
from service.server.sessions import MAX_CLIENTS, WrongKeys
from service.store.api_keys import ApiKeyStore
from service.store.sql.database import Database
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.conftest import URL
from tests.support.keyed_service import bearer
from tests.support.live_service import settings

UNKNOWN = "mlp_aaaaaaaaaa_" + "A" * 43


@pytest.fixture
def keys(api_database: Database, monkeypatch: pytest.MonkeyPatch) -> ApiKeyStore:
    monkeypatch.setattr(key_ring, "KEY_CACHE_SECONDS", 0.0)
    return ApiKeyStore(api_database)


@pytest.fixture
def proxied(data_dir: Path, datasets_dir: Path) -> Iterator[TestClient]:
    """A service behind a proxy, which says who the client is."""
    app = create_app(settings(data_dir, datasets_dir, trusted_proxies=["*"]))
    with TestClient(app, base_url=URL) as client:
        yield client


def begin(http: TestClient, key: str, client: str) -> Any:
    return http.post("/v1/session", json={"key": key}, headers={"X-Forwarded-For": client})


def test_after_ten_wrong_keys_a_client_waits_and_others_do_not(
    proxied: TestClient, keys: ApiKeyStore
) -> None:
    key = keys.create("ada", ["read"])
    for _ in range(10):
        assert begin(proxied, UNKNOWN, "10.0.0.1").status_code == 401
    for sent in (UNKNOWN, key):
        answer = begin(proxied, sent, "10.0.0.1")
        check_problem(answer, 429)
        assert answer.json()["code"] == "too-many-tries"
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert begin(proxied, key, "10.0.0.2").status_code == 204
    headers = {"X-Forwarded-For": "10.0.0.1"} | bearer(key)
    assert proxied.get("/v1/jobs", headers=headers).status_code == 200


def test_right_keys_are_not_counted(api: TestClient, keys: ApiKeyStore) -> None:
    key = keys.create("ada", ["read"])
    for _ in range(12):
        assert api.post("/v1/session", json={"key": key}).status_code == 204


class Steps:
    """Stands in for the module `time` of `service.server.sessions`."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    made = Steps()
    monkeypatch.setattr(sessions, "time", made)
    return made


def test_a_client_may_try_again_a_minute_after_its_first_wrong_key(steps: Steps) -> None:
    tries = WrongKeys()
    for _ in range(10):
        tries.check("a")
        tries.note("a")
        steps.now += 2
    with pytest.raises(TooManyTries) as refused:
        tries.check("a")
    assert refused.value.seconds == 40
    tries.check("b")
    steps.now += 40
    tries.check("a")


def test_no_more_clients_are_remembered_than_fit(steps: Steps) -> None:
    tries = WrongKeys()
    for _ in range(10):
        tries.note("first")
    for number in range(MAX_CLIENTS - 1):
        tries.note(str(number))
    with pytest.raises(TooManyTries):
        tries.check("first")
    tries.note("one more")
    tries.check("first")


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("10.0.0.1", "10.0.0.2", False),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("10.0.0.1", "10.0.0.1", True),
    ],
)
def test_an_ipv6_network_counts_as_one_client(
    proxied: TestClient, keys: ApiKeyStore, one: str, other: str, is_same: bool
) -> None:
    keys.create("ada", ["read"])
    for _ in range(10):
        assert begin(proxied, UNKNOWN, one).status_code == 401
    assert begin(proxied, UNKNOWN, other).status_code == (429 if is_same else 401)
