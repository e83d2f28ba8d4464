"""Actions on many jobs in one request."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from mlp_client import Client
from service.domain.errors import StoreBroken
from service.store.jobs import JobStore
from tests.conftest import QUICK
from tests.conftest import submit as store
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.api.test_jobs import submit
from tests.support.keyed_service import SharedService
from tests.support.live_service import Live, claimed, succeed


def act(http: Any, action: str, *jobs: str) -> Any:
    answer = http.post("/v1/jobs/actions", json={"action": action, "jobs": jobs})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def result(id_: str, **values: Any) -> dict[str, Any]:
    return {"id": id_, "state": None, "deleted": False, "problem": None, **values}


def test_each_job_has_a_result_of_its_own(live: Live) -> None:
    done, waiting, other = (submit(live.http) for _ in range(3))
    succeed(claimed(live.database))
    found = act(live.http, "pause", waiting, done, "job_nope", other, waiting)
    refused = live.http.post(f"/v1/jobs/{done}/pause").json()
    missing = live.http.post("/v1/jobs/job_nope/pause").json()
    del refused["request_id"], missing["request_id"]
    assert found == [
        result(waiting, state="paused"),
        result(done, problem=refused),
        result("job_nope", problem=missing),
        result(other, state="paused"),
    ]
    assert [each["state"] for each in act(live.http, "resume", waiting, other)] == ["queued"] * 2
    assert act(live.http, "cancel", waiting)[0]["state"] == "cancelled"
    assert act(live.http, "delete", waiting, done) == [
        result(waiting, deleted=True),
        result(done, deleted=True),
    ]
    assert [job["id"] for job in live.http.get("/v1/jobs").json()["data"]] == [other]


def test_repeating_a_request_has_no_further_effect(api: TestClient) -> None:
    jobs = [submit(api), submit(api)]
    assert act(api, "cancel", *jobs) == act(api, "cancel", *jobs)
    act(api, "delete", *jobs)
    again = act(api, "delete", *jobs)
    assert [each["problem"]["code"] for each in again] == ["job-not-found"] * 2


def test_a_job_with_a_worker_is_not_deleted(live: Live) -> None:
    job = submit(live.http)
    claimed(live.database)
    [found] = act(live.http, "delete", job)
    assert (found["deleted"], found["problem"]["code"]) == (False, "wrong-move")
    assert live.jobs.get(job).state == "running"


def test_a_store_that_is_broken_is_not_asked_for_each_job(
    api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def delete(_: JobStore, id_: str) -> None:
        asked.append(id_)
        if id_ == "b":
            raise StoreBroken("the database is locked")

    monkeypatch.setattr(JobStore, "delete", delete)
    found = act(api, "delete", "a", "b", "c")
    assert asked == ["a", "b"]
    assert [each["deleted"] for each in found] == [True, False, False]
    assert [each["problem"]["status"] for each in found[1:]] == [503, 503]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"action": "stop", "jobs": ["a"]}, "#/action"),
        ({"jobs": ["a"]}, "#/action"),
        ({"action": "cancel"}, "#/jobs"),
        ({"action": "cancel", "jobs": []}, "#/jobs"),
        ({"action": "cancel", "jobs": [f"job_{n}" for n in range(501)]}, "#/jobs"),
        ({"action": "cancel", "jobs": ["x" * 65]}, "#/jobs/0"),
        ({"action": "cancel", "jobs": "job_1"}, "#/jobs"),
        ({"action": "cancel", "jobs": [1]}, "#/jobs/0"),
        ({"action": "cancel", "jobs": ["a"], "force": True}, "#/force"),
    ],
)
def test_other_bodies_are_refused_and_change_nothing(
    api: TestClient, body: dict[str, Any], pointer: str
) -> None:
    job = submit(api)
    answer = api.post("/v1/jobs/actions", json=body)
    check_problem(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert api.get(f"/v1/jobs/{job}").json()["state"] == "queued"


def test_five_hundred_jobs_are_changed_in_one_request(api: TestClient) -> None:
    jobs = [f"job_019ac6a5-73f4-7b21-9c3e-5d0f3a1b2{n:03}" for n in range(499)]
    found = act(api, "cancel", *jobs, submit(api))
    assert len(found) == 500
    assert found[-1]["state"] == "cancelled"


def test_the_jobs_of_others_are_missing_and_reading_keys_may_not_act(
    shared: SharedService,
) -> None:
    job = store(shared.jobs_of("bob"), **QUICK)
    for scope, status in (("read", 403), ("train", 200)):
        answer = shared.client.post(
            "/v1/jobs/actions",
            json={"action": "delete", "jobs": [job]},
            headers={"Authorization": f"Bearer {shared.key['ada', scope]}"},
        )
        assert answer.status_code == status
    [found] = answer.json()["data"]
    assert found["problem"]["code"] == "job-not-found"
    assert shared.jobs_of("bob").get(job).id == job


def test_the_client_says_what_became_of_each_job(live: Live) -> None:
    with Client(str(live.http.base_url)) as client:
        job = client.jobs.create("linear", name="one")
        done, missing = client.jobs.act("cancel", [job, "job_nope"])
        assert (done.state, done.problem) == ("cancelled", None)
        assert missing.problem is not None
        assert missing.problem.code == "job-not-found"
