"""A key that predicts with the models of another owner, and does nothing else."""

from typing import Any

import pytest

from tests.conftest import QUICK, submit
from tests.support.keyed_service import (
    SharedService,
    bearer,
    operations_of,
)

SAMPLE = {"inputs": [{"dataset": "mnist", "index": 7}]}
BAR = [[255 * (4 <= row < 24 and 12 <= column < 16) for column in range(28)] for row in range(28)]
PLAIN = {"inputs": [{"pixels": BAR}]}
"""A picture in MNIST's form, which the quick path reads."""


def predict_with(shared: SharedService, ref: str, query: str = "") -> Any:
    """Predict with the key of app: by the quick path, or by the endpoint if there is a query."""
    headers = {**bearer(shared.key["app", "predict"]), "Request-Id": "same"}
    return shared.client.post(f"/v1/models/{ref}/predict{query}", json=SAMPLE, headers=headers)


@pytest.mark.parametrize("query", ["", "?top_k=3"])
def test_lent_models_predict_by_id_and_as_latest(shared: SharedService, query: str) -> None:
    for ref in (shared.trained["ada"], "latest"):
        for _ in range(2):  # the second time, the network is in memory
            answer = predict_with(shared, ref, query)
            assert (answer.status_code, answer.json()["model"]) == (200, shared.trained["ada"])


@pytest.mark.parametrize("query", ["", "?top_k=3"])
def test_only_the_models_of_the_one_owner_are_lent(shared: SharedService, query: str) -> None:
    """The models of others do not exist, and neither do the jobs of the key's own owner."""
    own = submit(shared.jobs_of("app"), **QUICK)
    missing = "job_01999999-0000-7000-8000-000000000000"
    nothing = predict_with(shared, missing, query)
    assert nothing.json()["code"] == "job-not-found"
    for job in (shared.trained["bob"], shared.trained[None], own):
        answer = predict_with(shared, job, query)
        assert (answer.status_code, answer.text.replace(job, missing)) == (404, nothing.text)


def test_a_key_for_lent_models_does_nothing_but_predict(
    shared: SharedService,
) -> None:
    key, asked, wrong = shared.key["app", "predict"], 0, []
    for operation in operations_of(shared.client.get("/openapi.json").json()):
        if operation.scope in (None, "any", "predict"):
            continue
        for job in (shared.trained["ada"], "latest"):
            before = shared.jobs.page(100).jobs
            answer = operation.send(shared.client, job, key)
            asked += 1
            if answer.status_code != 403 or shared.trained["ada"] in answer.text:
                wrong.append((operation.method, operation.template, answer.status_code))
            assert shared.jobs.page(100).jobs == before
    assert asked > 30
    assert wrong == []


def test_the_quick_path_keeps_borrowers_and_owners_apart(shared: SharedService) -> None:
    """Its views are cached: none may be used for another key."""
    for _ in range(3):
        for owner, model in (("app", "ada"), ("bob", "bob"), ("ada", "ada")):
            headers = bearer(shared.key[owner, "predict"])
            answer = shared.client.post("/v1/models/latest/predict", json=PLAIN, headers=headers)
            assert answer.json()["model"] == shared.trained[model]
    foreign = f"/v1/models/{shared.trained['ada']}/predict"
    headers = bearer(shared.key["bob", "predict"])
    assert shared.client.post(foreign, json=PLAIN, headers=headers).status_code == 404
