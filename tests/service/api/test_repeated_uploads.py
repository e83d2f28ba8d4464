"""Uploads that are sent again: as they were, changed, or with an idempotency key."""

import json
from typing import Any

import httpx2
import pytest

from service.domain.errors import StoreBroken
from service.store.datasets import DatasetStore
from tests.service.api.test_hostile_bodies import check_problem
from tests.support import small_uploads
from tests.support.dataset_requests import SETS, final, left_behind, names, put
from tests.support.live_service import Live
from tests.support.server_process import eventually


def test_a_file_that_is_sent_again_changes_nothing(service: Live) -> None:
    first = put(service, "again", small_uploads.npz(seed=4))
    second = put(service, "again", small_uploads.npz(seed=4))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    final(service, "again")
    assert put(service, "again", small_uploads.npz(seed=4)).status_code == 200
    other = small_uploads.npz(seed=5)
    for answer in (
        put(service, "again", other),
        put(service, "again", small_uploads.npz(seed=4), test=0.5),
        put(service, "mnist", other),
    ):
        check_problem(answer, 409)
        assert answer.json()["code"] == "dataset-exists"


def test_an_upload_whose_commit_is_not_answered_is_kept_for_its_repetition(
    service: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose_the_answer(*given: Any) -> None:
        received(*given)
        raise StoreBroken("the connection has ended")

    received, sent = DatasetStore.received, small_uploads.npz(seed=40)
    with monkeypatch.context() as patch:
        patch.setattr(DatasetStore, "received", lose_the_answer)
        assert put(service, "unanswered", sent).status_code == 503
    assert put(service, "unanswered", sent).status_code == 200
    assert final(service, "unanswered")["state"] == "ready"


def send_form(live: Live, key: str, name: str, seed: int, **options: Any) -> httpx2.Response:
    form = {"name": name, "options": json.dumps(options)}
    files = [("file", ("shapes.npz", small_uploads.npz(seed=seed)))]
    return live.http.post(SETS, data=form, files=files, headers={"Idempotency-Key": key})


def test_a_form_with_the_same_key_gets_the_first_answer(service: Live) -> None:
    first = send_form(service, "form-1", "keyed", seed=20)
    assert (first.status_code, "Idempotent-Replayed" in first.headers) == (201, False)
    final(service, "keyed")
    again = send_form(service, "form-1", "keyed", seed=20)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    eventually(lambda: not left_behind(service), "what was sent to be deleted")


@pytest.mark.parametrize(
    ("name", "seed", "options"),
    [("keyed-2", 21, {}), ("other", 20, {}), ("keyed-2", 20, {"description": "Other words"})],
    ids=["other files", "another name", "other options"],
)
def test_a_key_that_is_sent_with_something_else_is_refused(
    service: Live, name: str, seed: int, options: dict[str, Any]
) -> None:
    assert send_form(service, "form-2", "keyed-2", seed=20).status_code == 201
    answer = send_form(service, "form-2", name, seed, **options)
    check_problem(answer, 422)
    assert answer.json()["code"] == "idempotency-key-reused"
    assert "other" not in names(service)
    derived = {"name": "other", "from": {"dataset": "mnist", "rows": 1}}
    answer = service.http.post(SETS, json=derived, headers={"Idempotency-Key": "form-2"})
    check_problem(answer, 422)


def test_a_key_is_answered_after_its_data_set_was_deleted(service: Live) -> None:
    first = send_form(service, "form-3", "short-lived", seed=22)
    final(service, "short-lived")
    assert service.http.delete(f"{SETS}/short-lived").status_code == 204
    again = send_form(service, "form-3", "short-lived", seed=22)
    assert (again.status_code, again.json()) == (201, first.json())
    assert "short-lived" not in names(service)


def test_a_key_that_comes_with_a_repetition_is_kept_too(service: Live) -> None:
    send_form(service, "form-4", "found", seed=23)
    assert send_form(service, "form-5", "found", seed=23).status_code == 200
    refused = send_form(service, "form-5", "found", seed=24)
    check_problem(refused, 422)
    assert send_form(service, "form-6", "found", seed=24).status_code == 409
