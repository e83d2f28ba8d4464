"""What becomes of the files of an upload: data sets, reports and failures."""

import io
import json

import numpy as np

from tests.service.api.test_hostile_bodies import check_problem
from tests.support import small_uploads
from tests.support.dataset_requests import SETS, final, left_behind, names, put
from tests.support.live_service import Live
from tests.support.server_process import eventually


def test_an_array_becomes_a_data_set_and_comes_back_as_it_was(service: Live) -> None:
    sent = small_uploads.npz(seed=1)
    answer = put(service, "arrays", sent, description="Three shapes")
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"{SETS}/arrays"
    assert answer.json()["upload_bytes"] == len(sent)
    found = final(service, "arrays")
    assert (found["state"], found["shape"], found["input"]) == ("ready", [12, 12], "image")
    assert (found["train_rows"], found["test_rows"]) == (120, 30)
    assert (found["classes"], found["description"]) == (list(small_uploads.CLASSES), "Three shapes")
    assert found["class_counts"]["test"] == [10, 10, 10]
    before = np.load(io.BytesIO(sent))
    for split in ("train", "test"):
        arrays = service.http.get(f"{SETS}/arrays/{split}.npz").content
        after = np.load(io.BytesIO(arrays))
        for name in (f"x_{split}", f"y_{split}"):
            np.testing.assert_array_equal(after[name], before[name])
    sheet = service.http.get(f"{SETS}/arrays/samples.png?split=train&limit=9")
    assert sheet.content.startswith(b"\x89PNG")
    sample = service.http.get(f"{SETS}/arrays/test/4.json").json()
    assert (sample["label"], sample["name"]) == (1, "cross")
    assert sample["pixels"] == before["x_test"][4].tolist()
    eventually(lambda: not left_behind(service), "what was sent to be deleted")


def test_the_same_pictures_have_the_same_digest_in_every_form(service: Live) -> None:
    put(service, "packed", small_uploads.npz(seed=2))
    files = [("file", (name, data)) for name, data in small_uploads.idx_files(seed=2)]
    options = json.dumps({"classes": list(small_uploads.CLASSES)})
    form = {"name": "four-files", "options": options}
    answer = service.http.post(SETS, data=form, files=files)
    assert answer.status_code == 201, answer.text
    first, second = final(service, "packed"), final(service, "four-files")
    assert first["state"] == second["state"] == "ready", (first["reason"], second["reason"])
    assert first["sha256"] == second["sha256"]
    assert first["id"] != second["id"]


def test_a_zip_of_folders_becomes_a_data_set_with_a_report(service: Live) -> None:
    put(service, "shapes", small_uploads.folders(), test=0.25, seed=3, size="12")
    found = final(service, "shapes")
    assert found["state"] == "ready", found["reason"]
    assert (found["classes"], found["test_rows"]) == (list(small_uploads.CLASSES), 15)
    assert found["options"]["split"] == {"test": 0.25, "seed": 3, "stratify": True}
    report = service.http.get(f"{SETS}/shapes/report").json()
    assert report["found"]["format"] == "zip"
    assert report["rows"] == {"train": 45, "test": 15}
    assert report["sha256"] == found["sha256"]
    assert report["errors"] == []


def test_columns_of_a_table_are_left_out_and_the_record_says_so(service: Live) -> None:
    lines = [f"{9 * row},p{row}.png,{row % 7},{row % 5}.5,{'ab'[row % 2]}" for row in range(40)]
    table = "\n".join(["id,filename,width,height,species", *lines]).encode()
    put(service, "with-names", table, input="vector")
    failed = final(service, "with-names")
    assert (failed["state"], failed["reason"]["code"]) == ("failed", "not_numbers")
    [error] = service.http.get(f"{SETS}/with-names/report").json()["errors"]
    assert error["hint"] == 'Leave it out with the option `ignore_columns`: ["filename"].'
    put(service, "with-names", table, input="vector", ignore_columns="id, filename")
    found = final(service, "with-names")
    assert (found["state"], found["shape"]) == ("ready", [2]), found["reason"]
    assert found["options"]["ignore_columns"] == ["id", "filename"]
    report = service.http.get(f"{SETS}/with-names/report").json()
    assert report["found"]["ignored_columns"] == ["id", "filename"]


def test_columns_are_left_out_of_a_table_as_the_refusal_advises(service: Live) -> None:
    lines = [f"p{row}.png,{row % 7},{row % 5}.5,{'ab'[row % 2]}" for row in range(40)]
    table = "\n".join(['"file, name",width,height,species', *lines]).encode()
    put(service, "with-commas", table, input="vector")
    final(service, "with-commas")
    [error] = service.http.get(f"{SETS}/with-commas/report").json()["errors"]
    advised = error["hint"].partition("`ignore_columns`: ")[2].rstrip(".")
    assert advised == '["file, name"]'
    put(service, "with-commas", table, input="vector", ignore_columns=advised)
    found = final(service, "with-commas")
    assert (found["state"], found["shape"]) == ("ready", [2]), found["reason"]
    assert found["options"]["ignore_columns"] == ["file, name"]


def test_a_file_that_is_no_data_set_fails_with_its_reason(service: Live) -> None:
    page = b"<!DOCTYPE html><html><title>Not found</title></html>"
    assert put(service, "page", page).status_code == 201
    found = final(service, "page")
    assert found["state"] == "failed"
    assert "web page" in found["reason"]["message"]
    [error] = service.http.get(f"{SETS}/page/report").json()["errors"]
    assert error["code"] == found["reason"]["code"]
    answer = service.http.post("/v1/jobs", json={"dataset": "page"})
    assert answer.status_code in (409, 422)
    eventually(lambda: not left_behind(service), "what was sent to be deleted")
    again = put(service, "page", small_uploads.npz(seed=3))
    assert again.status_code == 201, "a failed set makes room for another one"
    assert final(service, "page")["state"] == "ready"


def test_a_shipped_data_set_is_not_deleted(service: Live) -> None:
    answer = service.http.delete(f"{SETS}/mnist")
    check_problem(answer, 409)
    assert answer.json()["code"] == "dataset-shipped"
    check_problem(service.http.delete(f"{SETS}/nothing"), 404)


def test_a_dry_run_reports_and_stores_nothing(service: Live) -> None:
    before = names(service)
    answer = put(service, "tried", small_uploads.npz(seed=12), dry_run=True)
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert (report["object"], report["dataset"], report["state"]) == (
        "dataset_report",
        "tried",
        "ready",
    )
    assert report["rows"] == {"train": 120, "test": 30}
    broken = put(service, "tried", b"<html></html>", dry_run=True).json()
    assert (broken["state"], len(broken["errors"])) == ("failed", 1)
    assert names(service) == before
    files = service.app.state.components.services.datasets.files
    eventually(lambda: not files.folder(report["sha256"]).exists(), "the files to be deleted")
    check_problem(put(service, "dry-run-x", b"x"), 422)
