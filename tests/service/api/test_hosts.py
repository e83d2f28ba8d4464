"""What a service of several machines says about them, to whom."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as families
from starlette.testclient import TestClient

from mlp_client.system_record import System
from service.app import create_app
from service.server import event_tail, key_ring
from service.store.api_keys import ApiKeyStore
from service.store.hosts import HostStore
from service.store.jobs import JobStore
from service.store.queue import Queue
from service.store.sql.database import Database
from tests.conftest import submit
from tests.service.conftest import URL
from tests.support.engines import local_files
from tests.support.keyed_service import bearer
from tests.support.live_service import Live, settings
from tests.support.stream_listener import StreamListener


@pytest.fixture
def shared(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database with two hosts: lab-1 has two slots and trains one job, lab-2 has one."""
    monkeypatch.setattr(key_ring, "KEY_CACHE_SECONDS", 0.0)
    with closing(Database(postgres_url)) as database:
        hosts = HostStore(database)
        hosts.join("b" * 16, "lab-2", 1, 2 * 10**9, "1.1")
        hosts.join("a" * 16, "lab-1", 2, 10**9, "1.0")
        submit(JobStore(database))
        Queue(database, "a" * 16).claim()
        yield database


@pytest.fixture
def api(shared: Database, tmp_path: Path, datasets_dir: Path) -> Iterator[TestClient]:
    made = settings(tmp_path, datasets_dir, database_url=shared.url)
    with TestClient(create_app(made), base_url=URL) as client:
        yield client


def test_the_hosts_are_listed_with_the_sum_of_their_slots(api: TestClient) -> None:
    found = api.get("/v1/system").json()
    assert found["slots"] == {"total": 3, "busy": 1, "hosts": 2}
    [one, other] = found["hosts"]
    assert {name: one[name] for name in ("id", "name", "slots", "busy", "memory", "version")} == {
        "id": "a" * 16, "name": "lab-1", "slots": 2, "busy": 1, "memory": 10**9, "version": "1.0"
    }  # fmt: skip
    assert (other["name"], other["slots"], other["busy"]) == ("lab-2", 1, 0)
    read = System.model_validate(found)
    assert read.hosts
    assert read.hosts[0].seen_at >= read.hosts[0].started_at


@pytest.mark.parametrize(
    ("scopes", "may"), [(["read"], True), (["admin"], True), (["predict"], False)]
)
def test_only_who_may_read_jobs_learns_names_of_machines(
    api: TestClient, shared: Database, scopes: list[str], may: bool
) -> None:
    key = ApiKeyStore(shared).create("ada", scopes)
    found = api.get("/v1/system", headers=bearer(key)).json()
    assert ("hosts" in found) is may
    assert found["slots"] == {"total": 3, "busy": 1, "hosts": 2}
    assert set(api.get("/v1/system").json()) == {"object", "version", "keys"}, "nor a stranger"


def test_a_stream_sends_the_slots_but_not_what_changes_every_few_seconds(
    shared: Database, tmp_path: Path, datasets_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_tail, "PING_SECONDS", 0.2)
    with Live(settings(tmp_path, datasets_dir, database_url=shared.url)) as live:
        heard = StreamListener(live.http)
        told = heard.hello()["system"]
        assert told["slots"] == {"total": 3, "busy": 1, "hosts": 2}
        assert "hosts" not in told
        HostStore(shared).leave("b" * 16)
        heard.wait_for("system", slots={"total": 2, "busy": 1, "hosts": 1})
        live.stop()
        heard.end()


def samples(api: TestClient) -> dict[tuple[str, str], float]:
    found: Any = families(api.get("/metrics").text)
    wanted = ("mlp_hosts", "mlp_slots")
    return {
        (sample.name, sample.labels.get("state", "")): sample.value
        for family in found
        if family.name in wanted
        for sample in family.samples
    }


def test_metrics_count_hosts_and_slots(api: TestClient) -> None:
    assert samples(api) == {
        ("mlp_hosts", ""): 2.0, ("mlp_slots", "busy"): 1.0, ("mlp_slots", "free"): 2.0
    }  # fmt: skip


@local_files
def test_a_server_by_itself_counts_its_own_slots(
    data_dir: Path, datasets_dir: Path, api_database: Database
) -> None:
    submit(JobStore(api_database))
    Queue(api_database).claim()
    made = settings(data_dir, datasets_dir).model_copy(update={"concurrent_jobs": 3})
    app = create_app(made)  # nothing is started without `with`
    found = samples(TestClient(app, base_url=URL))
    assert found == {
        ("mlp_hosts", ""): 1.0, ("mlp_slots", "busy"): 1.0, ("mlp_slots", "free"): 2.0
    }  # fmt: skip
