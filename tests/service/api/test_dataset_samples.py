"""Samples over HTTP: sent in every form, refused, frozen alone and beside another set."""

from typing import Any

import httpx2
import numpy as np
import pytest

from service.api import dataset_samples
from service.api.predict_schema import SEVEN_PNG
from tests.service.api.test_hostile_bodies import check_problem
from tests.support import small_uploads
from tests.support.dataset_requests import SETS, final
from tests.support.image_requests import encoded
from tests.support.live_service import Live

ROW = {"dataset": "mnist", "index": 3}
LABELLED = {"label": "7", "image": ROW}


def add(live: Live, name: str, **request: Any) -> httpx2.Response:
    return live.http.post(f"{SETS}/{name}/samples", **request)


def freeze(live: Live, name: str, body: Any = None) -> httpx2.Response:
    sent = {} if body is None else {"json": body}
    return live.http.post(f"{SETS}/{name}/freeze", **sent)


def problem(answer: httpx2.Response, status: int) -> dict[str, Any]:
    check_problem(answer, status)
    return dict(answer.json())


def shape_of(kind: int) -> list[list[int]]:
    images, _ = small_uploads.pictures(kind, 3)
    return [list(map(int, row)) for row in images[kind % 3]]


def test_each_form_of_an_image_is_counted(service: Live) -> None:
    grey = np.zeros((28, 28), np.uint8)
    grey[5:20, 12:15] = 255
    png = encoded(grey)
    curl = {"Content-Type": "application/x-www-form-urlencoded"}
    requests: list[dict[str, Any]] = [
        {"json": {"label": "7", "image": ROW}},
        {"json": {"label": "7", "image": {"base64": SEVEN_PNG}}},
        {"json": {"label": "1", "image": {"pixels": grey.tolist()}}},
        {"json": {"label": "2", "image": {"values": (grey.ravel() / 255).tolist()}}},
        {"content": png, "params": {"label": "1"}, "headers": {"Content-Type": "image/png"}},
        {"content": png, "params": {"label": "one"}, "headers": curl},
    ]
    for count, request in enumerate(requests, 1):
        answer = add(service, "forms", **request)
        assert answer.status_code == 201, answer.text
        assert answer.headers["Location"] == f"{SETS}/forms"
        assert (answer.json()["state"], answer.json()["samples"]) == ("collecting", count)
    listed = service.http.get(SETS).json()["data"]
    assert [(it["name"], it["samples"]) for it in listed if it["name"] == "forms"] == [("forms", 6)]
    assert service.http.delete(f"{SETS}/forms").status_code == 204


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        ({"json": {"label": "7"}}, "invalid", "#/image: is missing"),
        ({"json": {"image": ROW}}, "invalid", "#/label: is missing"),
        ({"json": {"label": "", "image": ROW}}, "invalid", "#/label: must not be empty"),
        ({"json": {"label": "x" * 65, "image": ROW}}, "invalid", "#/label: must have 64"),
        ({"json": {"label": "a\nb", "image": ROW}}, "invalid", "#/label"),
        ({"json": {"label": "7", "image": {}}}, "invalid", "#/image"),
        ({"json": {"label": "7", "image": {"features": [1]}}}, "invalid", "samples are images"),
        ({"json": LABELLED | {"more": 1}}, "invalid", "#/more"),
        ({"json": LABELLED, "params": {"label": "7"}}, "invalid", "?label: leave it out"),
        ({"json": LABELLED, "params": {"lable": "7"}}, "invalid", "?lable"),
        ({"json": {"label": "7", "image": {"dataset": "no", "index": 1}}}, "bad-image", "'no'"),
        (
            {"json": {"label": "7", "image": {"dataset": "mnist", "index": 10_000}}},
            "bad-image",
            "0 to 9999",
        ),
        ({"json": {"label": "7", "image": {"base64": "AAAA"}}}, "bad-image", "no complete picture"),
        ({"json": {"label": "7", "image": {"pixels": [[1, 2], [3]]}}}, "bad-image", "equal length"),
        ({"content": b"\x89PNG\r\n\x1a\n", "params": {"label": "7"}}, "bad-image", "picture"),
        ({"content": b"\x89PNG\r\n\x1a\n"}, "invalid", "?label: is missing"),
        ({"content": b"0,1,2", "headers": {"Content-Type": "text/csv"}}, None, "Send a picture"),
    ],
)
def test_what_is_no_labelled_picture_is_refused(
    service: Live, request_: dict[str, Any], code: str | None, words: str
) -> None:
    answer = add(service, "refused", **request_)
    found = problem(answer, 422 if code else 415)
    assert found["code"] == (code or "unsupported-media-type")
    assert words in found["detail"]
    assert service.http.get(f"{SETS}/refused").status_code == 404


