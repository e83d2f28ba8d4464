"""Specs fit the data set that they name, where nothing else was wished."""

from typing import Any

from tests.service.api.test_hostile_bodies import check_problem
from tests.support.zoo import Zoo


def test_a_spec_fits_its_data_set_where_nothing_was_given(zoo: Zoo) -> None:
    wished = {"dataset": "omniglot", "preset": "linear"}
    preview = zoo.client.post("/v1/jobs/preview", json=wished).json()
    job = zoo.client.post("/v1/jobs", json=wished).json()
    assert preview["spec"] == job["spec"]
    assert preview["cost"] == job["cost"]
    fitted = {"learning_rate": 0.0093, "batch_size": 8}
    assert job["spec"] == preview["spec"] | fitted
    assert job["spec"]["preset"] == "linear"
    assert job["progress"]["batches_per_epoch"] == 5  # of 33 rows
    again = zoo.client.get(f"/v1/jobs/{job['id']}").json()
    assert again["spec"] == job["spec"]
    given = {"learning_rate": 0.1, "batch_size": 64}
    kept = zoo.client.post("/v1/jobs/preview", json=wished | given).json()
    assert kept["spec"] == job["spec"] | given


def test_a_retry_that_gives_what_was_fitted_before_is_another_wish(zoo: Zoo) -> None:
    wished = {"dataset": "omniglot", "preset": "linear"}
    key = {"Idempotency-Key": "fitted"}
    first = zoo.client.post("/v1/jobs", json=wished, headers=key)
    again = zoo.client.post("/v1/jobs", json=wished, headers=key)
    assert again.json() == first.json()
    other = zoo.client.post("/v1/jobs", json=wished | {"batch_size": 64}, headers=key)
    assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)


def test_only_images_can_be_augmented(zoo: Zoo) -> None:
    for spec in ({"preset": "mlp-augmented"}, {"augmentation": {"rotation": 3}}):
        refused = zoo.client.post("/v1/jobs", json={"dataset": "flowers", **spec})
        check_problem(refused, 422)
        [flaw] = refused.json()["errors"]
        assert flaw["pointer"] == "#/augmentation"
        assert "'flowers' has rows of numbers" in flaw["detail"]
        preview = zoo.client.post("/v1/jobs/preview", json={"dataset": "flowers", **spec}).json()
        assert preview["errors"][0]["pointer"] == "#/augmentation"
    for name in ("omniglot", "colours"):
        images: dict[str, Any] = {"dataset": name, "augmentation": {}, "hidden": []}
        assert zoo.client.post("/v1/jobs/preview", json=images).json()["ok"]
