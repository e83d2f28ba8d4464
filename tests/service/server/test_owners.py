"""What owners see of each other: nothing."""

import time
from typing import Any

from service.server import key_ring
from tests.conftest import QUICK, submit
from tests.support.keyed_service import (
    OWNERS,
    SCOPES,
    SharedService,
    id_of,
    visible_jobs,
)


def test_a_conditional_request_reveals_nothing_about_the_jobs_of_others(
    shared: SharedService,
) -> None:
    headers = {"Authorization": f"Bearer {shared.key['bob', 'read']}", "If-None-Match": "*"}
    for tail in ("", "/curves.png", "/epochs.csv"):
        answer = shared.client.get(f"/v1/jobs/{shared.trained['ada']}{tail}", headers=headers)
        assert answer.status_code == 404
    weights = f"/v1/models/{shared.trained['ada']}/weights.npz"
    assert shared.client.get(weights, headers=headers).status_code == 404


def test_lists_are_disjoint_and_pages_never_lead_to_others(shared: SharedService) -> None:
    for owner in OWNERS:
        submit(shared.jobs_of(owner), **QUICK)
    seen = {owner: visible_jobs(shared, shared.key[owner, "read"]) for owner in OWNERS}
    assert all(seen.values())
    assert not seen["ada"] & seen["bob"]
    all_of_them = visible_jobs(shared, shared.key["ops", "admin"])
    assert seen["ada"] | seen["bob"] < all_of_them
    assert shared.trained[None] in all_of_them
    jobs = {"limit": "1", "after": shared.trained["ada"]}
    headers = {"Authorization": f"Bearer {shared.key['bob', 'read']}"}
    assert shared.client.get("/v1/jobs", params=jobs, headers=headers).status_code == 404


def test_data_sets_of_one_name_belong_to_their_owners(shared: SharedService) -> None:
    def ask(method: str, owner: str, scope: str, tail: str = "", **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {shared.key[owner, scope]}"}
        return shared.client.request(method, f"/v1/datasets/letters{tail}", headers=headers, **more)

    first = ask("PUT", "ada", "train", content=b"ada's")
    assert first.status_code == 201
    for tail in ("", "/report", "/events", "/train.npz", "/samples.png", "/test/0.json"):
        assert ask("GET", "bob", "read", tail).status_code == 404
    assert ask("DELETE", "bob", "train").status_code == 404
    second = ask("PUT", "bob", "train", content=b"bob's")
    assert second.status_code == 201
    for owner, sent in (("ada", first), ("bob", second)):
        assert ask("GET", owner, "read").json()["id"] == sent.json()["id"]
    assert ask("DELETE", "ada", "train").status_code == 204
    assert ask("GET", "ada", "read").status_code == 404
    assert ask("GET", "bob", "read").json()["owner"] == "bob"
    assert ask("GET", "ops", "admin").json()["id"] == second.json()["id"]


def test_latest_is_the_owners_latest_model(shared: SharedService) -> None:
    sample = {"inputs": [{"dataset": "mnist", "index": 7}]}
    for owner, job in shared.trained.items():
        for_owner = shared.key[owner, "predict"] if owner else shared.key["ops", "admin"]
        answer = shared.client.post(
            "/v1/models/latest/predict",
            json=sample,
            headers={"Authorization": f"Bearer {for_owner}"},
        )
        assert answer.json()["model"] == job
    newcomer = shared.keys.create("eve", SCOPES)
    time.sleep(key_ring.KEY_CACHE_SECONDS)
    headers = {"Authorization": f"Bearer {newcomer}"}
    answer = shared.client.get("/v1/models/latest/weights.npz", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "job-not-found")


def test_curves_of_several_jobs_include_only_the_owners_jobs(shared: SharedService) -> None:
    headers = {"Authorization": f"Bearer {shared.key['ada', 'read']}"}
    own, foreign = shared.trained["ada"], shared.trained["bob"]
    for ids, status in ((own, 200), (f"{own},{foreign}", 404), (f"{foreign},{own}", 404)):
        answer = shared.client.get("/v1/curves.svg", params={"jobs": ids}, headers=headers)
        assert answer.status_code == status


def test_idempotency_keys_of_two_owners_do_not_collide(shared: SharedService) -> None:
    def post(owner: str, **spec: object) -> Any:
        bearer = {"Authorization": f"Bearer {shared.key[owner, 'train']}"}
        headers = {**bearer, "Idempotency-Key": "same"}
        return shared.client.post("/v1/jobs", json={**QUICK, **spec}, headers=headers)

    first, other = post("ada", seed=1), post("bob", seed=2)
    assert (first.status_code, other.status_code) == (201, 201)
    assert first.json()["id"] != other.json()["id"]
    again = post("ada", seed=1)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json()["id"] == first.json()["id"]
    assert post("bob", seed=1).status_code == 422


def test_the_metrics_name_no_owner_and_no_job(shared: SharedService) -> None:
    headers = {"Authorization": f"Bearer {shared.key['bob', 'read']}"}
    text = shared.client.get("/metrics", headers=headers).text
    assert "mlp_jobs{" in text
    assert 'mlp_predictions_total{model="all"}' in text
    for word in (*OWNERS, "job_0", "mlp_" + id_of(shared.key["ada", "read"])):
        assert word not in text.replace("openapi", "")
