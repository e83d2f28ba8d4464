"""Jobs over HTTP: submitted, listed, read, acted on, deleted; and submitted twice."""

import csv
import threading
import uuid
from pathlib import Path
from typing import Any

import httpx2
import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from service.app import create_app
from service.store.sql.database import Database
from tests.service.conftest import URL
from tests.support.engines import local_files
from tests.support.job_records import DEFAULT_SPEC, stored_epoch
from tests.support.live_service import Live, claimed, epoch, fail, record, settings, succeed
from tests.support.server_process import eventually

JSON = {"Content-Type": "application/json"}


def submit(api: httpx2.Client, **spec: Any) -> str:
    answer = api.post("/v1/jobs", json=spec)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def state(api: TestClient, job: str) -> Any:
    return api.get(f"/v1/jobs/{job}").json()["state"]


def test_a_submitted_job_comes_back_with_its_address_and_resolved_spec(api: TestClient) -> None:
    answer = api.post("/v1/jobs", json={"preset": "linear", "epochs": 3, "tags": ["a"]})
    job = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert answer.headers["Content-Type"] == "application/json"
    assert api.get(answer.headers["Location"]).json() == job
    assert (job["object"], job["state"], job["attempt"]) == ("job", "queued", 0)
    assert (job["spec"]["hidden"], job["spec"]["epochs"], job["spec"]["tags"]) == ([], 3, ["a"])
    assert uuid.UUID(job["id"].removeprefix("job_")).version == 7


def test_an_empty_spec_is_the_course_assignments_network(api: TestClient) -> None:
    spec = api.post("/v1/jobs", json={}).json()["spec"]
    assert spec == DEFAULT_SPEC


def test_every_listed_preset_is_accepted_as_listed(api: TestClient) -> None:
    listed = api.get("/v1/presets").json()["data"]
    networks = {p["name"]: (p["spec"]["hidden"], p["spec"]["activation"]) for p in listed}
    assert networks == {
        "linear": ([], "relu"),
        "mlp-relu": ([128], "relu"),
        "mlp-sigmoid": ([128], "sigmoid"),
        "mlp-augmented": ([1024, 1024], "relu"),
    }
    for preset in listed:
        made = api.post("/v1/jobs", json={"preset": preset["name"]}).json()
        assert made["spec"] == preset["spec"]


def test_given_fields_override_the_presets(api: TestClient) -> None:
    spec = api.post("/v1/jobs", json={"preset": "mlp-sigmoid", "hidden": [7]}).json()["spec"]
    assert (spec["hidden"], spec["activation"]) == ([7], "sigmoid")


def test_the_cost_is_known_before_anything_runs(api: TestClient) -> None:
    cost = api.post("/v1/jobs", json={"preset": "mlp-relu"}).json()["cost"]
    assert cost["parameters"] == 784 * 128 + 128 + 128 * 10 + 10
    weights = 784 * 128 + 128 * 10
    step = 2 * weights + 2 * weights + 2 * 128 * 10  # forward, gradients, the layer below
    assert cost["flops"] == 50 * (step * 60_000 + 2 * weights * (60_000 + 10_000))


def test_jobs_are_numbered_in_the_queue(api: TestClient) -> None:
    ids = [submit(api) for _ in range(3)]
    positions = [api.get(f"/v1/jobs/{id_}").json()["queue_position"] for id_ in ids]
    assert positions == [1, 2, 3]


def test_pages_hold_every_job_once_newest_first(api: TestClient) -> None:
    ids = [submit(api, name=str(n)) for n in range(5)]
    first = api.get("/v1/jobs", params={"limit": 2}).json()
    second = api.get("/v1/jobs", params={"limit": 2, "after": first["last_id"]}).json()
    third = api.get("/v1/jobs", params={"limit": 2, "after": second["last_id"]}).json()
    assert [job["id"] for page in (first, second, third) for job in page["data"]] == ids[::-1]
    assert [page["has_more"] for page in (first, second, third)] == [True, True, False]
    assert first["first_id"] == ids[4]
    assert (third["first_id"], third["last_id"]) == (ids[0], ids[0])


def test_a_page_after_the_last_job_is_empty(api: TestClient) -> None:
    only = submit(api)
    page = api.get("/v1/jobs", params={"after": only}).json()
    empty = {"data": [], "has_more": False, "first_id": None, "last_id": None}
    assert page == {"object": "list", **empty}


def test_jobs_are_filtered_by_one_state_or_several(api: TestClient, api_database: Database) -> None:
    running, queued, paused = (submit(api) for _ in range(3))
    assert claimed(api_database).job == running
    api.post(f"/v1/jobs/{paused}/pause")

    def found(*states: str) -> Any:
        return [job["id"] for job in api.get("/v1/jobs", params={"state": states}).json()["data"]]

    assert found("queued") == [queued]
    assert found("paused", "running") == [paused, running]
    assert found("failed") == []