def test_a_sample_may_not_be_too_large(service: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_samples, "MAX_SAMPLE_BYTES", 500)
    found = problem(add(service, "refused", json=LABELLED), 422)
    assert (found["reason"], "500 bytes" in found["detail"]) == ("too_many_bytes", True)
    body = b"x" * (dataset_samples.MAX_BODY_BYTES + 1)
    problem(add(service, "refused", content=body, params={"label": "7"}), 413)


def test_names_are_those_of_data_sets(service: Live) -> None:
    found = problem(add(service, "My Set", json=LABELLED), 422)
    assert "'my-set' would do" in found["detail"]
    assert problem(add(service, "mnist", json=LABELLED), 409)["code"] == "dataset-exists"
    assert problem(freeze(service, "mnist"), 409)["code"] == "dataset-exists"
    assert problem(freeze(service, "nobodys"), 404)["code"] == "dataset-not-found"


def test_the_last_sample_is_taken_back(service: Live) -> None:
    for _ in range(2):
        add(service, "regretted", json=LABELLED)
        add(service, "regretted", json=LABELLED | {"label": "1"})
    last = f"{SETS}/regretted/samples"
    assert service.http.delete(f"{last}/4").status_code == 204
    assert service.http.get(f"{SETS}/regretted").json()["samples"] == 3
    found = problem(service.http.delete(f"{last}/4"), 404)
    assert found["detail"] == (
        "Only the last sample of the data set 'regretted' can be deleted, and that is number 3, "
        "not 4."
    )
    problem(service.http.delete(f"{last}/0"), 404)
    problem(service.http.delete(f"{last}/3?force=1"), 422)
    assert [service.http.delete(f"{last}/{at}").status_code for at in (3, 2, 1)] == [204] * 3
    assert problem(service.http.get(f"{SETS}/regretted"), 404)["code"] == "dataset-not-found"
    assert problem(service.http.delete(f"{last}/1"), 404)["code"] == "dataset-not-found"
    assert problem(service.http.delete(f"{SETS}/mnist/samples/1"), 409)["code"] == "dataset-exists"


def test_what_is_being_collected_can_not_be_trained_on(service: Live) -> None:
    add(service, "early", json=LABELLED)
    found = problem(service.http.post("/v1/jobs", json={"dataset": "early"}), 422)
    assert "POST /v1/datasets/early/freeze" in found["detail"]
    assert final(service, "early")["state"] == "collecting", "nobody waits for what does not come"
    picture = problem(service.http.get(f"{SETS}/early/samples.png"), 409)
    assert picture["code"] == "dataset-not-ready"


def test_samples_alone_become_a_set(service: Live) -> None:
    for at in range(12):
        image = {"pixels": shape_of(at)}
        label = small_uploads.CLASSES[at % 3]
        assert add(service, "alone", json={"label": label, "image": image}).status_code == 201
    frozen = freeze(service, "alone", {"options": {"license": "MIT", "split": {"test": 0.5}}})
    assert frozen.status_code == 200, frozen.text
    found = final(service, "alone")
    assert (found["state"], found["samples"], found["license"]) == ("ready", 12, "MIT")
    assert (found["classes"], found["shape"]) == (list(small_uploads.CLASSES), [12, 12])
    assert found["class_counts"] == {"train": [2, 2, 2], "test": [2, 2, 2]}
    again = freeze(service, "alone", {"options": {"license": "MIT", "split": {"test": 0.5}}})
    assert again.json() == found
    assert problem(freeze(service, "alone"), 409)["code"] == "dataset-exists"
    assert problem(add(service, "alone", json=LABELLED), 409)["code"] == "dataset-exists"


