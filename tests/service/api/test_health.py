"""Liveness, readiness and metrics."""

import asyncio
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families as families
from starlette.testclient import TestClient
from starlette.types import Message, Send

from mlp_client.job_state import State
from service.server.admission import Admission
from service.server.metrics import Metrics
from service.server.observation import Observation
from service.store.jobs import JobStore
from service.store.sql.database import Database
from tests.service.api.test_jobs import submit
from tests.support.engines import local_files
from tests.support.live_service import claimed
from tests.support.shipped_files import shipped_file

START = {"type": "http.response.start", "status": 200, "headers": []}
LEFT = "ConnectionError"
WELL = {"database": True, "data_dir": True, "dispatcher": True}


def samples(api: TestClient) -> Any:
    answer = api.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return [sample for family in families(answer.text) for sample in family.samples]


def readiness(api: TestClient) -> Any:
    answer = api.get("/readyz")
    body = answer.json()
    assert body["checks"].pop("artifacts", True), "which only several machines share"
    return answer.status_code, body


def test_a_service_that_responds_is_alive(api: TestClient) -> None:
    assert api.get("/livez").json() == {"status": "alive"}


def test_a_healthy_service_is_ready(api: TestClient) -> None:
    assert readiness(api) == (200, {"status": "ready", "checks": WELL})


def test_a_service_without_its_dispatcher_is_not_ready(api: TestClient) -> None:
    app: Any = api.app
    app.state.components.dispatcher.stop()
    app.state.components.dispatcher.join()
    checks = {**WELL, "dispatcher": False}
    assert readiness(api) == (503, {"status": "not ready", "checks": checks})
    assert api.get("/livez").status_code == 200


@local_files
def test_a_service_without_its_tables_is_not_ready(api: TestClient, data_dir: Path) -> None:
    database = sqlite3.connect(data_dir / "jobs.sqlite3")
    database.execute("PRAGMA foreign_keys=OFF")
    database.execute("ALTER TABLE jobs RENAME TO elsewhere")
    database.commit()
    database.close()
    checks = {**WELL, "database": False}
    assert readiness(api) == (503, {"status": "not ready", "checks": checks})
    answer = api.get("/v1/jobs")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json()["code"] == "store-unavailable"


def test_a_service_that_can_not_write_is_not_ready(api: TestClient, data_dir: Path) -> None:
    (data_dir / ".probe").mkdir()  # as root a read-only directory would not stop it
    checks = {**WELL, "data_dir": False}
    assert readiness(api) == (503, {"status": "not ready", "checks": checks})


def test_it_stays_ready_under_concurrent_checks(api: TestClient) -> None:
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.extend(readiness(api)[0] for _ in range(15)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 90


def test_the_metrics_count_jobs_by_state(api: TestClient, api_database: Database) -> None:
    jobs = [submit(api) for _ in range(3)]
    claimed(api_database)
    api.post(f"/v1/jobs/{jobs[1]}/cancel")
    counted = {s.labels["state"]: s.value for s in samples(api) if s.name == "mlp_jobs"}
    expected = dict.fromkeys(map(str, State), 0) | {"running": 1, "cancelled": 1, "queued": 1}
    assert counted == expected


def test_the_metrics_time_requests_by_route_and_status(api: TestClient) -> None:
    for path in ("/v1/jobs/a", "/v1/jobs/b", "/v1/jobs", "/nothing/1", "/nothing/2"):
        api.get(path)
    timed = {}
    for sample in samples(api):
        if sample.name == "http_server_request_duration_seconds_count":
            route = sample.labels["http_route"]
            timed[route, sample.labels["http_response_status_code"]] = sample.value
    assert timed["/v1/jobs/{job}", "404"] == 2
    assert timed["/v1/jobs", "200"] == 1
    assert not any("nothing" in route for route, _ in timed)


def test_the_metrics_time_predictions_by_their_route(
    reader: TestClient, datasets_dir: Path
) -> None:
    def count() -> Any:
        return sum(
            sample.value
            for sample in samples(reader)
            if sample.name == "http_server_request_duration_seconds_count"
            and sample.labels["http_route"] == "/v1/models/{ref}/predict"
        )

    path = shipped_file(datasets_dir, "test.images")
    digit, before = np.load(path)[0].tobytes(), count()
    for body in (digit, digit, b"too short"):  # only the second takes the quick path
        headers = {"Content-Type": "application/octet-stream"}
        reader.post("/v1/models/latest/predict", content=body, headers=headers)
    assert count() == before + 3


@pytest.mark.parametrize(
    ("messages", "error", "status", "error_type"),
    [
        ([START, {"type": "http.response.body", "body": b""}], None, "200", ""),
        ([{**START, "status": 503}, {"type": "http.response.body"}], None, "503", "503"),
        ([START, {"type": "http.response.body", "more_body": True}], None, "200", LEFT),
        ([], None, "", LEFT),
        ([START], ZeroDivisionError, "200", "ZeroDivisionError"),
    ],
)
def test_the_metrics_count_how_answers_ended(
    messages: list[Message], error: type[Exception] | None, status: str, error_type: str
) -> None:
    async def app(_: Any, __: Any, send: Send) -> Any:
        for message in messages:
            await send(message)
        if error:
            raise error

    async def client(_: Any) -> Any:
        under_way.append(metrics.page(True)[0].decode())

    metrics, under_way = Metrics(Admission(1)), list[str]()
    scope = {"type": "http", "method": "ODD", "scheme": "http", "headers": []}
    with suppress(ZeroDivisionError):
        serve: Any = Observation(app, metrics, None)
        asyncio.run(serve(scope, None, client))
    text = metrics.page(True)[0].decode()
    [timed] = [
        sample
        for family in families(text)
        for sample in family.samples
        if sample.name == "http_server_request_duration_seconds_count"
    ]
    assert timed.labels["http_request_method"] == "_OTHER"
    assert timed.labels["http_response_status_code"] == status
    assert timed.labels["error_type"] == error_type
    active = 'http_server_active_requests{http_request_method="_OTHER",url_scheme="http"}'
    assert all(f"{active} 1.0" in page for page in under_way)
    assert f"{active} 0.0" in text


def test_a_client_can_not_make_the_metrics_grow(api: TestClient) -> None:
    def size() -> Any:
        return len(samples(api))

    for n in range(3):
        api.request(f"METHOD{n}", f"/v1/jobs/{n}")
        api.get(f"/nothing/{n}")
        for method, scheme in (("GET", "https"), ("PUT", "http"), ("PUT", "https")):
            api.request(method, f"/nothing/{n}", headers={"X-Forwarded-Proto": scheme})
    before = size()
    for method in ("PUT", "LINK", "QUERY", "TRACE"):
        for scheme in ("http", "https"):
            api.request(method, "/nothing", headers={"X-Forwarded-Proto": scheme})
    for n in range(3, 40):
        api.request(f"METHOD{n}", f"/v1/jobs/{n}")
        api.get(f"/nothing/{n}")
    assert size() <= before + 40  # of the requests to /metrics between


@pytest.mark.filterwarnings("ignore")
def test_a_broken_store_does_not_break_the_metrics(
    api: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Any) -> Any:
        raise RuntimeError("no store")

    monkeypatch.setattr(JobStore, "counts", broken)
    with caplog.at_level("CRITICAL"):
        names = {sample.name for sample in samples(api)}
    assert "http_server_active_requests" in names
    assert "mlp_jobs" not in names
