"""Lists of jobs over HTTP: filters, words, orders, and jobs in short."""

import json
import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from mlp_client import Client
from mlp_client.job_summaries import JobSummary
from mlp_client.records import Job
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.api.test_jobs import submit
from tests.service.conftest import World
from tests.support.job_records import query
from tests.support.keyed_service import SharedService
from tests.support.live_service import Live, claimed, epoch, fail, succeed


def listed(http: Any, **params: Any) -> list[str]:
    answer = http.get("/v1/jobs", params=params)
    assert answer.status_code == 200, answer.text
    return [job["spec"]["name"] for job in answer.json()["data"]]


@pytest.fixture
def named(live: Live) -> Live:
    """A service with three jobs, of which the first two are trained to different accuracies."""
    submit(live.http, name="Adam", tags=["Lecture 5"], hidden=[64])
    submit(live.http, name="bert", preset="linear", tags=["lecture 5", "x"])
    submit(live.http, name="Cleo")
    for accuracy in (0.7, 0.9):
        attempt = claimed(live.database)
        attempt.heartbeat((1, 0), [epoch(1, test_accuracy=accuracy)])
        succeed(attempt)
    return live


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({}, ["Cleo", "bert", "Adam"]),
        ({"sort": "created"}, ["Adam", "bert", "Cleo"]),
        ({"sort": "-best"}, ["bert", "Adam", "Cleo"]),
        ({"sort": "best"}, ["Adam", "bert", "Cleo"]),
        ({"sort": "-name"}, ["Cleo", "bert", "Adam"]),
        ({"q": "784-64-10"}, ["Adam"]),
        ({"q": "  ADAM  succeeded "}, ["Adam"]),
        ({"q": "784-10 linear"}, ["bert"]),
        ({"q": "e"}, ["Cleo", "bert", "Adam"]),
        ({"tag": "LECTURE 5"}, ["bert", "Adam"]),
        ({"tag": ["lecture 5", "x"]}, ["bert"]),
        ({"state": "queued", "q": "relu"}, ["Cleo"]),
        ({"state": ["queued", "succeeded"], "sort": "name", "limit": 2}, ["Adam", "bert"]),
        ({"q": "%"}, []),
    ],
)
def test_a_list_holds_what_was_asked_for_in_the_order_asked_for(
    named: Live, params: dict[str, Any], names: list[str]
) -> None:
    assert listed(named.http, **params) == names
    assert listed(named.http, **params, fields="summary") == names


@pytest.mark.parametrize("sort", ["-created", "-best", "best", "name"])
def test_pages_join_in_every_order(named: Live, sort: str) -> None:
    whole, after, names = listed(named.http, sort=sort), None, []
    for _ in range(3):
        params: Any = {"sort": sort, "limit": 1, **({"after": after} if after else {})}
        page = named.http.get("/v1/jobs", params=params).json()
        after = page["last_id"]
        names += [job["spec"]["name"] for job in page["data"]]
    assert (names, page["has_more"]) == (whole, False)


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("sort=newest", "?sort"),
        ("fields=short", "?fields"),
        ("limit=101", "?limit"),
        ("limit=101&fields=all", "?limit"),
        ("limit=501&fields=summary", "?limit"),
        ("q=" + "x" * 201, "?q"),
        ("q=" + "+".join("abcdefghi"), "?q"),
        ("q=%00", "?q"),
        ("q=a%00b", "?q"),
        ("tag=", "?tag/0"),
        ("tag=a&tag=%00", "?tag/1"),
        ("tag=a%09%09b", "?tag/0"),
        ("&".join(f"tag={n}" for n in range(17)), "?tag"),
        ("sort=name&sort=best", "?sort"),
        ("name=x", "?name"),
    ],
)
def test_other_parameters_are_refused_by_name(api: TestClient, query: str, pointer: str) -> None:
    answer = api.get(f"/v1/jobs?{query}")
    check_problem(answer, 422)
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_a_summary_has_some_fields_of_the_job_each_in_its_place(
    reader: TestClient, world: World
) -> None:
    full = reader.get(f"/v1/jobs/{world.deep}").json()
    page = reader.get("/v1/jobs", params={"fields": "summary", "q": world.deep}).json()
    assert (page["object"], page["first_id"]) == ("summary_list", world.deep)
    [short] = page["data"]
    assert set(short) == set(JobSummary.model_fields) < set(Job.model_fields)
    assert short["created_at"] == re.sub(r"\.\d+Z", "Z", full["created_at"])
    loss = short["metrics"]["latest"]["test_loss"]
    assert loss == float(f"{full['metrics']['latest']['test_loss']:.6g}")
    full["metrics"]["latest"]["test_loss"] = full["metrics"]["best"]["test_loss"] = loss
    del short["created_at"]
    if short["learned"]:
        assert short.pop("reason") is None
    check_part(short, full)


def check_part(short: dict[str, Any], full: dict[str, Any]) -> None:
    """Check that every value is also in the whole record, in the same place."""
    for name, value in short.items():
        if isinstance(value, dict):
            check_part(value, full[name])
        else:
            assert value == full[name], name


def test_a_summary_says_why_a_job_failed(live: Live) -> None:
    submit(live.http)
    fail(claimed(live.database))
    [short] = live.http.get("/v1/jobs?fields=summary").json()["data"]
    assert short["reason"] == {"code": "diverged", "message": "the loss is not finite"}


def test_five_hundred_summaries_fit_into_a_quarter_of_a_megabyte(live: Live) -> None:
    for _ in range(2):
        submit(live.http, preset="mlp-relu", name="first network, again", tags=["lecture 5"])
    attempt = claimed(live.database)
    finished = [epoch(50, test_loss=0.0712345678912345, test_accuracy=0.9794)]
    attempt.heartbeat((50, 0), finished)
    succeed(attempt)
    query(live.database, "UPDATE jobs SET learned = :yes WHERE number = 1", yes=True)
    fail(claimed(live.database))
    done, failed = (
        live.http.get(f"/v1/jobs?fields=summary&state={state}").json()["data"][0]
        for state in ("succeeded", "failed")
    )
    page = [done] * 400 + [failed] * 100
    assert len(json.dumps(page, separators=(",", ":"))) <= 250_000


def test_an_owner_finds_nothing_of_another(shared: SharedService) -> None:
    headers = {"Authorization": f"Bearer {shared.key['ada', 'read']}"}

    def ids(**params: Any) -> set[str]:
        answer = shared.client.get("/v1/jobs", params=params, headers=headers)
        return {job["id"] for job in answer.json()["data"]}

    bobs = shared.trained["bob"]
    assert ids(q=bobs) == set()
    for sort in ("-best", "name"):
        assert bobs not in ids(sort=sort, fields="summary", limit=500)
        behind = {"sort": sort, "after": bobs}
        assert shared.client.get("/v1/jobs", params=behind, headers=headers).status_code == 404


def test_the_client_searches_and_sorts(named: Live) -> None:
    with Client(str(named.http.base_url)) as client:
        found = client.jobs.list(q="784", tag="lecture 5", sort="-best", state="succeeded")
        assert [job.spec.name for job in found] == ["bert", "Adam"]
        assert [job.spec.name for job in client.jobs.list(tag=["x", "lecture 5"])] == ["bert"]
