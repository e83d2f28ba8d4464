"""Over HTTP: a job that learned nothing says so, and `latest` passes it over."""

from pathlib import Path

from starlette.testclient import TestClient

from service.store.sql.database import Database
from tests.conftest import QUICK
from tests.service.api.test_hostile_bodies import check_problem
from tests.support.job_records import succeed
from tests.support.live_service import train

SAMPLE = {"inputs": [{"dataset": "mnist", "index": 7}]}
PREDICT = "/v1/models/latest/predict"


def test_a_job_says_whether_it_learned_anything(api: TestClient, api_database: Database) -> None:
    queued = api.post("/v1/jobs", json=QUICK).json()
    assert queued["learned"] is None
    for accuracy, learned, code in ((0.1135, False, "learned_nothing"), (0.9, True, "epochs_done")):
        job = api.get(f"/v1/jobs/{succeed(api_database, accuracy)}").json()
        assert (job["state"], job["learned"]) == ("succeeded", learned)
        assert job["reason"]["code"] == code
        stream = api.get(job["links"]["events"]).text
        assert ("event: warning" in stream) is not learned
        assert ('"code":"learned_nothing"' in stream.replace('": "', '":"')) is not learned


def test_without_a_model_that_learned_latest_is_not_found_and_the_newest_is_named(
    api: TestClient, api_database: Database
) -> None:
    job = succeed(api_database, 0.0892)
    for answer in (
        api.post(PREDICT, json=SAMPLE),
        api.post(f"{PREDICT}?top_k=1", json=SAMPLE),
        api.get("/v1/models/latest/weights.npz"),
        api.get("/v1/models/latest/layers/1/weights.png"),
    ):
        check_problem(answer, 404)
        assert answer.json()["code"] == "job-not-found"
        for part in ("No job has learned anything yet", job, "8.92%"):
            assert part in answer.json()["detail"]


def test_a_run_that_learned_nothing_does_not_take_the_place_of_a_model(
    api: TestClient, data_dir: Path, datasets_dir: Path
) -> None:
    good = train(data_dir, datasets_dir, **QUICK)
    poor = train(data_dir, datasets_dir, **QUICK | {"learning_rate": 1e-12})
    assert api.get(f"/v1/jobs/{poor}").json()["learned"] is False
    for query in ("", "", "?top_k=1"):  # the endpoint loads the model, then the quick path has it
        assert api.post(f"{PREDICT}{query}", json=SAMPLE).json()["model"] == good
    by_id = api.post(f"/v1/models/{poor}/predict", json=SAMPLE)
    assert (by_id.status_code, by_id.json()["model"]) == (200, poor)
