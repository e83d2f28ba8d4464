"""Previews of jobs: what a spec would cost, and what is wrong with it, without storing anything."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from mlp_client.job_spec import Spec
from service.app import create_app
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.api.test_jobs import submit
from tests.service.conftest import URL
from tests.support.keyed_service import SharedService
from tests.support.live_service import Live, settings


def preview(http: Any, spec: dict[str, Any]) -> Any:
    answer = http.post("/v1/jobs/preview", json=spec)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("spec", "network"),
    [
        ({}, "784-128-10"),
        ({"preset": "linear", "name": "x"}, "784-10"),
        ({"hidden": [3, 4, 5], "optimizer": "adamw", "augmentation": {}}, "784-3-4-5-10"),
    ],
)
def test_a_preview_says_what_a_submission_would_answer(
    live: Live, spec: dict[str, Any], network: str
) -> None:
    found = preview(live.http, spec)
    assert live.http.get("/v1/jobs").json()["data"] == []
    submitted = live.http.post("/v1/jobs", json=spec).json()
    assert found == {
        "object": "job_preview",
        "ok": True,
        "spec": submitted["spec"],
        "network": network,
        "cost": submitted["cost"],
        "queue_position": submitted["queue_position"],
        "errors": [],
    }
    assert preview(live.http, spec)["queue_position"] == 2


WRONG = [
    {"learing_rate": 0.1},
    {"learning_rate": -1},
    {"optimizer": "adam"},
    {"optimizer": {"nesterov": True}},
    {"hidden": [0, 9999, "x"], "epochs": "5", "activation": "rellu", "seed": 2**60},
    {"hidden": [9000], "epochs": 99_999, "batch_size": 99_999},
    {"hidden": [8192] * 3},
    {"dataset": "nist"},
    {f"field {n}": n for n in range(60)},
    {f"field {n}": n for n in range(200)},
    {"preset": "mlp-augmented", "l2": 0.5},
]


@pytest.mark.parametrize("spec", WRONG)
def test_a_preview_has_the_words_with_which_a_submission_is_refused(
    api: TestClient, spec: dict[str, Any]
) -> None:
    found, refused = preview(api, spec), api.post("/v1/jobs", json=spec)
    assert refused.status_code == 422
    assert found["errors"] == refused.json()["errors"]
    assert (found["ok"], found["queue_position"]) == (False, None)


def test_a_spec_that_is_too_large_is_still_priced(api: TestClient) -> None:
    found = preview(api, {"hidden": [9000]})
    assert found["network"] == "784-9000-10"
    assert found["cost"]["parameters"] == 785 * 9000 + 9001 * 10
    assert found["spec"]["hidden"] == [9000]


@pytest.mark.parametrize(
    ("spec", "pointer", "suggestion"),
    [
        ({"hidden": [128, 9000]}, "#/hidden/1", 8192),
        ({"hidden": [0]}, "#/hidden/0", 1),
        ({"batch_size": 0}, "#/batch_size", 1),
        ({"learning_rate": -1}, "#/learning_rate", 0.1),
        ({"learning_rate": 1001}, "#/learning_rate", 1000),
        ({"l2": -0.5}, "#/l2", 0),
        ({"augmentation": {"smoothness": 0}}, "#/augmentation/smoothness", 0.5),
        ({"activation": "rellu"}, "#/activation", "relu"),
        ({"optimizer": "adam"}, "#/optimizer/type", "adamw"),
    ],
)
def test_a_suggested_value_corrects_the_spec(
    api: TestClient, spec: dict[str, Any], pointer: str, suggestion: object
) -> None:
    [flaw] = preview(api, spec)["errors"]
    assert (flaw["pointer"], flaw["suggestion"]) == (pointer, suggestion)
    place: Any = spec
    names = pointer.removeprefix("#/").split("/")
    if names == ["optimizer", "type"]:
        names = ["optimizer"]  # it was given in short
    for name in names[:-1]:
        place = place[name]
    place[int(names[-1]) if isinstance(place, list) else names[-1]] = suggestion
    assert preview(api, spec)["errors"] == []


def test_the_suggested_number_of_epochs_is_just_within_the_limit_of_operations(
    data_dir: Path, datasets_dir: Path
) -> None:
    app = create_app(settings(data_dir, datasets_dir, max_job_flops=1e11))
    with TestClient(app, base_url=URL) as http:
        [flaw] = preview(http, {"epochs": 50})["errors"]
        epochs = flaw["suggestion"]
        assert flaw["hint"] == f"use at most {epochs} epochs"
        assert preview(http, {"epochs": epochs})["ok"]
        assert not preview(http, {"epochs": epochs + 1})["ok"]


def test_a_flaw_without_an_obvious_correction_has_no_suggestion(api: TestClient) -> None:
    for spec in ({"zzz": 1}, {"epochs": "x"}, {"activation": "%"}, {"dataset": "nist"}):
        [flaw] = preview(api, spec)["errors"]
        assert "suggestion" not in flaw


@pytest.mark.parametrize("body", ["[]", "3", "null", '"x"', "{", "", '{"seed": 1, "seed": 2}'])
def test_what_is_not_an_object_is_refused_as_everywhere(api: TestClient, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    found, refused = (
        api.post(path, content=body, headers=headers) for path in ("/v1/jobs/preview", "/v1/jobs")
    )
    check_problem(found, refused.status_code)
    assert found.json()["detail"] == refused.json()["detail"]


def test_a_preview_takes_json_and_no_query(api: TestClient) -> None:
    check_problem(api.post("/v1/jobs/preview", content=b"{}"), 415)
    check_problem(api.post("/v1/jobs/preview?epochs=3", json={}), 422)


def test_a_key_that_may_read_may_preview_and_not_submit(shared: SharedService) -> None:
    read, predict = (shared.key["ada", scope] for scope in ("read", "predict"))
    for path, key, status in (
        ("/v1/jobs/preview", read, 200),
        ("/v1/jobs/preview/", read, 200),
        ("/v1/jobs", read, 403),
        ("/v1/jobs/preview", predict, 403),
        ("/v1/jobs/preview/x", read, 403),
    ):
        headers = {"Authorization": f"Bearer {key}"}
        assert shared.client.post(path, json={}, headers=headers).status_code == status


def test_the_place_in_the_queue_counts_the_jobs_of_all_owners(api: TestClient) -> None:
    submit(api), submit(api)
    assert preview(api, {})["queue_position"] == 3


def test_the_description_of_the_body_is_that_of_a_spec(api: TestClient) -> None:
    operation = api.get("/openapi.json").json()["paths"]["/v1/jobs/preview"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["$ref"] == f"#/components/schemas/{Spec.__name__}"
