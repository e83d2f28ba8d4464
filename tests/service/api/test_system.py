"""What the server says about itself, to whom."""

from datetime import timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import mlp_client
from mlp_client import Client
from service.api.web_files import WebFiles
from service.server import key_ring
from service.store.api_keys import ApiKeyStore
from service.store.identity import identity_of
from service.store.jobs import JobStore
from service.store.sql.database import Database
from tests.conftest import submit
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.server.test_auth import bearer
from tests.support.job_records import in_state
from tests.support.live_service import Live, claimed
from tests.support.server_process import eventually


@pytest.fixture
def keys(api_database: Database, monkeypatch: pytest.MonkeyPatch) -> ApiKeyStore:
    monkeypatch.setattr(key_ring, "KEY_CACHE_SECONDS", 0.0)
    return ApiKeyStore(api_database)


def test_without_keys_everybody_learns_everything(
    api: TestClient, api_database: Database, data_dir: Path
) -> None:
    for state in ("queued", "paused", "succeeded", "failed", "cancelling"):
        in_state(api_database, state)
    found = api.get("/v1/system").json()
    assert found["object"] == "system"
    assert found["version"] == mlp_client.__version__
    assert found["instance"] == identity_of(api_database, data_dir).instance
    assert found["web"] == WebFiles().digest
    assert found["checks"].pop("artifacts", True), "which only several machines share"
    assert found["checks"] == {"database": True, "data_dir": True, "dispatcher": True}
    assert found["ready"] is True
    assert found["slots"].pop("hosts", 0) == 0
    assert found["slots"] == {"total": 0, "busy": 1}
    counted = {state: jobs for state, jobs in found["jobs"].items() if jobs}
    assert counted == {"queued": 1, "paused": 1, "succeeded": 1, "failed": 1, "cancelling": 1}
    assert len(found["jobs"]) == 8
    limits = {"layers": 16, "width": 8192, "parameters": 20_000_000, "epochs": 10_000}
    assert found["limits"] == limits | {"batch_size": 8192}
    assert found["keys"] == {"required": False}
    assert found["session"] == {"owner": None, "scopes": ["admin"], "expires_at": None}


def test_a_stranger_learns_that_a_key_is_needed(api: TestClient, keys: ApiKeyStore) -> None:
    keys.create("ada", ["read"])
    assert api.get("/v1/system").json() == {
        "object": "system",
        "version": mlp_client.__version__,
        "keys": {"required": True},
    }


def test_a_key_learns_about_its_jobs_and_itself(
    api: TestClient, api_database: Database, keys: ApiKeyStore
) -> None:
    jobs = JobStore(api_database)
    for owner in ("ada", "bob", "bob"):
        submit(jobs.seen_by(owner, everything=False))
    claimed(api_database)  # ada's
    key = keys.create("bob", ["train", "read"], timedelta(hours=1))
    found = api.get("/v1/system", headers=bearer(key)).json()
    assert found["jobs"]["queued"] == 2
    assert found["jobs"]["running"] == 0
    assert found["slots"]["busy"] == 1
    [stored] = keys.all()
    assert stored.expires_at
    until = stored.expires_at.isoformat().replace("+00:00", "Z")
    assert found["session"] == {"owner": "bob", "scopes": ["read", "train"], "expires_at": until}
    everything = api.get("/v1/system", headers=bearer(keys.create("ops", ["admin"]))).json()
    assert (everything["jobs"]["queued"], everything["jobs"]["running"]) == (2, 1)


def test_a_key_that_can_not_read_learns_nothing_about_jobs(
    api: TestClient, keys: ApiKeyStore
) -> None:
    found = api.get("/v1/system", headers=bearer(keys.create("ada", ["predict"]))).json()
    assert "jobs" not in found
    assert found["session"]["scopes"] == ["predict"]


def test_a_key_that_is_not_valid_is_refused_and_not_ignored(
    api: TestClient, keys: ApiKeyStore
) -> None:
    expired = keys.create("ada", ["read"], timedelta(0))
    answer = api.get("/v1/system", headers=bearer(expired))
    check_problem(answer, 401)
    assert "has expired" in answer.json()["detail"]
    check_problem(api.get("/v1/system", headers={"Authorization": "Basic x"}), 401)


def test_a_failed_check_is_named_and_the_answer_is_still_200(api: TestClient) -> None:
    components = api.app.state.components  # type: ignore[attr-defined]
    components.services.checks["data_dir"] = lambda: False
    answer = api.get("/v1/system")
    assert answer.status_code == 200
    assert answer.json()["ready"] is False
    assert answer.json()["checks"]["data_dir"] is False


def test_no_query_parameter_is_taken(api: TestClient) -> None:
    check_problem(api.get("/v1/system?full=1"), 422)


def test_the_python_client_reads_it(live: Live) -> None:
    with Client(str(live.http.base_url)) as client:
        found = client.system()
        assert found.session
        assert found.session.scopes == ["admin"]
        ApiKeyStore(live.database).create("ada", ["read"])
        eventually(lambda: client.system().keys.required, "the doors to close", 10)
        short = client.system()
    assert (short.ready, short.jobs, short.session) == (None, None, None)
