"""A job means the content that its data set had when it was submitted, whatever happens to it."""

import os
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.store.checkpoints import CheckpointStore
from service.store.evaluation_attempts import EvaluationAttempt
from service.store.evaluation_queue import EvaluationQueue
from service.store.files.local import LocalArtifacts
from service.store.jobs import JobStore
from service.store.sql.database import Database
from service.work.worker import Worker
from tests.service.api.test_hostile_bodies import check_problem
from tests.service.conftest import URL
from tests.support.engines import artifacts_of, local_files
from tests.support.live_service import claimed, settings
from tests.support.stored_datasets import DatasetHarness

SPEC = {"dataset": "letters", "hidden": [4], "epochs": 1, "batch_size": 2}
PIXELS = [[0, 50, 100], [150, 200, 250]]


class Service:
    """The application, the data sets behind it, and a worker in this process.

    It has no dispatchers, which would check the data sets with the checkers of the service.
    """

    def __init__(self, database: Database, data_dir: Path) -> None:
        app = create_app(settings(data_dir, data_dir / "datasets"))
        self.http = TestClient(app, base_url=URL, raise_server_exceptions=False)
        self.jobs, self.database, self.data_dir = JobStore(database), database, data_dir
        self.sets = DatasetHarness(database, data_dir)
        self._checkpoints = CheckpointStore(artifacts_of(data_dir))

    def submit(self, headers: dict[str, str] | None = None, **fields: Any) -> Any:
        return self.http.post("/v1/jobs", json=SPEC | fields, headers=headers)

    def run(self) -> str:
        """Train the next job of the queue; return the state it is left in."""
        worker = Worker(claimed(self.database), self._checkpoints, self.sets.files)
        return worker.run(worker.begin())

    def trained(self) -> str:
        answer = self.submit()
        assert answer.status_code == 201, answer.text
        assert self.run() == "succeeded"
        return str(answer.json()["id"])

    def replace(self) -> None:
        """Let the name stand for another content."""
        self.sets.store.delete("letters", force=True)
        self.sets.leftovers.sweep()
        self.sets.ready("letters", seed=2)


@pytest.fixture
def service(tmp_path: Path, database: Database) -> Service:
    service = Service(database, tmp_path)
    service.sets.ready("letters", seed=1)
    return service


def test_a_network_outlives_its_data_set(service: Service) -> None:
    job = service.trained()
    before = service.http.get(f"/v1/models/{job}/evaluation").json()
    service.replace()
    body = {"inputs": [{"pixels": PIXELS}]}
    answer = service.http.post(f"/v1/models/{job}/predict", json=body)
    assert answer.status_code == 200, answer.text
    [prediction] = answer.json()["predictions"]
    assert prediction["name"] in ("a", "b", "c")
    assert service.http.get(f"/v1/models/{job}/layers/1/weights.png").status_code == 200
    gone = service.http.get(f"/v1/models/{job}/evaluation?split=train")
    check_problem(gone, 409)
    assert gone.json()["code"] == "dataset-gone"
    assert before["dataset_sha256"] in gone.json()["detail"]
    other = service.http.get(f"/v1/models/{job}/evaluation?dataset=letters").json()
    assert other["dataset_sha256"] == service.sets.store.get("letters").sha256
    assert other["dataset_sha256"] != before["dataset_sha256"]


def test_images_of_an_evaluation_are_those_that_the_network_misread(service: Service) -> None:
    job = service.trained()
    found = service.http.get(f"/v1/models/{job}/evaluation/misread.json").json()["data"]
    pictures = {each["sample"]: service.http.get(each["sample"]) for each in found}
    assert pictures
    for address, answer in pictures.items():
        index = address.rpartition("/")[2]
        same = service.http.get(f"/v1/datasets/letters/test/{index}")
        assert (answer.status_code, answer.content) == (200, same.content)
    service.replace()
    for address in pictures:
        gone = service.http.get(address)
        check_problem(gone, 404)
        assert gone.json()["code"] == "dataset-not-found"


