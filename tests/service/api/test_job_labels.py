"""Jobs are renamed and tagged; the rest of their specs never changes."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from mlp_client import Client
from tests.conftest import QUICK
from tests.conftest import submit as store
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.api.test_jobs import submit
from tests.support.job_records import query
from tests.support.keyed_service import SharedService
from tests.support.live_service import Live, claimed, record, succeed
from tests.support.pictures import texts

BEFORE = {"name": "old", "tags": ["a", "b"], "metadata": {"who": "ada", "why": "to see"}}


def patch(http: Any, job: str, body: Any) -> Any:
    answer = http.patch(f"/v1/jobs/{job}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        ({"name": "new"}, {"name": "new"}),
        ({"name": None}, {"name": ""}),
        ({"tags": ["c"]}, {"tags": ["c"]}),
        ({"tags": None}, {"tags": []}),
        ({"metadata": {"who": "eve"}}, {"metadata": {"who": "eve", "why": "to see"}}),
        ({"metadata": {"who": None, "no": None}}, {"metadata": {"why": "to see"}}),
        ({"metadata": {}}, {}),
        ({"metadata": None}, {"metadata": {}}),
        ({}, {}),
        ({"name": "Größe", "tags": [], "metadata": {"x": ""}}, {
            "name": "Größe", "tags": [], "metadata": {"who": "ada", "why": "to see", "x": ""}
        }),
    ],
)  # fmt: skip
def test_labels_are_merged_as_the_standard_says(
    live: Live, body: dict[str, Any], changed: dict[str, Any]
) -> None:
    job = submit(live.http, preset="linear", **BEFORE)
    before = live.http.get(f"/v1/jobs/{job}").json()
    answer = patch(live.http, job, body)
    assert answer == before | {"spec": before["spec"] | changed}
    assert live.http.get(f"/v1/jobs/{job}").json() == answer


def test_a_job_is_found_and_sorted_by_its_new_labels(api: TestClient) -> None:
    first, second = submit(api, name="a"), submit(api, name="b", tags=["x"])
    patch(api, first, {"name": "Zebra", "tags": ["new"]})

    def found(**params: str) -> list[str]:
        return [job["id"] for job in api.get("/v1/jobs", params=params).json()["data"]]

    assert found(sort="name") == [second, first]
    assert found(q="zebra") == found(tag="NEW") == [first]
    assert found(q="784-128-10") == [second, first]
    patch(api, first, {"name": None, "tags": None})
    assert found(q="zebra") == found(tag="new") == []


def test_a_job_is_renamed_in_any_state_and_trains_on(live: Live) -> None:
    job = submit(live.http, name="old")
    attempt = claimed(live.database)
    record(attempt, 1)
    assert patch(live.http, job, {"name": "new"})["state"] == "running"
    record(attempt, 2)
    words = texts(live.http.get(f"/v1/jobs/{job}/curves.svg"))
    assert "new" in words
    succeed(attempt)
    assert patch(live.http, job, {"name": "done"})["spec"]["name"] == "done"
    epochs = live.http.get(f"/v1/jobs/{job}/epochs").json()["data"]
    assert [each["epoch"] for each in epochs] == [1, 2]


def test_a_picture_with_the_old_name_is_not_valid_any_more(live: Live) -> None:
    job = submit(live.http, name="old")
    path = f"/v1/jobs/{job}/curves.svg"
    tag = live.http.get(path).headers["ETag"]
    patch(live.http, job, {"name": "new"})
    assert live.http.get(path, headers={"If-None-Match": tag}).status_code == 200


def test_who_follows_all_jobs_learns_of_a_change_once(live: Live) -> None:
    job = submit(live.http, name="old")
    patch(live.http, job, {"name": "new"})
    patch(live.http, job, {"name": "new"})
    patch(live.http, job, {})
    counted = query(live.database, "SELECT count(*) FROM events WHERE type = 'change'")
    assert counted == [(1,)]
    live.http.post(f"/v1/jobs/{job}/cancel")
    history = live.http.get(f"/v1/jobs/{job}/events").text
    assert [line for line in history.splitlines() if line.startswith("event:")] == [
        "event: state",
        "event: state",
    ]


def test_a_repeated_submission_still_gets_the_first_answer(live: Live) -> None:
    headers = {"Idempotency-Key": "once"}
    first = live.http.post("/v1/jobs", json={"name": "old"}, headers=headers)
    patch(live.http, first.json()["id"], {"name": "new"})
    again = live.http.post("/v1/jobs", json={"name": "old"}, headers=headers)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()


@pytest.mark.parametrize("field", ["epochs", "hidden", "seed", "preset", "optimizer"])
def test_other_fields_of_the_spec_are_refused_with_the_reason(api: TestClient, field: str) -> None:
    job = submit(api)
    answer = api.patch(f"/v1/jobs/{job}", json={"name": "new", field: 3})
    check_problem(answer, 422)
    [flaw] = answer.json()["errors"]
    assert (flaw["pointer"], flaw["detail"]) == (f"#/{field}", "unknown field")
    assert flaw["hint"].startswith("a job keeps its spec")
    assert api.get(f"/v1/jobs/{job}").json()["spec"]["name"] == ""


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"nmae": "x"}, "#/nmae"),
        ({"name": "x" * 65}, "#/name"),
        ({"name": "a\nb"}, "#/name"),
        ({"name": 5}, "#/name"),
        ({"tags": [""]}, "#/tags/0"),
        ({"tags": ["x"] * 17}, "#/tags"),
        ({"tags": "x"}, "#/tags"),
        ({"metadata": {"": "x"}}, "#/metadata/"),
        ({"metadata": {"a": 5}}, "#/metadata/a"),
        ({"metadata": {f"k{n}": "x" for n in range(15)}}, "#/metadata"),
        ({"metadata": {f"k{n}": "x" for n in range(33)}}, "#/metadata"),
    ],
)
def test_labels_have_the_limits_of_a_spec(
    api: TestClient, body: dict[str, Any], pointer: str
) -> None:
    job = submit(api, **BEFORE)
    answer = api.patch(f"/v1/jobs/{job}", json=body)
    check_problem(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == pointer
    spec = api.get(f"/v1/jobs/{job}").json()["spec"]
    assert {name: spec[name] for name in BEFORE} == BEFORE


def test_notes_may_be_exchanged_at_the_limit(api: TestClient) -> None:
    job = submit(api, metadata={f"old{n}": "x" for n in range(16)})
    exchange = {f"old{n}": None for n in range(16)} | {f"new{n}": "y" for n in range(16)}
    assert len(patch(api, job, {"metadata": exchange})["spec"]["metadata"]) == 16


@pytest.mark.parametrize("kind", ["application/json", "application/merge-patch+json"])
def test_both_media_types_of_a_patch_are_read(api: TestClient, kind: str) -> None:
    job = submit(api)
    headers = {"Content-Type": kind}
    answer = api.patch(f"/v1/jobs/{job}", content=b'{"name": "x"}', headers=headers)
    assert answer.json()["spec"]["name"] == "x"
    check_problem(api.patch(f"/v1/jobs/{job}", content=b"name=x"), 415)


def test_only_the_owner_renames_with_a_key_that_may_train(shared: SharedService) -> None:
    job = store(shared.jobs_of("ada"), **QUICK)
    for (owner, scope), status in {
        ("bob", "train"): 404,
        ("ada", "read"): 403,
        ("ada", "train"): 200,
    }.items():
        headers = {"Authorization": f"Bearer {shared.key[owner, scope]}"}
        answer = shared.client.patch(f"/v1/jobs/{job}", json={"name": owner}, headers=headers)
        assert answer.status_code == status
    assert shared.jobs_of("ada").get(job).spec["name"] == "ada"


def test_an_unknown_job_has_no_labels(api: TestClient) -> None:
    check_problem(api.patch("/v1/jobs/job_nope", json={"name": "x"}), 404)


def test_the_client_labels_jobs(live: Live) -> None:
    with Client(str(live.http.base_url)) as client:
        job = client.jobs.create("linear", name="old", tags=["a"], metadata={"x": "y"})
        job.label("new", metadata={"x": None})
        assert (job.spec.name, job.spec.tags, job.spec.metadata) == ("new", ["a"], {})
        assert client.jobs.get(job.id).label(tags=[]).spec.tags == []