def test_samples_are_added_to_the_training_rows_of_a_base(service: Live) -> None:
    answer = service.http.put(f"{SETS}/shapes", content=small_uploads.npz())
    assert answer.status_code == 201
    base = final(service, "shapes")
    image = {"dataset": "shapes", "split": "train", "index": 4}
    add(service, "more", json={"label": "dot", "image": image})
    frozen = freeze(service, "more", {"base": "shapes"})
    assert frozen.status_code == 200, frozen.text
    found = final(service, "more")
    assert found["state"] == "ready", found["reason"]
    assert found["train_rows"] == base["train_rows"] + 1
    assert [found[it] for it in ("classes", "shape", "input", "test_rows")] == [
        base[it] for it in ("classes", "shape", "input", "test_rows")
    ]
    rows = [
        service.http.get(f"{SETS}/{name}/train/{index}.json").json()
        for name, index in (("shapes", 4), ("more", 120))
    ]
    assert rows[0]["pixels"] == rows[1]["pixels"]
    assert [row["name"] for row in rows] == ["cross", "dot"]
    report = service.http.get(f"{SETS}/more/report").json()
    assert (report["found"]["dataset"], report["found"]["samples"]) == ("shapes", 1)
    assert "two_labels" in {doubt["code"] for doubt in report["warnings"]}


def test_a_failed_freeze_keeps_the_samples_for_another(service: Live) -> None:
    add(service, "again", json={"label": "ring", "image": {"pixels": shape_of(0)}})
    service.http.put(f"{SETS}/base", content=small_uploads.npz(seed=3))
    assert final(service, "base")["state"] == "ready"
    freeze(service, "again", {"base": "base"})
    failed = final(service, "again")
    assert (failed["state"], failed["reason"]["code"], failed["samples"]) == (
        "failed",
        "classes",
        1,
    )
    assert "'ring'" in failed["reason"]["message"]
    classes = [*small_uploads.CLASSES, "ring"]
    freeze(service, "again", {"base": "base", "options": {"classes": classes}})
    found = final(service, "again")
    assert found["state"] == "ready", found["reason"]
    assert found["classes"] == classes
    assert found["class_counts"]["train"] == [40, 40, 40, 1]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"base": "nobodys"}, "#/base: There is no data set 'nobodys'"),
        ({"base": "kept"}, "#/base: The data set 'kept' can't be used, it is collecting"),
        ({"base": "mnist", "options": {"invert": True}}, "#/options/invert: leave it out"),
        ({"base": "mnist", "options": {"classes": {"7": "seven"}}}, "must be a list"),
        ({"options": {"size": [0, 1]}}, "#/options/size"),
        ({"bass": "mnist"}, "#/bass"),
    ],
)
def test_a_freeze_that_makes_no_sense_changes_nothing(
    service: Live, body: dict[str, Any], words: str
) -> None:
    add(service, "kept", json=LABELLED)
    assert words in problem(freeze(service, "kept", body), 422)["detail"]
    assert final(service, "kept")["state"] == "collecting"


def test_a_table_of_numbers_is_no_base(service: Live) -> None:
    rows = "".join(f"{at}.5,{at},{'ab'[at % 2]}\n" for at in range(20))
    service.http.put(f"{SETS}/table", content=f"x,y,label\n{rows}", params={"input": "vector"})
    assert final(service, "table")["state"] == "ready"
    add(service, "of-table", json=LABELLED)
    found = problem(freeze(service, "of-table", {"base": "table"}), 422)
    assert "#/base: is a set of numbers" in found["detail"]
