"""For machines that look after the service: alive, ready, counted."""

import sqlite3
import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families as families

from service.job import State
from service.store.jobs import JobStore
from tests.service.api.driving import claimed
from tests.service.api.test_jobs import submit

WELL = {"database": True, "data_dir": True, "dispatcher": True}


def samples(api):
    answer = api.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return [sample for family in families(answer.text) for sample in family.samples]


def readiness(api):
    answer = api.get("/readyz")
    return answer.status_code, answer.json()


def test_a_service_that_answers_is_alive(api):
    assert api.get("/livez").json() == {"status": "alive"}


def test_a_service_that_is_well_is_ready(api):
    assert readiness(api) == (200, {"status": "ready", "checks": WELL})


def test_a_service_without_its_dispatcher_is_not_ready(api):
    api.app.state.house.dispatcher.stop()
    api.app.state.house.dispatcher.join()
    checks = {**WELL, "dispatcher": False}
    assert readiness(api) == (503, {"status": "not ready", "checks": checks})
    assert api.get("/livez").status_code == 200


def test_a_service_without_its_tables_is_not_ready(api, data_dir):
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


def test_a_service_that_can_not_write_is_not_ready(api, data_dir):
    (data_dir / ".probe").mkdir()  # as root a read-only directory would not stop it
    checks = {**WELL, "data_dir": False}
    assert readiness(api) == (503, {"status": "not ready", "checks": checks})


def test_it_stays_ready_however_many_ask_at_once(api):
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.extend(readiness(api)[0] for _ in range(15)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 90


def test_the_metrics_count_jobs_by_state(api, house):
    jobs = [submit(api) for _ in range(3)]
    claimed(house)
    api.post(f"/v1/jobs/{jobs[1]}/cancel")
    counted = {s.labels["state"]: s.value for s in samples(api) if s.name == "mlp_jobs"}
    assert counted == {**dict.fromkeys(State, 0), "running": 1, "cancelled": 1, "queued": 1}


def test_the_metrics_time_requests_by_route_and_status(api):
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


def test_a_client_can_not_make_the_metrics_grow(api):
    def size():
        return len(samples(api))

    for n in range(3):
        api.request(f"METHOD{n}", f"/v1/jobs/{n}")
        api.get(f"/nothing/{n}")
    before = size()
    for n in range(3, 40):
        api.request(f"METHOD{n}", f"/v1/jobs/{n}")
        api.get(f"/nothing/{n}")
    assert size() <= before + 40  # of the requests to /metrics between


@pytest.mark.filterwarnings("ignore")
def test_a_broken_store_does_not_break_the_metrics(api, monkeypatch, caplog):
    def broken(_):
        raise RuntimeError("no store")

    monkeypatch.setattr(JobStore, "counts", broken)
    with caplog.at_level("CRITICAL"):
        names = {sample.name for sample in samples(api)}
    assert "http_server_active_requests" in names
    assert "mlp_jobs" not in names