@pytest.mark.parametrize(
    "path", ["samples.png", "test.npy", "test/labels.npy", "test/0.png", "test/0.json"]
)
def test_what_a_client_has_is_another_content_if_the_name_changes_hands(
    service: Service, path: str
) -> None:
    address = f"/v1/datasets/letters/{path}"
    tag = service.http.get(address).headers["ETag"]
    same = service.http.get(address, headers={"If-None-Match": tag})
    assert same.status_code == 304
    service.replace()
    changed = service.http.get(address, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


def test_a_spec_can_name_the_content_that_it_means(service: Service) -> None:
    sha256 = service.sets.store.get("letters").sha256
    ref = f"letters@sha256:{sha256}"
    answer = service.submit(dataset=ref)
    assert (answer.status_code, answer.json()["spec"]["dataset"]) == (201, ref)
    assert service.jobs.get(answer.json()["id"]).dataset_sha256 == sha256
    service.replace()
    refused = service.submit(dataset=ref)
    check_problem(refused, 422)
    [error] = refused.json()["errors"]
    assert error["pointer"] == "#/dataset"
    assert "There is no data set 'letters@sha256:" in error["detail"]


def test_a_submission_that_is_sent_again_means_the_first_content(service: Service) -> None:
    headers = {"Idempotency-Key": "once"}
    first = service.submit(headers).json()
    service.replace()
    again = service.submit(headers)
    assert (again.json()["id"], again.headers["Idempotent-Replayed"]) == (first["id"], "true")
    service.sets.store.delete("letters", force=True)
    assert service.submit(headers).json()["id"] == first["id"]
    assert len(service.jobs.page(10).jobs) == 1


def test_a_paused_job_goes_on_with_its_own_content(service: Service) -> None:
    job = service.submit().json()["id"]
    before = service.sets.store.get("letters").sha256
    service.http.post(f"/v1/jobs/{job}/pause")
    service.replace()
    assert service.http.post(f"/v1/jobs/{job}/resume").json()["state"] == "queued"
    assert service.jobs.get(job).dataset_sha256 == before
    assert len(service.sets.files.open(str(before)).train) == 6


@pytest.mark.parametrize("state", ["receiving", "queued", "checking", "failed"])
def test_a_data_set_that_is_not_ready_can_not_be_trained_on(service: Service, state: str) -> None:
    if state == "receiving":
        service.sets.store.receive("new", {}, 1)
    else:
        service.sets.send("new")
    if state in ("checking", "failed"):
        attempt = service.sets.attempt()
        if state == "failed":
            attempt.fail("unusable", "no")
    for path in ("/v1/jobs", "/v1/jobs/preview"):
        answer = service.http.post(path, json=SPEC | {"dataset": "new"})
        [error] = answer.json()["errors"]
        assert (error["pointer"], state in error["detail"]) == ("#/dataset", True)


def test_a_job_whose_files_are_missing_fails_with_its_reason(service: Service) -> None:
    answer = service.submit()
    service.sets.files.delete(str(service.sets.store.get("letters").sha256))
    assert service.run() == "failed"
    reason = service.http.get(f"/v1/jobs/{answer.json()['id']}").json()["reason"]
    assert (reason["code"], "are damaged" in reason["message"]) == ("files_damaged", True)
    [found] = [it for it in service.sets.store.sets() if it.name == "letters"]
    assert (found.state, found.reason and found.reason.code) == ("failed", "files_damaged")


# --- Damage that a reader meets ---


def spoil_labels(service: Service) -> str:
    """Give rows a label that is none, in files that the service has mapped; return the digest."""
    sha256 = str(service.sets.store.get("letters").sha256)
    for split in ("train", "test"):
        path = service.sets.files.folder(sha256) / f"{split}.labels.npy"
        path.chmod(0o600)
        with path.open("r+b") as file:
            file.seek(-2, os.SEEK_END)
            file.write(b"\xff\xff")
    return sha256


@pytest.mark.parametrize(
    "path",
    ["", "?split=train", "/predictions.csv", "/misread.png", "/misread.json", "/confusions.png"],
)
def test_labels_outside_the_classes_are_damage_to_every_evaluation(
    service: Service, path: str
) -> None:
    job = service.trained()
    assert service.http.get("/v1/datasets/letters/test/0.png").status_code == 200
    spoil_labels(service)
    refused = service.http.get(f"/v1/models/{job}/evaluation{path}")
    check_problem(refused, 409)
    assert refused.json()["code"] == "dataset-damaged"
    found = service.http.get("/v1/datasets/letters").json()
    assert (found["state"], found["reason"]["code"]) == ("failed", "files_damaged")
    again = service.http.get(f"/v1/models/{job}/evaluation{path}")
    assert again.json()["code"] == "dataset-damaged"

    service.sets.ready("letters", seed=1)
    assert service.http.get(f"/v1/models/{job}/evaluation{path}").status_code == 200


def test_damage_has_one_name_on_every_route(service: Service) -> None:
    job = service.trained()
    spoil_labels(service)
    answers = [
        service.http.get("/v1/datasets/letters/test/0.png"),
        service.http.get("/v1/datasets/letters/train.npz"),
        service.http.get("/v1/datasets/letters/samples.png"),
        service.http.get(f"/v1/models/{job}/evaluation"),
        service.http.get(f"/v1/models/{job}/evaluation?dataset=letters"),
        service.http.post("/v1/evaluations", json={"model": job}),
        service.http.post("/v1/evaluations", json={"model": job, "dataset": "letters"}),
    ]
    assert {answer.json()["code"] for answer in answers} == {"dataset-damaged"}
    refused = service.submit()
    check_problem(refused, 422)
    assert "Send the same files again" in refused.json()["errors"][0]["detail"]


def test_a_job_whose_files_are_damaged_says_so(service: Service) -> None:
    job = service.submit().json()["id"]
    spoil_labels(service)
    assert service.run() == "failed"
    reason = service.http.get(f"/v1/jobs/{job}").json()["reason"]
    assert (reason["code"], "are damaged" in reason["message"]) == ("files_damaged", True)


def test_a_failed_evaluation_of_a_set_that_is_gone_is_not_queued_again(service: Service) -> None:
    job = service.trained()
    task = service.http.post("/v1/evaluations", json={"model": job}).json()
    claim = EvaluationQueue(service.database).claim()
    assert claim
    assert claim.job == task["id"]
    results = LocalArtifacts(service.data_dir / "evaluations")
    attempt = EvaluationAttempt(service.database, results, claim.job, claim.attempt)
    attempt.fail("internal", "It broke.")
    service.replace()
    refused = service.http.post("/v1/evaluations", json={"model": job})
    check_problem(refused, 409)
    assert refused.json()["code"] == "dataset-gone"
    assert service.http.get(task["links"]["self"]).json()["state"] == "failed"


@local_files
def test_a_finished_evaluation_of_a_set_that_is_gone_is_still_returned(service: Service) -> None:
    job = service.trained()
    task = service.http.post("/v1/evaluations", json={"model": job}).json()
    claim = EvaluationQueue(service.database).claim()
    assert claim
    results = LocalArtifacts(service.data_dir / "evaluations")
    EvaluationAttempt(service.database, results, claim.job, claim.attempt).finish(3, b"found")
    service.replace()
    again = service.http.post("/v1/evaluations", json={"model": job})
    assert (again.status_code, again.json()["id"]) == (202, task["id"])
    assert again.json()["state"] == "succeeded"


def test_a_temperature_that_can_not_be_trusted_serves_for_no_predictions(service: Service) -> None:
    job = service.trained()
    found = service.http.get(f"/v1/models/{job}/evaluation?calibrate=temperature").json()
    assert (found["tempered"]["fitted_rows"], found["tempered"]["doubt"]) == (2, "few rows")
    body = {"inputs": [{"pixels": PIXELS}], "calibrated": True}
    refused = service.http.post(f"/v1/models/{job}/predict", json=body)
    check_problem(refused, 409)
    assert refused.json()["code"] == "not-calibrated"
    assert "`doubt` in its answer" in refused.json()["detail"]


def test_a_job_says_what_its_network_expects_after_the_data_set_is_gone(service: Service) -> None:
    job, before = service.trained(), service.http.get("/v1/datasets/letters").json()
    service.sets.store.delete("letters", force=True)
    service.sets.leftovers.sweep()
    assert service.http.get("/v1/datasets/letters").status_code == 404
    data = service.http.get(f"/v1/jobs/{job}").json()["data"]
    assert data == {
        "input": "image",
        "shape": [2, 3],
        "invert": False,
        "class_count": 3,
        "classes": ["a", "b", "c"],
        "sha256": before["sha256"],
    }
    [listed] = service.http.get("/v1/jobs").json()["data"]
    assert listed["data"] == data | {"classes": None}


def test_jobs_of_mnist_say_what_they_expect(service: Service) -> None:
    data = service.submit(dataset="mnist").json()["data"]
    assert (data["input"], data["shape"], data["class_count"]) == ("digit", [28, 28], 10)
    assert data["classes"] == list("0123456789")
    assert data["sha256"] == service.http.get("/v1/datasets/mnist").json()["sha256"]