def test_pages_keep_to_the_filter(api: TestClient) -> None:
    ids = [submit(api) for _ in range(4)]
    api.post(f"/v1/jobs/{ids[2]}/pause")
    query: dict[str, Any] = {"state": "queued", "limit": 2}
    first = api.get("/v1/jobs", params=query).json()
    second = api.get("/v1/jobs", params={**query, "after": first["last_id"]}).json()
    assert [job["id"] for job in first["data"] + second["data"]] == [ids[3], ids[1], ids[0]]


@pytest.mark.parametrize("action", ["cancel", "pause"])
def test_an_action_may_be_repeated(api: TestClient, action: str) -> None:
    job = submit(api)
    first, second = (api.post(f"/v1/jobs/{job}/{action}") for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert first.json()["reason"]["code"] == "user"


def test_a_paused_job_resumes(api: TestClient) -> None:
    job = submit(api)
    assert api.post(f"/v1/jobs/{job}/pause").json()["state"] == "paused"
    resumed = api.post(f"/v1/jobs/{job}/resume").json()
    assert (resumed["state"], resumed["reason"], resumed["queue_position"]) == ("queued", None, 1)


def test_cancelling_a_running_job_asks_its_worker_to_stop(
    api: TestClient, api_database: Database
) -> None:
    job = submit(api)
    claimed(api_database)
    assert api.post(f"/v1/jobs/{job}/pause").json()["state"] == "pausing"
    assert api.post(f"/v1/jobs/{job}/resume").json()["state"] == "running"
    assert api.post(f"/v1/jobs/{job}/cancel").json()["state"] == "cancelling"


def test_a_forbidden_action_is_a_conflict_that_names_the_allowed_ones(
    api: TestClient, api_database: Database
) -> None:
    job = submit(api)
    succeed(claimed(api_database))
    answer = api.post(f"/v1/jobs/{job}/pause")
    assert (answer.status_code, answer.json()["code"]) == (409, "wrong-move")
    assert answer.json()["detail"] == (
        "A job in state 'succeeded' does not allow 'pause'; it allows: delete."
    )
    assert state(api, job) == "succeeded"


def test_a_job_with_a_worker_is_not_deleted(api: TestClient, api_database: Database) -> None:
    job = submit(api)
    claimed(api_database)
    answer = api.delete(f"/v1/jobs/{job}")
    assert (answer.status_code, answer.json()["code"]) == (409, "wrong-move")
    assert "it allows: cancel, pause." in answer.json()["detail"]
    assert state(api, job) == "running"


@local_files
def test_a_deleted_job_and_its_files_no_longer_exist(api: TestClient, data_dir: Path) -> None:
    job = submit(api)
    folder = data_dir / "jobs" / job
    folder.mkdir(parents=True)
    (folder / "worker.log").write_text("words")
    answer = api.delete(f"/v1/jobs/{job}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert api.get(f"/v1/jobs/{job}").status_code == 404
    assert api.delete(f"/v1/jobs/{job}").status_code == 404
    eventually(lambda: not folder.exists(), "the dispatcher to delete the files")


def test_epochs_are_listed_from_the_one_that_follows_after(
    api: TestClient, api_database: Database
) -> None:
    job = submit(api, epochs=5)
    record(claimed(api_database), 1, 2, 3)
    listed = api.get(f"/v1/jobs/{job}/epochs").json()
    assert listed["data"] == [stored_epoch(epoch(n)) for n in (1, 2, 3)]
    behind = api.get(f"/v1/jobs/{job}/epochs", params={"after": 2}).json()
    assert [found["epoch"] for found in behind["data"]] == [3]
    assert api.get(f"/v1/jobs/{job}/epochs", params={"after": 3}).json()["data"] == []


def test_epochs_as_csv_are_the_listed_ones_to_the_last_digit(
    api: TestClient, api_database: Database
) -> None:
    job = submit(api)
    claimed(api_database).heartbeat((2, 0), [epoch(1, train_loss=1 / 3), epoch(2, test_loss=1e-17)])
    answer = api.get(f"/v1/jobs/{job}/epochs.csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    rows = [
        {name: float(value) for name, value in row.items()}
        for row in csv.DictReader(answer.text.splitlines())
    ]
    assert rows == api.get(f"/v1/jobs/{job}/epochs").json()["data"]


def test_epochs_as_csv_change_their_tag_when_one_is_added(
    api: TestClient, api_database: Database
) -> None:
    job = submit(api)
    attempt = claimed(api_database)
    record(attempt, 1)
    path = f"/v1/jobs/{job}/epochs.csv"
    held = {"If-None-Match": api.get(path).headers["ETag"]}
    assert api.get(path, headers=held).status_code == 304
    record(attempt, 2)
    assert api.get(path, headers=held).status_code == 200


def test_a_jobs_progress_and_metrics_follow_its_epochs(
    api: TestClient, api_database: Database
) -> None:
    job = submit(api, epochs=4, batch_size=100)
    attempt = claimed(api_database)
    attempt.heartbeat((1, 0), [epoch(1, test_accuracy=0.9)])
    attempt.heartbeat((2, 300), [epoch(2, test_accuracy=0.8)])
    found = api.get(f"/v1/jobs/{job}").json()
    assert (found["progress"]["epochs_done"], found["progress"]["batches_done"]) == (2, 300)
    assert found["progress"]["fraction"] == pytest.approx(2.5 / 4)
    assert found["progress"]["eta_seconds"] == pytest.approx(1.5 * 0.25, abs=0.06)
    assert found["metrics"]["latest"] == stored_epoch(epoch(2, test_accuracy=0.8))
    assert found["metrics"]["best"]["epoch"] == 1
    assert found["metrics"]["final"] is None


def test_a_failed_job_says_why(api: TestClient, api_database: Database) -> None:
    job = submit(api)
    fail(claimed(api_database))
    found = api.get(f"/v1/jobs/{job}").json()
    assert found["state"] == "failed"
    assert found["reason"] == {"code": "diverged", "message": "the loss is not finite"}
    assert found["finished_at"] > found["started_at"] > found["created_at"]


# --- The same request twice ---


def post(api: httpx2.Client, key: str, body: bytes) -> Response:
    headers = [(b"Content-Type", b"application/json"), (b"Idempotency-Key", key.encode("latin-1"))]
    return api.post("/v1/jobs", content=body, headers=headers)


def test_a_repeated_key_gets_the_first_answer_and_creates_no_second_job(api: TestClient) -> None:
    first = post(api, "k1", b'{"epochs": 2}')
    api.post(f"/v1/jobs/{first.json()['id']}/cancel")
    second = post(api, "k1", b'{"epochs": 2}')
    assert (second.status_code, second.content) == (201, first.content)
    assert second.headers["Location"] == first.headers["Location"]
    assert second.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert len(api.get("/v1/jobs").json()["data"]) == 1


def test_the_same_spec_written_differently_is_the_same_request(api: TestClient) -> None:
    first = post(api, "k1", b'{"epochs": 2, "seed": 3}')
    assert post(api, "k1", b'{ "seed":3,"epochs":2 }').content == first.content


def test_a_whole_number_with_a_decimal_point_is_the_same_request(api: TestClient) -> None:
    first = post(api, "k1", b'{"epochs": 2, "hidden": [16], "seed": 0}')
    again = post(api, "k1", b'{"epochs": 2.0, "hidden": [1.6e1], "seed": -0.0}')
    assert (again.status_code, again.content) == (201, first.content)
    assert b'"epochs":2,' in again.content


def test_a_key_with_another_body_is_refused(api: TestClient) -> None:
    post(api, "k1", b'{"epochs": 2}')
    answer = post(api, "k1", b'{"epochs": 3}')
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-reused")
    assert len(api.get("/v1/jobs").json()["data"]) == 1


def test_a_key_of_a_refused_spec_can_be_used_again(api: TestClient) -> None:
    assert post(api, "k1", b'{"epochs": 0}').status_code == 422
    assert post(api, "k1", b'{"epochs": 1}').status_code == 201


def test_a_repeated_key_gets_the_first_answer_though_the_limits_were_lowered(
    api: TestClient, data_dir: Path, datasets_dir: Path
) -> None:
    first = post(api, "k1", b'{"epochs": 20}')
    stricter = create_app(settings(data_dir, datasets_dir, max_epochs=10))
    with TestClient(stricter, base_url=URL) as api:
        assert post(api, "k1", b'{"epochs": 20}').content == first.content
        assert post(api, "k1", b'{"epochs": 30}').json()["code"] == "idempotency-key-reused"
        assert post(api, "k2", b'{"epochs": 20}').status_code == 422


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "\u00e9"])
def test_a_key_with_forbidden_characters_is_refused(api: TestClient, key: str) -> None:
    answer = post(api, key, b"{}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert answer.json()["errors"][0]["pointer"] == "header idempotency-key"


def test_fifty_concurrent_repeats_create_one_job(live: Live) -> None:
    answers = []

    def send() -> None:
        answers.append(post(live.http, "twin", b'{"epochs": 2}'))

    threads = [threading.Thread(target=send) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [201] * 50
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert len(live.http.get("/v1/jobs").json()["data"]) == 1
